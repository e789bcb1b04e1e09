# What is removed is stopped, and drains.
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl --system --no-reload disable --now standpipe.service >/dev/null || :
fi
