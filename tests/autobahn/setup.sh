#!/bin/sh
# Installs the Autobahn testsuite (wstest) into a folder, from package registries only.
#
#   tests/autobahn/setup.sh [DIR]        DIR defaults to target/autobahn
#
# wstest is Python 2.7 code. The interpreter is taken from the Debian suite "bullseye", on the
# mirror that apt is already configured with: its packages are downloaded with apt-get and
# unpacked under DIR; nothing is installed on the system and apt's own state is not touched.
# Where that mirror no longer has bullseye, a Python 2.7 already on the machine is used (PATH,
# pyenv). AUTOBAHN_PYTHON27=/path/to/python2.7 names one outright. Everything else comes from PyPI
# through pip, at the versions pinned below.
#
# Needs: apt-get and dpkg (or a local Python 2.7), python3 with venv. With a C compiler wsaccel is
# built too (UTF-8 validation and masking in C); without it only group 9 takes longer.
# A second call finds the finished install and does nothing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# Like cargo, a relative CARGO_TARGET_DIR counts from where one stands.
dir=${1:-${CARGO_TARGET_DIR:-$here/../../target}/autobahn}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

pip_version=20.3.4
build_pins='setuptools==44.0.0
wheel==0.37.1'
pins='setuptools==44.0.0
attrs==21.4.0
Automat==22.10.0
autobahn==0.10.9
autobahntestsuite==25.10.1
cffi==1.15.1
constantly==15.1.0
cryptography==3.3.2
enum34==1.1.10
hyperlink==21.0.0
idna==2.10
incremental==16.10.1
ipaddress==1.0.23
Jinja2==2.11.3
klein==17.10.0
linecache2==1.0.0
MarkupSafe==1.1.1
pyasn1==0.5.1
pyasn1-modules==0.3.0
pycparser==2.21
PyHamcrest==1.10.1
pyOpenSSL==19.1.0
service-identity==18.1.0
six==1.16.0
traceback2==1.4.0
Twisted==19.10.0
txaio==2.1.0
typing==3.10.0.0
unittest2==1.1.0
Werkzeug==1.0.1
zope.interface==4.6.0'
accel_build_pins='Cython==0.29.37'
accel_pins='wsaccel==0.6.6'

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

check='import autobahntestsuite.wstest, autobahntestsuite as s, autobahn as a
from autobahn.websocket.utf8validator import Utf8Validator as u
print "Autobahn testsuite %s, autobahn %s, UTF-8 validator in %s" % (s.version, a.version, "C" if u.__module__.startswith("wsaccel") else "Python")'

# The wrapper below names DIR, so a moved folder is installed anew.
stamp=$( (cat "$0"; echo "$dir ${AUTOBAHN_PYTHON27:-}") | sha256sum | cut -c1-16)
if [ -e "$dir/.done-$stamp" ] && "$dir/bin/python27" -c "$check" >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$dir"/.done-* "$dir/tmp"
mkdir -p "$dir/bin" "$dir/tmp"

# ---- Python 2.7 -------------------------------------------------------------------------------

works() { "$@" -c 'import sys, ssl, ctypes, zlib; assert sys.version_info[:2] == (2, 7)' >/dev/null 2>&1; }

# The URIs of this release's main archive, as apt is configured; it may name more than one.
mirrors() {
    apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null |
        awk -v release="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" \
            '$2 == release && $3 == "main" && !seen[$1]++ { print $1 }'
}

