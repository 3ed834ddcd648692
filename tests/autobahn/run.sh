#!/bin/bash
# Runs Autobahn's cases for RFC 6455 against the echo example as server, then against the
# autobahn_client example as client, both of the release build; then some of them over TLS.
#
#   tests/autobahn/run.sh [ROLE [CASE...]]      e.g. run.sh, run.sh server, run.sh client 7.1.5 '9.*'
#
# ROLE is server, client, wss-server or wss-client: the role that is tested; all without one. CASE is a
# case id or a quoted pattern; without one groups 1 to 7, 9 and 10, and over TLS 1 (frames) and 7 (closing).
# Prints one line of counts a role and each case that is worse than expected.txt. Exits 0 when there is
# none, 1 when there is, 2 when nothing could be run.
#
# CARGO_TARGET_DIR   cargo's; wstest and the reports are in its autobahn/ (default: target)
# AUTOBAHN_LIMIT_S   seconds for one role; what has no result by then failed (default: 600)
set -euo pipefail

cd "$(dirname "$0")/../.."
home=tests/autobahn
target=${CARGO_TARGET_DIR:-target}
wstest=$target/autobahn
export AUTOBAHN_LIMIT_S=${AUTOBAHN_LIMIT_S:-600}

if [ $# = 0 ]; then
    status=0
    for role in server client wss-server wss-client; do
        "$home/run.sh" "$role" || status=$?
    done
    exit "$status"
fi

role=$1
shift
cases=({1,2,3,4,5,6,7,9,10}'.*')
case $role in
server | client) tls= ;;
wss-server | wss-client) tls=yes cases=('1.*' '7.*') ;;
*) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p;}' "$0" >&2; exit 2 ;;
esac
[ $# -gt 0 ] || set -- "${cases[@]}"

"$home/setup.sh" "$wstest" || exit 2
cargo build -q --release --example echo --example autobahn_client || exit 2
report=$wstest/report-$role
rm -rf "$report"
mkdir -p "$report"
# The log is looked at before the process behind it has opened it.
: > "$report/wstest.log"
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT

# A new one each time, as it ends with the day; by another tool than what is tested. The key is nobody
# else's to read, also for the moment of the run.
pem=() crt=()
if [ -n "$tls" ]; then
    pem=("$report/tls.pem") crt=("$report/tls.crt")
    (umask 077 && openssl req -x509 -config certs/openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -days 1 -keyout "${pem[0]}" -out "${crt[0]}" 2> "$report/openssl.log") || { cat "$report/openssl.log" >&2; exit 2; }
    cat "${crt[0]}" >> "${pem[0]}"
fi

# Prints the URL that the background process PID announces in LOG, within 10 s.
url() { # url PID LOG
    for _ in {1..100}; do
        if grep -o -m 1 "ws${tls:+s}://[0-9.]*:[0-9]*/" "$2"; then return; fi
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    echo "autobahn $role: the listening side did not start: $(cat "$2")" >&2
    return 1
}

fuzz=("$wstest/bin/python27" -u "$home/fuzz.py" "${role#wss-}" "$report")

if [ "${role#wss-}" = server ]; then
    "$target/release/examples/echo" 127.0.0.1:0 "${pem[@]}" 2> "$report/echo.log" &
    url=$(url $! "$report/echo.log") || exit 2
    "${fuzz[@]}" "$url" "$@" > "$report/wstest.log" 2>&1 || { tail -n 5 "$report/wstest.log" >&2; exit 2; }
else
    AUTOBAHN_PEM=${pem[*]} "${fuzz[@]}" "$@" > "$report/wstest.log" 2>&1 &
    fuzzer=$!
    url=$(url $fuzzer "$report/wstest.log") || exit 2
    timeout "$AUTOBAHN_LIMIT_S" "$target/release/examples/autobahn_client" "${url%/}" "${crt[@]}" 2> "$report/client.log" ||
        echo "autobahn client: the client exited with $?; see $report/client.log" >&2
    # It ends by itself after the client's /updateReports, and on the signal, both with a report.
    for _ in {1..50}; do
        kill -0 $fuzzer 2>/dev/null || break
        sleep 0.1
    done
    kill $fuzzer 2>/dev/null || :
    wait $fuzzer || :
fi
python3 "$home/judge.py" "$role" "$report"
