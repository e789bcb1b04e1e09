#!/usr/bin/env bash
# Installs, runs, upgrades and removes a package in a Debian system made for it: `packaging/verify-deb.sh target/packages/standpipe_*.deb`.
# Needs root, debootstrap, and a way to Debian's archive; exits 77 where it cannot run. Nothing of this machine is changed.
set -euo pipefail
# shellcheck source=packaging/in-a-root.sh
. "$(dirname "$0")/in-a-root.sh"
package=$(readlink -f "$1")
apart "$package"
make_root apt

say "an older version, with other defaults"
dpkg-deb -R "$package" "$folder/older"
sed -i 's/^Version: .*/Version: 0.0.1/' "$folder/older/DEBIAN/control"
echo '# An older default.' >>"$folder/older/etc/standpipe/standpipe.toml"
rm -f "$folder/older/DEBIAN/md5sums"
dpkg-deb --root-owner-group -b "$folder/older" "$root/older.deb" >/dev/null
cp "$package" "$root/newer.deb"

say "install"
# As a user does it. What it depends on is there, or this fails.
inside apt-get install -q -y --no-install-recommends /older.deb
is_installed /usr/share/zsh/vendor-completions/_standpipe

say "upgrade where the configuration is the default"
inside dpkg -i /newer.deb
takes_the_new_default
inside dpkg -i /older.deb
asked_of_systemd >/dev/null

delivers_the_first_lines

say "upgrade"
# As apt upgrades where nobody is asked.
inside dpkg --force-confold -i /newer.deb
is_upgraded

say "remove and purge"
inside dpkg -r standpipe
is_removed
[ -e "$root/etc/standpipe/standpipe.toml" ] || fail "the configuration does not stay"
inside dpkg -P standpipe
[ ! -e "$root/etc/standpipe/standpipe.toml" ] || fail "a purge leaves the configuration"
[ -e "$root/var/lib/standpipe/out" ] || fail "a purge takes what may be undelivered"
say "done"
