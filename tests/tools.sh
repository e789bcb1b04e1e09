#!/usr/bin/env bash
# Installs what the tests need beside Rust, into this folder: moto, the AWS CLI, linters and a client in .venv, promtool, Prometheus and
# valgrind in .tools, and there what writes journals, where there is journalctl, and what is Node's, where there is npm.
# Without either, the tests that need it are left out, and it is said here; in CI (CI=true) that is a failure.
# PACKERS=1 builds in .tools what makes packages, too, for the tests that install them.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=0

lacks() {
    echo "tools: $1" >&2
    missing=1
}

# Runs a command as root, where that can be had without asking.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# apt-get with fresh lists at the second try.
apt_get() {
    apt-get "$@" >&2 || { as_root apt-get update >&2 && apt-get "$@" >&2; }
}

install_moto() {
    local wanted
    wanted=$(sha256sum tests/requirements.txt)
    if [ "$(cat .venv/installed 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    rm -rf .venv
    if ! python3 -m venv .venv >&2; then
        # Debian keeps it in a package of its own.
        as_root apt-get update >&2 && as_root apt-get install -y --no-install-recommends python3-venv >&2 || return 1
        rm -rf .venv
        python3 -m venv .venv >&2 || return 1
    fi
    .venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements.txt >&2 || return 1
    echo "$wanted" >.venv/installed
}

# Unpacks Debian packages below .tools/FOLDER, and installs none: `unpack FOLDER PACKAGE...`.
unpack() {
    command -v dpkg-deb >/dev/null || return 1
    local folder=$PWD/.tools/$1 download=$PWD/.tools/download package
    shift
    rm -rf "$download"
    mkdir -p "$PWD/.tools/bin" "$folder" "$download"
    (cd "$download" && apt_get -q download "$@") || return 1
    for package in "$download"/*.deb; do
        dpkg-deb -x "$package" "$folder" || return 1
    done
    rm -rf "$download"
}

# The programs alone: the package would start a daemon.
install_prometheus() {
    local program lacking=0
    for program in promtool prometheus; do
        command -v "$program" >/dev/null || [ -x ".tools/bin/$program" ] || lacking=1
    done
    if [ "$lacking" = 0 ]; then
        return
    fi
    command -v dpkg-deb >/dev/null || return 1
    local tools=$PWD/.tools
    mkdir -p "$tools/bin" "$tools/download"
    (cd "$tools/download" && apt_get -q download prometheus) || return 1
    dpkg-deb --fsys-tarfile "$tools"/download/prometheus_*.deb \
        | tar -x -C "$tools/download" ./usr/bin/promtool ./usr/bin/prometheus || return 1
    mv "$tools/download/usr/bin/promtool" "$tools/download/usr/bin/prometheus" "$tools/bin/"
    rm -rf "$tools/download"
}

# Writes journals for the tests of the journal, where the machine has `journalctl`: of its own version, and run from here.
install_journal_writer() {
    command -v journalctl >/dev/null || return 1
    if [ -x .tools/bin/systemd-journal-remote ]; then
        return
    fi
    local tools=$PWD/.tools version
    version=$(dpkg-query -W -f '${Version}' systemd) || return 1
    unpack journal "systemd-journal-remote=$version" libmicrohttpd12 || return 1
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$(dirname "$(find "$tools/journal" -name 'libmicrohttpd.so.*' | head -n 1)")" \
        "$(find "$tools/journal" -path '*/systemd/systemd-journal-remote' -type f | head -n 1)" >"$tools/bin/systemd-journal-remote"
    chmod 755 "$tools/bin/systemd-journal-remote"
}

# Counts instructions for `make bench-check`.
install_valgrind() {
    if command -v valgrind >/dev/null || [ -x .tools/bin/valgrind ]; then
        return
    fi
    local tools=$PWD/.tools
    unpack valgrind valgrind || return 1
    printf '#!/bin/sh\nVALGRIND_LIB=%s/valgrind/usr/libexec/valgrind exec %s/valgrind/usr/bin/valgrind.bin "$@"\n' "$tools" "$tools" >"$tools/bin/valgrind"
    chmod +x "$tools/bin/valgrind"
}

# Tests more where there is Node: a client that uses the whole of the Fluent Forward protocol, servers of Kinesis and DynamoDB, and a
# simulator of IAM to compare with.
install_node_tools() {
    local wanted="@fluent-org/logger@1.0.10 kinesis-local@0.6.2 dynalite@4.0.0 @cloud-copilot/iam-simulate@0.1.173"
    if [ "$(cat .tools/node_modules/installed 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    # Together: what is not named is taken away.
    # shellcheck disable=SC2086 # one argument a package
    npm install --prefix .tools --no-save --no-audit --no-fund --ignore-scripts $wanted >&2 || return 1
    echo "$wanted" >.tools/node_modules/installed
}

# Makes systems that packages are installed in. It is a script.
install_debootstrap() {
    if command -v debootstrap >/dev/null || [ -x .tools/bin/debootstrap ]; then
        return
    fi
    command -v wget >/dev/null || return 1
    local tools=$PWD/.tools
    unpack debootstrap debootstrap || return 1
    printf '#!/bin/sh\nDEBOOTSTRAP_DIR=%s/debootstrap/usr/share/debootstrap exec %s/debootstrap/usr/sbin/debootstrap "$@"\n' "$tools" "$tools" >"$tools/bin/debootstrap"
    chmod +x "$tools/bin/debootstrap"
}

# Make packages. They are built here, which takes minutes: so only where PACKERS=1 asks for it.
install_packers() {
    local packer
    for packer in cargo-deb@3.8.0 cargo-generate-rpm@0.21.1; do
        if command -v "${packer%@*}" >/dev/null || [ -x ".tools/bin/${packer%@*}" ]; then
            continue
        fi
        [ "${PACKERS:-}" = 1 ] || return 1
        cargo install --quiet --locked --debug --root "$PWD/.tools" --target-dir .tools/packers "$packer" >&2 || return 1
    done
    rm -rf .tools/packers
}

install_moto || lacks "moto and the linters could not be installed into .venv: they need python3 with venv, and PyPI"
install_prometheus || lacks "promtool and prometheus could not be had: install Debian's prometheus package, or put both on the PATH"

install_journal_writer || echo "tools: left out: systemd-journal-remote could not be had from Debian, or there is no journalctl" >&2

install_valgrind || echo "tools: left out: valgrind could not be had from Debian, so that \`make bench-check\` counts nothing" >&2
install_debootstrap || echo "tools: left out: debootstrap could not be had from Debian, or there is no wget, so that no test installs a package" >&2
install_packers || echo "tools: left out: cargo-deb and cargo-generate-rpm are not here, so that no test installs a package: PACKERS=1 tests/tools.sh builds both" >&2
install_node_tools || echo "tools: left out: @fluent-org/logger, kinesis-local, dynalite and @cloud-copilot/iam-simulate could not be had from npm" >&2

if [ "$missing" = 1 ] && [ "${CI:-}" = true ]; then
    exit 1
fi
