#!/bin/bash
# Makes the Debian package: systemd/package.sh [OUTPUT_DIR]
#
# Goes to target/debian unless told otherwise. Needs cargo-deb (`cargo install --locked cargo-deb`)
# and dpkg-dev's dpkg-shlibdeps; builds the binary, and lets it make its manual and completions.
# Prints the path of the package.
set -euo pipefail

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
out=${1:-$target/debian}
export PATH="$PWD/target/tools/bin:$target/tools/bin:$PATH"
if ! cargo deb --version > /dev/null 2>&1; then
    echo "this needs cargo-deb: cargo install --locked cargo-deb" >&2
    exit 1
fi

cargo build --locked --release >&2
plainws=$target/release/plainws

# Where Cargo.toml looks for them.
made=target/package
mkdir -p "$made" "$out"
"$plainws" man | gzip -9n > "$made/plainws.1.gz"
"$plainws" completions bash > "$made/plainws.bash"
"$plainws" completions zsh > "$made/_plainws"
"$plainws" completions fish > "$made/plainws.fish"

cargo deb --locked --no-build --no-strip -o "$out/"
