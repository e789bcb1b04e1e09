# The commands of a developer; .ci/run uses the same.

SHELL := /bin/bash
CARGO := cargo

.PHONY: test check bench bench-check fuzz chaos soak deb rpm image

# What the tests need beside Rust, and the tests.
test:
	tests/tools.sh
	PATH="$(CURDIR)/.tools/bin:$$PATH" $(CARGO) test --locked --workspace --no-fail-fast

# Everything that is wrong without running it. The fuzz targets need a nightly toolchain; that their lock file is up to date needs none.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml > /dev/null
	.ci/dependencies.py
	.ci/scripts.sh
	systemd/verify.sh

# The floor of this machine, then the real binary against the stand-in; see benches/README.md.
bench:
	$(CARGO) bench --locked --bench floor
	$(CARGO) bench --locked --bench stages
	$(CARGO) bench --locked --bench steps
	$(CARGO) build --locked --profile dist --bin standpipe
	$(CARGO) build --locked --release --example standin
	benches/end_to_end.py plain json gzip-1 gzip-6 files-1000 destinations-100 lines-50 lines-10k latency idle-1000 start-10000 stalled
	benches/remote.py --runs 1

# Instructions of the core's stages against those in benches/instructions.toml, within 3 %; WRITE=1 writes them anew.
bench-check:
	$(CARGO) build --locked --release --package standpipe-instructions
	benches/instructions.py $(if $(WRITE),--write)

# What is passed on, in target/packages; `make deb rpm` needs `cargo install cargo-deb cargo-generate-rpm`.
deb rpm image:
	packaging/build.sh $@

# The fuzz targets, each for TIME seconds: `make fuzz TIME=600`. Needs a nightly toolchain.
TIME := 60
fuzz:
	TIME=$(TIME) fuzz/run.sh

# Random faults, kills and stops for CHAOS_SECONDS, and then a fleet of three for FLEET_SECONDS, by the seed of the day or SEED; or with
# MODE=kills KILLS kills in a row, or with MODE=fleet the fleet alone for CHAOS_SECONDS. See CONTRIBUTING.md.
MODE ?= plan
BUFFER ?= memory
CHAOS_SECONDS ?= 120
FLEET_SECONDS ?= 60
KILLS ?= 100
MINUTES ?= 30
CHAOS := $(CARGO) test --locked --test chaos -- --buffer $(BUFFER) $(if $(BIN),--bin $(BIN))
chaos:
	$(CARGO) build --locked --example standin
	$(CHAOS) --objects --hostile --mode $(MODE) --seconds $(CHAOS_SECONDS) --kills $(KILLS) $(if $(SEED),--seed $(SEED))
	$(if $(filter plan,$(MODE)),$(CHAOS) --mode fleet --seconds $(FLEET_SECONDS) $(if $(SEED),--seed $(SEED)))

# Half of full speed for MINUTES: memory and descriptors have to stay flat. BIN=target/release/standpipe soaks the release build.
soak:
	$(CARGO) build --locked --example standin
	$(CHAOS) --mode soak --minutes $(MINUTES) $(if $(RATE),--rate $(RATE))
