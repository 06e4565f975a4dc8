# The commands that must always work, each with its own set-up. See CONTRIBUTING.md for the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help demo test setup lint doc wasm chart unit counts planted fuzz load soak bench-peers joining kill-test

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## a sealed conference end to end: real processes, sockets, TLS, QUIC and MLS
	cargo run --release -- demo

test: setup lint doc wasm chart counts planted unit ## everything that must pass

setup: # what the checks need beyond Rust, gcc, make and git
	.ci/setup

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

doc: # the manuals of the crates
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items -q

wasm: # the pure crates build for a browser
	.ci/wasm

chart: setup ## lint, render and schema-check the Helm chart
	.ci/chart

counts: setup ## instructions that a chunk costs the relay, against their bounds
	.ci/counts

planted: # a relay that breaks what it carries is found out by the load test
	cargo test -p loadtest --features planted-faults --test planted

unit: ## the tests; the runner's own summary comes last
	cargo test --workspace --doc -q
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --workspace --no-fail-fast; \
	else \
	  echo "cargo-nextest is not installed: running cargo test instead"; \
	  cargo test --workspace --lib --bins --tests --no-fail-fast; \
	fi

large-files: ## two gibioctets sealed, opened, sent, left in a mailbox and fetched, in little memory
	cargo test --release -p client --test large_files -- --ignored --test-threads=1
	cargo test --release -p conclave --test flows -- --ignored --exact --nocapture left::f14_two_gibioctets_are_left_and_fetched_in_little_memory

kill-test: ## kills servers and devices ROUNDS (100) times while people talk: what was acknowledged reaches everybody once
	cargo test -p conclave --test flows -- --ignored --exact --nocapture killing::what_was_acknowledged_reaches_everybody_once_in_a_hundred_killings

joining: ## what a thousand who come within ten seconds cost each member: commits, CPU, trees
	cargo test --release -p mrfc --lib joining_at_scale -- --nocapture

fuzz: ## search for faults for SECONDS_MAX (60) in each fuzz target
	.ci/fuzz $${SECONDS_MAX:-60}

load: ## a short load on a system of its own
	cargo run --release -p loadtest -- quick

soak: ## a million messages with flat memory; ten thousand silent connections; a gibibyte past an idle receiver; 200 000 calls
	cargo run --release -p loadtest -- fanout --receivers 5 --octets 300 --messages 1000000 --warmup 1s --growth-max 1024
	cargo test --release -p mrfp --test program -- --ignored --nocapture
	cargo test --release -p mrfp --test rfc4975 soak -- --ignored
	cargo run --release -p loadtest -- sip --calls 200000

bench-peers: ## the relay next to nats-server, mosquitto and haproxy; ROW=name runs one load and writes nothing
	.ci/bench-peers $(if $(ROW),--row $(ROW) --rounds $(or $(ROUNDS),3),--rounds $(or $(ROUNDS),5) \
	  --write loadtest/RESULTS.md --commit "$$(git describe --always --dirty) ($$(date -u +%F))")
