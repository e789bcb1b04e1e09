# Makes the user and the state directory. A new installation is not started: its configuration comes first.
systemd-sysusers standpipe.conf || exit 1
systemd-tmpfiles --create standpipe.conf || exit 1
# It may name secrets. A default that comes in place of an older one is as it was packed, too; what the host's owner made of it stays.
if [ "$(stat -c '%G %a' /etc/standpipe/standpipe.toml)" = "root 640" ]; then
    chgrp standpipe /etc/standpipe/standpipe.toml
fi
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || :
fi
