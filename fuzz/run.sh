#!/usr/bin/env bash
# Runs the fuzz targets that are named, or all of them, one after the other, each for TIME seconds (60 if it is not set). Needs a
# nightly toolchain. What is new to a target is kept in fuzz/target, and an input at fault in fuzz/found: store that in
# fuzz/corpus under the target's name, so that the tests hold it from then on.
set -euo pipefail
cd "$(dirname "$0")"

time=${TIME:-60}
host=$(rustc -vV | sed -n 's/^host: //p')
if [ $# = 0 ]; then
    for target in fuzz_targets/*.rs; do
        set -- "$@" "$(basename "$target" .rs)"
    done
fi

# Coverage as libFuzzer counts it. `cargo fuzz` would pass the same, and a sanitizer, of little use where `unsafe` is forbidden.
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTUP_TOOLCHAIN=nightly cargo build --locked --release --bins --target "$host"

mkdir -p found
for target; do
    mkdir -p "target/grown/$target"
    "target/$host/release/$target" -max_total_time="$time" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
        -artifact_prefix="found/$target-" "target/grown/$target" "corpus/$target"
done
