# The front door: `make demo` and `make test` set up what a fresh machine lacks, say what and why, and go.
# After `make setup` everything also works by plain cargo; build into the same folder, or everything is built a second time:
#   export CARGO_TARGET_DIR=~/.cache/storewide-target

.PHONY: demo test setup serve doc fmt lint bench

export CARGO_TARGET_DIR ?= $(HOME)/.cache/storewide-target

demo: setup
	cargo run --bin storewide -- demo $(ARGS)

serve: setup
	cargo run --bin storewide -- serve $(ARGS)

test: setup
	cargo test --workspace

setup:
	@.ci/setup

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

fmt:
	cargo fmt --all

doc: setup
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

bench: setup
	cargo run --bin storewide -- bench $(ARGS)
