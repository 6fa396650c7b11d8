#!/usr/bin/env bash
# Runs every test: formatting, lints, docs, unit and integration tests, examples.
# GPU tests need a Vulkan driver (Metal on macOS, DX12 on Windows); on Debian and Ubuntu this
# script installs Mesa's software driver if there is none. Set ASKEM_TEST_DATA to a folder with
# `vnc/raw` and `vnc/mitochondria` to run the tests on real data too.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }

vulkan_is_there() {
    ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || return 1
    if [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]; then return 0; fi
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

if [ "$(uname -s)" = Linux ] && ! vulkan_is_there; then
    say 'installing a software Vulkan driver'
    if ! command -v apt-get >/dev/null; then
        echo 'No Vulkan driver was found. Install one (package mesa-vulkan-drivers or vulkan-swrast) and try again.' >&2
        exit 1
    fi
    root=''
    if [ "$(id -u)" != 0 ]; then root=sudo; fi
    $root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends \
        mesa-vulkan-drivers libvulkan1
fi

say 'formatting'
cargo fmt --all --check

say 'program'
cargo build --release -p askem

say 'tests'
cargo test --release --workspace

say 'without default features'
cargo test --release -p askem-kernels --no-default-features
cargo test --release -p askem --no-default-features --lib

say 'examples'
for example in examples/*.rs; do
    name=$(basename "$example" .rs)
    echo "-- $name"
    cargo run --release -q -p askem-checks --example "$name"
done

say 'lints'
cargo clippy --release --workspace --all-targets -- -D warnings

say 'docs'
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

say 'all passed'
