#!/bin/bash
# Boots systemd in a container until stdin ends: tests/systemd/container.sh NAME ROOT
#
# ROOT (sysroot.sh makes one) is not changed: what is written goes to memory, and is lost at the end.
# Prints `leader PID` when the system is up: its first process, whose namespaces nsenter can enter.
# When stdin ends, or the caller, it powers off, and nothing is left: no process, cgroup or mount.
# Needs root and systemd-nspawn; the host need not be booted with systemd.
set -euo pipefail

name=$1 root=$2
group=plainws-$name

# Where this host has cgroups: all in one hierarchy, or version 2 beside version 1.
hierarchies=()
for at in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ ! -d "$at" ] || hierarchies+=("$at/$group")
done
[ ${#hierarchies[@]} -gt 0 ] || hierarchies=("/sys/fs/cgroup/$group")

# An orphan stays a zombie until the host's first process gets round to it.
lives() { grep -qs '^State:.[^ZX]' "/proc/$1/status"; }

nspawn='' leader=''
end() {
    set +e
    if [ -n "$leader" ]; then
        kill -s RTMIN+4 "$leader" 2> /dev/null # poweroff.target
        for _ in $(seq 200); do
            lives "$nspawn" || break
            sleep 0.1
        done
    fi
    # Whoever is in our own group still: at once.
    for at in "${hierarchies[@]}"; do
        [ ! -e "$at/cgroup.kill" ] || echo 1 > "$at/cgroup.kill"
    done
    [ -z "$nspawn" ] || wait "$nspawn"
    for at in "${hierarchies[@]}"; do
        [ ! -d "$at" ] || find "$at" -depth -type d -exec rmdir {} + 2> /dev/null
    done
}
trap end EXIT
trap 'exit 1' INT TERM

mkdir -p "${hierarchies[@]}"
# A mount namespace of its own: nspawn wants a tmpfs at /run/systemd, and leaves nothing behind so.
# All capabilities and bpf(2) inside: systemd there makes its own filters.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 unshare --mount --propagation private bash -c '
    set -e
    until [ "$1" = -- ]; do echo $$ > "$1/cgroup.procs"; shift; done
    shift
    mkdir -p /run/systemd
    mount -t tmpfs tmpfs /run/systemd
    exec systemd-nspawn "$@"' nspawn "${hierarchies[@]}" -- \
    --quiet --machine="$name" --directory="$root" --volatile=overlay --register=no --keep-unit \
    --console=pipe --private-network --resolv-conf=off --timezone=off --link-journal=no \
    --capability=all --system-call-filter=bpf --boot < /dev/null >&2 &
nspawn=$!

for _ in $(seq 600); do
    lives "$nspawn" || { echo "systemd-nspawn ended" >&2; exit 1; }
    # It has children that are none, at first.
    for child in $(cat "/proc/$nspawn/task/$nspawn/children" 2> /dev/null); do
        [ "$(cat "/proc/$child/comm" 2> /dev/null)" != systemd ] || leader=$child
    done
    if [ -n "$leader" ]; then
        state=$(nsenter -t "$leader" -a systemctl is-system-running 2> /dev/null || true)
        case $state in
        running | degraded)
            echo "leader $leader"
            # Until stdin ends.
            cat > /dev/null
            exit 0
            ;;
        esac
    fi
    sleep 0.1
done
echo "no boot within a minute" >&2
exit 1
