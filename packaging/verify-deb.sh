#!/usr/bin/env bash
# Installs, runs, upgrades and removes a package in a Debian system made for it: `packaging/verify-deb.sh target/packages/standpipe_*.deb`.
# Needs root, debootstrap, and a way to Debian's archive; exits 77 where it cannot run. Nothing of this machine is changed.
set -euo pipefail

package=$(readlink -f "$1")
[ "$(id -u)" = 0 ] || { echo "verify-deb: not run: it needs root" >&2; exit 77; }
command -v debootstrap >/dev/null || { echo "verify-deb: not run: it needs debootstrap" >&2; exit 77; }
# Mounts are this script's own.
if [ -z "${VERIFY_DEB_APART:-}" ]; then
    unshare --mount true 2>/dev/null || { echo "verify-deb: not run: it may not mount" >&2; exit 77; }
    exec env VERIFY_DEB_APART=1 unshare --mount "$0" "$package"
fi

folder=$(mktemp -d)
root=$folder/root
trap 'umount -l "$root/proc" 2>/dev/null || true; rm -rf "$folder"' EXIT
say() { printf '== %s\n' "$1"; }
fail() { printf 'verify-deb: %s\n' "$1" >&2; exit 1; }
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
as_user() { inside runuser -u standpipe -- "$@"; }
mode() { inside stat -c '%U:%G %a' "$1"; }

say "a Debian system"
# shellcheck source=/dev/null
suite=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")}
debootstrap --variant=minbase --include=ca-certificates,procps,systemd "$suite" "$root" >"$folder/log" 2>&1 \
    || { tail -n 20 "$folder/log" >&2; fail "debootstrap failed"; }
mount -t proc proc "$root/proc"

say "an older version, with other defaults"
dpkg-deb -R "$package" "$folder/older"
sed -i 's/^Version: .*/Version: 0.0.1/' "$folder/older/DEBIAN/control"
echo '# An older default.' >>"$folder/older/etc/standpipe/standpipe.toml"
rm -f "$folder/older/DEBIAN/md5sums"
dpkg-deb --root-owner-group -b "$folder/older" "$root/older.deb" >/dev/null
cp "$package" "$root/newer.deb"

say "install"
# What it depends on is there, or this fails.
inside dpkg -i /older.deb
inside getent passwd standpipe >/dev/null || fail "the user is not there"
[ "$(mode /etc/standpipe/standpipe.toml)" = "root:standpipe 640" ] || fail "the configuration is $(mode /etc/standpipe/standpipe.toml)"
[ "$(mode /var/lib/standpipe)" = "standpipe:standpipe 700" ] || fail "the state directory is $(mode /var/lib/standpipe)"
for file in /usr/lib/systemd/system/standpipe.service /usr/share/man/man1/standpipe.1.gz /usr/share/zsh/vendor-completions/_standpipe \
    /usr/share/bash-completion/completions/standpipe /usr/share/fish/vendor_completions.d/standpipe.fish \
    /usr/share/doc/standpipe/dashboards/alerts.yml; do
    [ -s "$root$file" ] || fail "$file is not there"
done
inside systemd-analyze verify --man=no standpipe.service
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/standpipe.service" ] || fail "it is enabled before it is configured"

say "the first lines"
as_user standpipe check >/dev/null
printf '[sinks.archive]\ntype = "directory"\npath = "/var/lib/standpipe/out"\n' >"$root/etc/standpipe/standpipe.toml"
printf '[sources.files]\ntype = "file"\ninclude = ["/var/log/*.log"]\n' >>"$root/etc/standpipe/standpipe.toml"
echo 'a line for the package' >"$root/var/log/app.log"
as_user standpipe run --once
grep -rq 'a line for the package' "$root/var/lib/standpipe/out" || fail "the line did not arrive"

say "upgrade"
before=$(sha256sum <"$root/etc/standpipe/standpipe.toml")
# As apt upgrades where nobody is asked.
inside dpkg --force-confold -i /newer.deb
[ "$(sha256sum <"$root/etc/standpipe/standpipe.toml")" = "$before" ] || fail "the upgrade changed the configuration"
[ "$(mode /etc/standpipe/standpipe.toml)" = "root:standpipe 640" ] || fail "the upgrade changed who may read the configuration"
echo 'a line for the upgrade' >>"$root/var/log/app.log"
as_user standpipe run --once
[ "$(grep -rho 'a line for the package' "$root/var/lib/standpipe/out" | wc -l)" = 1 ] || fail "the upgrade lost the positions"
grep -rq 'a line for the upgrade' "$root/var/lib/standpipe/out" || fail "the second line did not arrive"

say "remove and purge"
inside dpkg -r standpipe
[ ! -e "$root/usr/bin/standpipe" ] || fail "the program stays"
[ -e "$root/etc/standpipe/standpipe.toml" ] || fail "the configuration does not stay"
inside dpkg -P standpipe
[ ! -e "$root/etc/standpipe/standpipe.toml" ] || fail "a purge leaves the configuration"
[ -e "$root/var/lib/standpipe/out" ] || fail "a purge takes what may be undelivered"
say "done"
