# What verify-deb.sh and verify-rpm.sh have in common, which source this: a Debian system in a folder of its own, and what an installed
# standpipe does in it. Needs root, debootstrap, and a way to Debian's archive; exits 77 where it cannot run. Nothing of this machine is
# changed.
# shellcheck shell=bash

me=$(basename "$0" .sh)
say() { printf '== %s\n' "$1"; }
fail() { printf '%s: %s\n' "$me" "$1" >&2; exit 1; }
not_run() { printf '%s: not run: %s\n' "$me" "$1" >&2; exit 77; }

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
as_user() { inside runuser -u standpipe -- "$@"; }
mode() { inside stat -c '%U:%G %a' "$1"; }

# Goes on with mounts that are this script's own: `apart "$@"`.
apart() {
    [ "$(id -u)" = 0 ] || not_run "it needs root"
    command -v debootstrap >/dev/null || not_run "debootstrap is missing: install Debian's package debootstrap"
    if [ -z "${VERIFY_APART:-}" ]; then
        unshare --mount true 2>/dev/null || not_run "it may not mount"
        exec env VERIFY_APART=1 unshare --mount "$0" "$@"
    fi
}

# The system, in $root below $folder, with these packages beside the smallest. No systemd runs in it: what a package asks of `systemctl` is
# written to /systemctl.log.
make_root() {
    local suite
    folder=$(mktemp -d)
    root=$folder/root
    trap 'umount -l "$root/proc" 2>/dev/null || true; rm -rf "$folder"' EXIT
    say "a Debian system"
    # shellcheck source=/dev/null
    suite=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")}
    if ! debootstrap --variant=minbase --include="ca-certificates,procps,systemd,$1" "$suite" "$root" >"$folder/log" 2>&1; then
        tail -n 20 "$folder/log" >&2
        grep -q "Couldn't download\|Failed getting release" "$folder/log" && not_run "Debian's archive cannot be reached"
        fail "debootstrap failed"
    fi
    mount -t proc proc "$root/proc"
    mkdir -p "$root/run/systemd/system"
    rm -f "$root/usr/bin/systemctl"
    printf '#!/bin/sh\necho "$*" >>/systemctl.log\n' >"$root/usr/bin/systemctl"
    chmod 755 "$root/usr/bin/systemctl"
}

# What was asked of systemd since the last look.
asked_of_systemd() { cat "$root/systemctl.log" 2>/dev/null || true; rm -f "$root/systemctl.log"; }

# What is there after an installation, with this file for zsh.
is_installed() {
    local file asked
    asked=$(asked_of_systemd)
    grep -q daemon-reload <<<"$asked" || fail "systemd is not told to look for the unit: $asked"
    ! grep -q "start\|enable" <<<"$asked" || fail "it is started before it is configured: $asked"
    inside getent passwd standpipe >/dev/null || fail "the user is not there"
    [ "$(mode /etc/standpipe/standpipe.toml)" = "root:standpipe 640" ] || fail "the configuration is $(mode /etc/standpipe/standpipe.toml)"
    [ "$(mode /var/lib/standpipe)" = "standpipe:standpipe 700" ] || fail "the state directory is $(mode /var/lib/standpipe)"
    for file in /usr/lib/systemd/system/standpipe.service /usr/share/man/man1/standpipe.1.gz "$1" \
        /usr/share/bash-completion/completions/standpipe /usr/share/fish/vendor_completions.d/standpipe.fish \
        /usr/share/doc/standpipe/dashboards/alerts.yml; do
        [ -s "$root$file" ] || fail "$file is not there"
    done
    inside systemd-analyze verify --man=no standpipe.service
    [ ! -e "$root/etc/systemd/system/multi-user.target.wants/standpipe.service" ] || fail "it is enabled before it is configured"
}

# Where nobody changed the configuration, an upgrade brings its own, which the user may read as before.
takes_the_new_default() {
    ! grep -q 'An older default' "$root/etc/standpipe/standpipe.toml" || fail "the new default does not come"
    [ "$(mode /etc/standpipe/standpipe.toml)" = "root:standpipe 640" ] || fail "an upgrade makes it $(mode /etc/standpipe/standpipe.toml)"
}

# The program of a line of the unit, such as ExecStart, with its arguments.
of_unit() { sed -n "s/^$1=//p" "$root/usr/lib/systemd/system/standpipe.service"; }

# Delivers what is in /var/log to a folder, once it is configured: the commands of docs/install.md, with the unit's own in place of
# `systemctl enable --now`.
delivers_the_first_lines() {
    local check run
    say "the first lines"
    read -ra check < <(of_unit ExecStartPre)
    read -ra run < <(of_unit ExecStart)
    as_user "${check[@]}" >/dev/null
    printf '[server]\nlisten = "127.0.0.1:0"\n' >"$root/etc/standpipe/standpipe.toml"
    printf '[sinks.archive]\ntype = "directory"\npath = "/var/lib/standpipe/out"\n' >>"$root/etc/standpipe/standpipe.toml"
    printf '[sources.files]\ntype = "file"\ninclude = ["/var/log/*.log"]\n' >>"$root/etc/standpipe/standpipe.toml"
    configured=$(sha256sum <"$root/etc/standpipe/standpipe.toml")
    echo 'a line for the package' >"$root/var/log/app.log"
    as_user standpipe doctor >/dev/null || fail "doctor finds something"
    as_user "${check[@]}" >/dev/null
    as_user "${run[@]}" --once
    grep -rq 'a line for the package' "$root/var/lib/standpipe/out" || fail "the line did not arrive"
}

# An upgrade kept the configuration and the positions, and restarts what runs.
is_upgraded() {
    local asked
    asked=$(asked_of_systemd)
    grep -q daemon-reload <<<"$asked" || fail "systemd is not told of the new unit: $asked"
    [ "$(grep -c 'try-restart standpipe.service' <<<"$asked")" = 1 ] || fail "an upgrade has to restart it once: $asked"
    ! grep -q "disable\|enable\|stop" <<<"$asked" || fail "an upgrade only restarts: $asked"
    [ "$(sha256sum <"$root/etc/standpipe/standpipe.toml")" = "$configured" ] || fail "the upgrade changed the configuration"
    [ "$(mode /etc/standpipe/standpipe.toml)" = "root:standpipe 640" ] || fail "the upgrade changed who may read the configuration"
    echo 'a line for the upgrade' >>"$root/var/log/app.log"
    as_user standpipe run --once
    [ "$(grep -rho 'a line for the package' "$root/var/lib/standpipe/out" | wc -l)" = 1 ] || fail "the upgrade lost the positions"
    grep -rq 'a line for the upgrade' "$root/var/lib/standpipe/out" || fail "the second line did not arrive"
}

# A removal stopped it and took the program; what may be undelivered stays.
is_removed() {
    local asked left
    asked=$(asked_of_systemd)
    grep -q -- 'disable --now standpipe.service' <<<"$asked" || fail "a removal has to stop it: $asked"
    left=$(find "$root/usr" "$root/etc/systemd" -name '*standpipe*')
    [ -z "$left" ] || fail "what stays: $left"
    [ -e "$root/var/lib/standpipe/out" ] || fail "a removal takes what may be undelivered"
}
