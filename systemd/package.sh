#!/bin/bash
# Makes the Debian package: systemd/package.sh [OUTPUT_DIR]
#
# Goes to target/debian unless told otherwise. Needs cargo-deb (`cargo install --locked cargo-deb`)
# and dpkg-dev's dpkg-shlibdeps; builds the binary, and makes its manual and completions (package.rs).
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

# Where Cargo.toml looks for them.
made=target/package
mkdir -p "$made" "$out"
cargo run --quiet --locked --release --example package -- "$made" >&2
gzip -9nf "$made/plainws.1"

cargo deb --locked --no-build --no-strip -o "$out/"