bullseye() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    apt=$dir/tmp/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
    set -- -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o Dir::State::status=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    got=
    for uri in $(mirrors); do
        if [ -e "$key" ]; then signed="[signed-by=$key] "; else signed=; fi
        echo "deb $signed$uri bullseye main" > "$apt/sources.list"
        if apt-get "$@" update >&2; then got=yes; break; fi
    done
    [ -n "$got" ] || return 1
    (cd "$apt/debs" && apt-get "$@" download python2.7-minimal libpython2.7-minimal \
        libpython2.7-stdlib libpython2.7-dev libssl1.1 libffi7 >&2) || return 1
    rm -rf "$dir/py27"
    mkdir "$dir/py27"
    for deb in "$apt/debs"/*.deb; do dpkg -x "$deb" "$dir/py27" || return 1; done
    libs=$(dirname "$(find "$dir/py27" -name 'libssl.so.1.1' | head -n 1)")
    LD_LIBRARY_PATH=$libs works "$dir/py27/usr/bin/python2.7"
}

python=
libs=
if [ -n "${AUTOBAHN_PYTHON27:-}" ]; then
    works "$AUTOBAHN_PYTHON27" || die "$AUTOBAHN_PYTHON27 is not a working Python 2.7 with ssl"
    python=$AUTOBAHN_PYTHON27
elif bullseye; then
    python=$dir/py27/usr/bin/python2.7
else
    say "no Python 2.7 from bullseye on the configured mirror; looking for one on this machine"
    libs=
    for p in "$(command -v python2.7 || :)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        if [ -n "$p" ] && works "$p"; then python=$p; break; fi
    done
fi
[ -n "$python" ] || die "found no Python 2.7: neither bullseye on apt's mirror nor one on this machine"
say "using $python"

cat > "$dir/bin/python27" <<END
#!/bin/sh
# Python 2.7 with wstest on its path; written by setup.sh.
LD_LIBRARY_PATH='$libs'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
[ -z "\$LD_LIBRARY_PATH" ] || export LD_LIBRARY_PATH
PYTHONPATH='$dir/site' PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=
export PYTHONPATH PYTHONNOUSERSITE PYTHONDONTWRITEBYTECODE
exec '$python' -W ignore "\$@"
END
chmod +x "$dir/bin/python27"

# ---- wstest and what it needs -----------------------------------------------------------------

# The last pip that runs under Python 2.7, fetched by today's, unpacked: from inside its wheel it
# cannot build wsaccel.
python3 -m venv "$dir/tmp/venv" >&2 || die "python3 -m venv does not work; apt-get install python3-venv"
"$dir/tmp/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$dir/tmp" "pip==$pip_version" >&2 ||
    die "pip $pip_version could not be downloaded"
mkdir "$dir/tmp/build"
"$dir/bin/python27" -m zipfile -e "$dir/tmp/pip-$pip_version"-*.whl "$dir/tmp/build"

install() { # install TARGET, requirement lines on stdin
    cat > "$dir/tmp/requirements.txt"
    PYTHONPATH="$dir/tmp/build" LD_LIBRARY_PATH="$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
        PYTHONWARNINGS=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_PYTHON_VERSION_WARNING=1 \
        "$python" -m pip install -q --no-deps --no-build-isolation --no-cache-dir --no-compile \
        --no-warn-script-location --target "$1" -r "$dir/tmp/requirements.txt" >&2
}

say "installing wstest"
rm -rf "$dir/site"
echo "$build_pins" | install "$dir/tmp/build1"
cp -R "$dir/tmp/build1/." "$dir/tmp/build"
echo "$pins" | install "$dir/tmp/site"
if command -v cc >/dev/null &&
    echo "$accel_build_pins" | install "$dir/tmp/build2" && cp -R "$dir/tmp/build2/." "$dir/tmp/build" &&
    echo "$accel_pins" | CC=cc CPATH="$dir/py27/usr/include/python2.7:$dir/py27/usr/include" \
        install "$dir/tmp/accel" 2>"$dir/tmp/accel.log"; then
    cp -R "$dir/tmp/accel/." "$dir/tmp/site"
else
    say "without wsaccel (no C compiler, or it did not build); runs take longer, results are the same"
fi
: > "$dir/tmp/site/zope/__init__.py" # a namespace package; its .pth file is not read from here
mv "$dir/tmp/site" "$dir/site"

"$dir/bin/python27" -c "$check" >&2 || die "the installed wstest does not start"
rm -rf "$dir/tmp"
: > "$dir/.done-$stamp"
say "installed in $dir ($(du -sm "$dir" | cut -f1) MB)"
