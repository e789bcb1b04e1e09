# The commands of a developer; .ci/run uses the same.

SHELL := /bin/bash
CARGO := cargo

.PHONY: test check bench fuzz

# What the tests need beside Rust, and the tests.
test:
	tests/tools.sh
	PATH="$(CURDIR)/.tools/bin:$$PATH" $(CARGO) test --locked --no-fail-fast

# Everything that is wrong without running it.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	.ci/dependencies.py
	.ci/scripts.sh
	systemd/verify.sh

# The floor of this machine, then the real binary against the stand-in; see benches/README.md.
bench:
	$(CARGO) bench --locked --bench floor
	$(CARGO) bench --locked --bench stages
	$(CARGO) build --locked --release --bin standpipe
	$(CARGO) build --locked --release --example standin
	benches/end_to_end.py plain json gzip-1 gzip-6 files-1000 destinations-100 lines-50 lines-10k latency idle-1000 start-10000 stalled

# The fuzz targets, each for TIME seconds: `make fuzz TIME=600`. Needs a nightly toolchain.
TIME := 60
fuzz:
	TIME=$(TIME) fuzz/run.sh
