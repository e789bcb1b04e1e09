# Makes the user and the state directory. A new installation is not started: its configuration comes first.
systemd-sysusers standpipe.conf || exit 1
systemd-tmpfiles --create standpipe.conf || exit 1
if [ "$1" = 1 ]; then
    # It may name secrets; an upgrade leaves what the host's owner made of it.
    chgrp standpipe /etc/standpipe/standpipe.toml
    chmod 0640 /etc/standpipe/standpipe.toml
fi
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || :
fi
