#!/usr/bin/env bash
# Builds what is passed on, in target/packages: `packaging/build.sh deb rpm image`. Needs `cargo install cargo-deb cargo-generate-rpm` for
# the first two, and python3 for the image.
#
# Without BINARY it builds the profile `dist` first; BINARY=target/release/standpipe packs that one. QUICK=1 compresses less. OUT=FOLDER
# takes the results instead.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$#" -gt 0 ] || { echo "packaging/build.sh: say what to build: deb, rpm, image" >&2; exit 2; }
target=${CARGO_TARGET_DIR:-target}
out=${OUT:-$target/packages}
mkdir -p "$out"

if [ -z "${BINARY:-}" ]; then
    cargo build --locked --profile dist --bin standpipe
    BINARY=$target/dist/standpipe
fi

# What packages hold beside files of the repository. Both tools take it from fixed places, since Cargo.toml names them.
stage() {
    rm -rf target/packaging
    mkdir -p target/packaging/man target/packaging/completions
    install -m 0755 "$BINARY" target/packaging/standpipe
    "$BINARY" man target/packaging/man
    "$BINARY" completions bash >target/packaging/completions/standpipe.bash
    "$BINARY" completions zsh >target/packaging/completions/_standpipe
    "$BINARY" completions fish >target/packaging/completions/standpipe.fish
    gzip -9nf target/packaging/man/*.1
}

needs() {
    command -v "$1" >/dev/null || { echo "packaging/build.sh: $1 is missing: cargo install $1" >&2; exit 1; }
}

for what in "$@"; do
    case $what in
    deb)
        needs cargo-deb
        stage
        cargo deb --no-build --no-strip ${QUICK:+--fast} --output "$out/"
        ;;
    rpm)
        needs cargo-generate-rpm
        stage
        cargo generate-rpm ${QUICK:+--payload-compress none} --output "$out/"
        ;;
    image)
        packaging/image.py --binary "$BINARY" --archive "$out/standpipe-image.tar" --most 40
        ;;
    *)
        echo "packaging/build.sh: \`$what\` is not known: deb, rpm or image" >&2
        exit 2
        ;;
    esac
done
ls -l "$out"
