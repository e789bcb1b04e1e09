# An upgrade restarts what runs. The state of what was removed stays: it may hold lines that are nowhere else.
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || :
    if [ "$1" -ge 1 ]; then
        systemctl --system try-restart standpipe.service || :
    fi
fi
if [ "$1" = 0 ]; then
    # The package names files alone: these are its folders.
    for folder in /usr/share/doc/standpipe /usr/share/licenses/standpipe /etc/standpipe; do
        find "$folder" -depth -type d -empty -delete 2>/dev/null || :
    done
fi
