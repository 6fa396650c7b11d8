#!/usr/bin/env bash
# Plants faults one at a time and shows that the tests go red. It edits files and restores them, so it wants a
# checkout without changes. Not a part of ./test.sh: ten builds take their time.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    echo 'mutations.sh: the checkout has changes, which restoring files would lose' >&2
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"; git checkout -q -- kernels wgsl host' EXIT
survived=0

# plant FAULT FILE OLD NEW TESTS...: OLD, a text that is in FILE, becomes NEW, and one of the tests has to fail.
plant() {
    local fault=$1 file=$2
    OLD=$3 NEW=$4 perl -0pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/ or die "$ARGV does not hold: $ENV{OLD}\n"' "$file"
    if git diff --quiet -- "$file"; then
        echo "mutations.sh: $file is as it was" >&2
        exit 1
    fi
    shift 4
    if cargo test --release -p askem-checks "$@" >"$log" 2>&1; then
        echo "SURVIVED: $fault ($file)"
        survived=$((survived + 1))
    elif grep -q '^test result: FAILED' "$log"; then
        echo "found: $fault ($file)"
        sed -n '/^test .*FAILED$/s/^/    /p' "$log"
        grep -A1 -m1 'panicked at' "$log" | tail -n 1 | cut -c1-240 | sed 's/^/    /'
    else
        tail -n 20 "$log" >&2
        echo "mutations.sh: the tests do not build with: $fault" >&2
        exit 1
    fi
    git checkout -q -- "$file"
}

shaders=wgsl/shaders
plant 'a transposed weight index in conv2d backward_weight' $shaders/conv2d.wgsl \
    '(first_out + out) * params.c_in + first_in + in;' '(first_in + in) * params.c_out + first_out + out;' \
    --test parity -- conv2d::backward_weight
plant "batch_norm's variance divided by n - 1" $shaders/batch_norm.wgsl \
    'sqrt(squares / f32(count)' 'sqrt(squares / f32(max(count - 1u, 1u))' \
    --test parity -- batch_norm::statistics
plant 'a missing bounds guard in max_pool2d backward' $shaders/max_pool2d.wgsl \
    'if indices[at] < params.h * params.w {' 'if true {' \
    --test parity -- max_pool2d
plant 'a dropout mask shifted by one' $shaders/dropout.wgsl \
    '    // A short block ends' '    next_u32(&state); // A short block ends' \
    --test parity --test masks -- mask
plant 'entropy with log2' $shaders/shared/entropy.wgsl 'log(max' 'log2(max' \
    --test parity -- entropy
plant 'BALD that reuses one mask for all passes' host/src/learning/predict.rs \
    '(mc.iteration << 32) | pass as u64' '(mc.iteration << 32) | (pass as u64 & 0)' \
    --test protocol -- scores
plant 'k_center_greedy that ignores the labelled set' host/src/learning/strategy/core_set.rs \
    'candidates.labelled, k' 'crate::learning::geometry::Points { values: &[], ..candidates.labelled }, k' \
    --test protocol -- distances
plant 'an off-by-one at the image border' $shaders/shared/conv_tile.wgsl \
    'y < params.h && x < params.w {' 'y < params.h && x <= params.w {' \
    --test parity -- conv2d
plant 'Adam without bias correction' kernels/src/adam.rs \
    '1.0 - libm::pow(f64::from(beta), f64::from(t))' '1.0 + 0.0 * libm::pow(f64::from(beta), f64::from(t))' \
    --test torch -- adam training_step
plant 'NaN in one output element' $shaders/conv2d.wgsl \
    '{ y[index] = value; }' '{ y[index] = select(value, bitcast<f32>(0x7fc00000u | params.n), index == 3u); }' \
    --test parity -- conv2d::forward

if [ $survived -gt 0 ]; then
    echo "$survived faults survived"
    exit 1
fi
echo 'all faults were found'
