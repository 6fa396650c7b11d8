#!/usr/bin/env bash
# Runs every test: formatting, lints, docs, unit and integration tests, examples.
#
#   ./test.sh [--without TOOL,TOOL...]
#
# GPU tests need a Vulkan driver (Metal on macOS, DX12 on Windows). The checks for other platforms need tools: spirv-val,
# dxc, browser, swiftshader, radeon, formats, engines, python, slurm, matrices (tests/tools.sh says what they are). On Debian and Ubuntu this script installs what is missing;
# elsewhere it names it and fails, unless --without says to go without. Set ASKEM_TEST_DATA to a folder with
# `vnc/raw` and `vnc/mitochondria` to run the tests on real data too.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s (after %s s)\n' "$*" "$SECONDS"; }

tools=()
skips=()
not_run=()
without=','
while [ $# -gt 0 ]; do
    case $1 in
    --without)
        without+="${2:?--without takes names of tools}",
        shift 2
        ;;
    *)
        echo "usage: ./test.sh [--without spirv-val,dxc,browser,swiftshader,radeon,formats,engines,python,slurm,matrices]" >&2
        exit 2
        ;;
    esac
done
# A tool, and what the names of its tests contain.
for pair in spirv-val=spirv_val:: dxc=dxc:: browser=in_a_browser swiftshader= radeon=radv:: formats=of_other_programs engines=engines:: python= slurm=slurm:: matrices=; do
    tool=${pair%%=*}
    case $without in
    *",$tool,"*)
        without=${without/"$tool,"/}
        not_run+=("what needs $tool (--without)")
        if [ -n "${pair#*=}" ]; then skips+=(--skip "${pair#*=}"); fi
        ;;
    *) tools+=("$tool") ;;
    esac
done
if [ -n "${without//,/}" ]; then
    names=${without%,}
    echo "test.sh: there is no tool named ${names#,}" >&2
    exit 2
fi
has() { [[ " ${tools[*]:-} " == *" $1 "* ]]; }

say 'tools'
kit=${CARGO_TARGET_DIR:-target}/tools
tests/tools.sh "$kit" "${tools[@]:-}"
if has radeon && [ ! -e "$kit/radeon.json" ]; then
    not_run+=("platforms::radv (no driver for AMD's cards compiles without one)")
    skips+=(--skip radv::)
fi

say 'formatting'
cargo fmt --all --check

say 'tests'
cargo test --release --workspace -- ${skips[@]+"${skips[@]}"}

if has swiftshader; then
    say 'tests of the shaders on a second driver'
    # The second name is that of older loaders.
    on_swiftshader() {
        VK_DRIVER_FILES=$(realpath "$kit")/swiftshader.json VK_ICD_FILENAMES=$(realpath "$kit")/swiftshader.json \
            ASKEM_TEST_ADAPTER=swiftshader "$@"
    }
    # How a shader unfolds its grid is no matter of the driver.
    ASKEM_CASES=64 on_swiftshader cargo test --release --workspace --test parity --test masks -- --skip folds::
    ASKEM_CASES=4 on_swiftshader cargo test --release --workspace --test network -- training scoring
fi

if has matrices; then
    # By name: without the driver they are not run.
    on_matrices=(parity::tiers::matrix_units parity::tiers::modules_conform parity::tiers::f16_storage network::precisions::training_and_scoring_on_matrix_units)
    if [ -x "$kit/matrices/run" ]; then
        say 'tests of the shaders on a driver with matrix units'
        on_matrix_units() {
            CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$(realpath "$kit")/matrices/run ASKEM_TEST_PRECISIONS=f16,tensor \
                ASKEM_CASES=48 "$@"
        }
        on_matrix_units cargo test --release --workspace --test parity --test network -- tiers:: precisions::
        # Hardware has matrices of 16 rows. The driver computes them too, though it lists 8.
        ASKEM_TEST_MATRIX_SIDE=16 on_matrix_units cargo test --release --workspace --test parity --test network -- matrix_units
        # As wgpu translates them, without what Vulkan's memory model wants.
        ASKEM_MEMORY_MODEL=plain on_matrix_units cargo test --release --workspace --test parity -- tiers::modules_conform tiers::tiny
    else
        not_run+=("${on_matrices[*]}, on matrix units (no driver with cooperative matrices could be had)")
    fi
fi

if has python; then
    say 'the Python package'
    interpreter=$(realpath -s "$kit")/python/bin/python
    fresh=$(realpath -s "$kit")/fresh
    rm -rf "$kit/wheels"
    PATH=${interpreter%/*}:$PATH "$interpreter" -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w "$kit/wheels" ./python
    # Installed where nothing else is. The packages that test it are lent.
    "$interpreter" -m venv --clear "$fresh"
    "$fresh/bin/python" -m pip install -q --disable-pip-version-check --no-deps "$kit"/wheels/*.whl
    packages='import sysconfig; print(sysconfig.get_path("purelib"))'
    "$interpreter" -c "$packages" >"$("$fresh/bin/python" -c "$packages")/lent.pth"
    (cd python && "$fresh/bin/python" -B -m pytest -q -p no:cacheprovider)
fi

say 'without default features'
cargo test --release -p askem-kernels --no-default-features
# Compiled, tests included, and not run: the same code runs above.
cargo clippy --release -p askem --no-default-features --features gpu --lib --tests -- -D warnings
echo '-- a program for processors alone'
cargo clippy --release -p askem --no-default-features --features cli --lib --bins --tests -- -D warnings
if cargo tree -p askem --no-default-features --features cli --edges normal | grep -w wgpu; then
    echo 'test.sh: the program without the feature gpu needs wgpu' >&2
    exit 1
fi

say 'kernels under Miri'
# Miri comes with nightly toolchains.
miri=()
for toolchain in '' +nightly; do
    if cargo ${toolchain:+"$toolchain"} miri --version >/dev/null 2>&1; then
        miri=(cargo ${toolchain:+"$toolchain"} miri)
        break
    fi
done
if [ ${#miri[@]} -gt 0 ]; then
    # Property tests look for files and settings, and few cases suffice for what Miri sees. Left out are two tests that go
    # through millions of arguments of plain arithmetic.
    MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=2 \
        "${miri[@]}" test -p askem-kernels --features std --lib -- --skip is_as_accurate_as
else
    not_run+=("the kernels' unit tests under Miri (it is not installed)")
    echo 'not installed'
fi

say 'examples'
for example in examples/*.rs; do
    name=$(basename "$example" .rs)
    echo "-- $name"
    # Built with the tests.
    "${CARGO_TARGET_DIR:-target}/release/examples/$name"
done

say 'lints'
cargo clippy --release --workspace --all-targets -- -D warnings

say 'docs'
# In the tests' profile, for which lints have looked at all dependencies already.
RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps --document-private-items

say 'all passed'
for what in "${not_run[@]:-}"; do
    if [ -n "$what" ]; then echo "NOT RUN: $what"; fi
done
