#!/usr/bin/env bash
# Installs, runs, upgrades and removes a package by rpm in a system made for it: `packaging/verify-rpm.sh target/packages/standpipe-*.rpm`,
# after `packaging/build.sh rpm`, of whose files it packs an older version. Needs root, debootstrap, cargo-generate-rpm, and a way to
# Debian's archive; exits 77 where it cannot run. Nothing of this machine is changed.
#
# The system is Debian's, with Debian's rpm, whose database does not know what Debian installed: so what the package requires is looked at by
# itself.
set -euo pipefail
# shellcheck source=packaging/in-a-root.sh
. "$(dirname "$0")/in-a-root.sh"
package=$(readlink -f "$1")
apart "$package"
command -v cargo-generate-rpm >/dev/null || not_run "cargo-generate-rpm is missing: cargo install cargo-generate-rpm"
cd "$(dirname "$0")/.."
make_root rpm

say "an older version, with other defaults"
mkdir "$folder/older"
{ cat packaging/standpipe.toml && echo '# An older default.'; } >"$folder/older/standpipe.toml"
sed -e "s|source = \"packaging/standpipe.toml\"|source = \"$folder/older/standpipe.toml\"|" \
    -e 's|^\[package.metadata.generate-rpm\]|&\nversion = "0.0.1"|' Cargo.toml >"$folder/older/Cargo.toml"
cargo generate-rpm --payload-compress none --metadata-overwrite "$folder/older/Cargo.toml#package.metadata.generate-rpm" \
    --output "$root/older.rpm"
cp "$package" "$root/newer.rpm"

say "what it requires"
for name in ca-certificates systemd; do
    inside rpm -qp --requires /newer.rpm | grep -qx "$name" || fail "it does not require $name"
done

say "install"
inside rpm --install --nodeps /older.rpm
is_installed /usr/share/zsh/site-functions/_standpipe
[ -s "$root/usr/share/licenses/standpipe/LICENSE" ] || fail "the licence is not there"
# All but who may read the configuration is as it was packed.
changed=$(inside rpm --verify --nodeps standpipe | grep -v '^[.G]* *c /etc/standpipe/standpipe.toml$' || true)
[ -z "$changed" ] || fail "what is installed is not what was packed: $changed"

say "upgrade where the configuration is the default"
inside rpm --upgrade --nodeps /newer.rpm
takes_the_new_default
inside rpm --upgrade --oldpackage --nodeps /older.rpm
asked_of_systemd >/dev/null

delivers_the_first_lines

say "upgrade"
inside rpm --upgrade --nodeps /newer.rpm
is_upgraded
# The new default stands beside it, to be compared.
cmp packaging/standpipe.toml "$root/etc/standpipe/standpipe.toml.rpmnew" || fail "the new default does not stand beside the configuration"

say "remove"
inside rpm --erase --nodeps standpipe
is_removed
[ ! -e "$root/etc/standpipe/standpipe.toml" ] || fail "the configuration stays under its name"
[ "$(sha256sum <"$root/etc/standpipe/standpipe.toml.rpmsave")" = "$configured" ] || fail "the configuration does not stay"
say "done"
