# The things one runs, by `just` (https://just.systems). `just` alone lists them.

# List the recipes.
default:
    @just --list

# Make the demo data set, score it and print the leaderboard.
demo:
    cargo run -p dqa-coordinator --no-default-features --example demo

# Run everything that must hold before a change lands.
ci:
    .ci/run

# Run all tests.
test:
    cargo test --workspace --locked

# Run the tests of one crate: just test-crate dqa-model
test-crate crate *filter:
    cargo test -p {{crate}} --locked {{filter}}

# Check one crate with its tests, without building it.
check crate:
    cargo check -p {{crate}} --all-targets --locked

# Format the code, and let clippy check it.
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Build the documentation of the crates, private items included.
doc:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked

# Check the links of all Markdown files.
links:
    tools/check-links

# Accept changed snapshots of a crate's tests; read the diff afterwards.
snapshots crate *filter:
    INSTA_UPDATE=always cargo test -p {{crate}} --locked {{filter}}

# Build both programs for release.
build:
    cargo build --release --locked -p dqa-coordinator -p dqa-worker --bins

# Time the forward pass and the decoders.
bench:
    cargo bench -p dqa-model
    cargo bench -p dqa-engine

# Kill workers, coordinators, stores and networks under runs: just soak 200 1 2 3
soak faults="200" *seeds:
    tests/soak {{faults}} {{seeds}}

# Check the CUDA code without a GPU or a toolkit.
cuda-check:
    tools/cuda-typecheck

# Render and validate the Helm chart.
manifests:
    tools/check-manifests
