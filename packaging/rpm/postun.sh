# An upgrade restarts what runs. The state of what was removed stays: it may hold lines that are nowhere else.
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || :
    if [ "$1" -ge 1 ]; then
        systemctl --system try-restart standpipe.service || :
    fi
fi
