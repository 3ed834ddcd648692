#!/bin/bash
# Makes a small Debian 12 with systemd, which the container tests boot: tests/systemd/sysroot.sh [DIR]
#
# DIR is target/sysroot unless given. Needs root, debootstrap, and the mirror that this host's apt
# uses; about 170 MB and a minute, once. It is made beside DIR and renamed, so that what stands
# there is whole. Runs nothing that stays.
set -euo pipefail

cd "$(dirname "$0")/../.."
root=${1:-${CARGO_TARGET_DIR:-target}/sysroot}
suite=bookworm
# One that was made before the package needed it has no SQLite.
if ls "$root"/usr/lib/*/libsqlite3.so.0 > /dev/null 2>&1; then
    echo "$root is there already"
    exit 0
fi
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 2> /dev/null | head -n 1 || true)
new=$root.new
rm -rf "$new" "$root"
mkdir -p "$new"

# libssl3 and libsqlite3-0 are what our package depends on; procps has kill(1), for people who look around inside.
debootstrap --variant=minbase \
    --include=systemd,systemd-sysv,dbus,libssl3,libsqlite3-0,procps \
    "$suite" "$new" "${mirror:-http://deb.debian.org/debian}"

# What would only make the boot longer: consoles, logins, timers, the network's own services.
chroot "$new" systemctl mask \
    getty.target console-getty.service getty@tty1.service systemd-logind.service \
    systemd-resolved.service systemd-networkd.service systemd-timesyncd.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer systemd-tmpfiles-clean.timer
chroot "$new" systemctl set-default multi-user.target
echo plainws-test > "$new/etc/hostname"
echo '127.0.0.1 localhost plainws-test' > "$new/etc/hosts"
: > "$new/etc/machine-id"
rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/*
mv "$new" "$root"
du -sh "$root"
