#!/usr/bin/env bash
# Lets systemd check a copy of the unit: the program, its user and its state are not on this machine.
set -euo pipefail
cd "$(dirname "$0")"

# The unit's exposure as systemd rates it must not exceed this, out of 100.
most=14

if ! command -v systemd-analyze >/dev/null; then
    echo "systemd: systemd-analyze is not installed: the unit was not checked" >&2
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed 's|/usr/bin/standpipe|/bin/true|' standpipe.service >"$folder/standpipe.service"
sed 's|/usr/bin/standpipe|/bin/true|' standpipe-subscribe.service >"$folder/standpipe-subscribe.service"
units=("$folder/standpipe.service" "$folder/standpipe-subscribe.service")
# systemd knows notify-reload since version 253.
version=$(systemd-analyze --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
if [ "${version:-0}" -ge 253 ]; then
    cat "$folder/standpipe.service" notify-reload.conf >"$folder/standpipe-notify-reload.service"
    units+=("$folder/standpipe-notify-reload.service")
fi
for unit in "${units[@]}"; do
    words=$(systemd-analyze verify --man=no "$unit" 2>&1) || { echo "$words" >&2; exit 1; }
    # systemd may find faults in other units of this machine, too.
    if grep -q standpipe <<<"$words"; then
        echo "$words" >&2
        exit 1
    fi
done
words=$(systemd-sysusers --dry-run "$PWD/standpipe.sysusers" 2>&1) || { echo "$words" >&2; exit 1; }
for unit in standpipe standpipe-subscribe; do
    systemd-analyze security --offline=yes --threshold="$most" --no-pager "$folder/$unit.service" | tail -n 1
done
