#!/usr/bin/env bash
# Plants faults one at a time and shows that the tests go red. It edits files and restores them, so it wants a
# checkout without changes. Not a part of ./test.sh: dozens of builds take their time.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    echo 'mutations.sh: the checkout has changes, which restoring files would lose' >&2
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"; git checkout -q -- kernels wgsl host' EXIT
survived=0

# plant FAULT FILE OLD NEW TESTS...: OLD, a text that is in FILE, becomes NEW, and one of the tests has to fail. Tests are those of
# tests/, or begin with the package that has them.
plant() {
    local fault=$1 file=$2
    OLD=$3 NEW=$4 perl -0pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/ or die "$ARGV does not hold: $ENV{OLD}\n"' "$file"
    if git diff --quiet -- "$file"; then
        echo "mutations.sh: $file is as it was" >&2
        exit 1
    fi
    shift 4
    [ "$1" = -p ] || set -- -p askem-checks "$@"
    if cargo test --release "$@" >"$log" 2>&1; then
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
plant 'a transposed weight index in conv2d backward_weight' $shaders/shared/weight_tile.wgsl \
    'let kernel = out * params.c_in + in;' 'let kernel = in * params.c_out + out;' \
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
    'y < params.h && x < params.w;' 'y < params.h && x <= params.w;' \
    --test parity -- conv2d
plant 'Adam without bias correction' kernels/src/adam.rs \
    '1.0 - libm::pow(f64::from(beta), f64::from(t))' '1.0 + 0.0 * libm::pow(f64::from(beta), f64::from(t))' \
    --test torch -- adam training_step
plant 'NaN in one output element' $shaders/conv2d.wgsl \
    '{ y[index] = as_y(value); }' \
    '{ y[index] = as_y(select(value, bitcast<f32>(0x7fc00000u | params.n), index == 3u)); }' \
    --test parity -- conv2d::forward

learning=host/src/learning
plant 'a core set that knows one of the labelled patches' $learning/protocol/selection.rs \
    'values: &points(&labelled),' 'values: &points(&labelled[..labelled.len().min(1)]),' \
    --test protocol -- rounds::core_set
plant 'the same noise in every round' $learning/strategy/noise.rs \
    'Purpose::Strategy, iteration, 1 + index' 'Purpose::Strategy, iteration & 0, 1 + index' \
    --test protocol -- rounds::noise distances::chance
plant 'a random choice that is the same in every round' $learning/strategy/random.rs \
    'Purpose::Strategy, candidates.iteration, 0)' 'Purpose::Strategy, 0, 0)' \
    --test protocol -- rounds::random distances::chance
plant 'clusters that begin alike in every round' $learning/strategy/k_means.rs \
    'candidates.seed ^ candidates.iteration.rotate_left(32)' 'candidates.seed' \
    --test protocol -- distances::chance
plant 'strategies that are always told the first round' $learning/protocol/selection.rs \
    $'iteration: iteration as u64,\n            iterations:' $'iteration: 0,\n            iterations:' \
    --test protocol -- rounds::random rounds::noise
plant 'the same dropout masks in every round' $learning/protocol/selection.rs \
    $'iteration: iteration as u64,\n            };' $'iteration: 0,\n            };' \
    --test protocol -- rounds::dropout
plant 'the most confident patches' $learning/strategy/least_confidence.rs \
    'best(candidates, k, false)' 'best(candidates, k, true)' \
    --test protocol -- rounds::the_most_uncertain
plant 'the least entropy' $learning/strategy/entropy.rs \
    'best(candidates, k, true)' 'best(candidates, k, false)' \
    --test protocol -- rounds::the_most_uncertain
plant 'noise that fades an iteration late' $learning/strategy/clasp.rs \
    '.saturating_sub(1).max(1)' '.max(1)' \
    -p askem --lib -- clasp
plant "full supervision's second rate an epoch late" $learning/protocol.rs \
    'Some((epochs / 2, config.finetune_lr))' 'Some((epochs / 2 + 1, config.finetune_lr))' \
    --test protocol -- training::full
plant "full supervision's second rate an epoch early" $learning/protocol.rs \
    'Some((epochs / 2, config.finetune_lr))' 'Some((epochs / 2 - 1, config.finetune_lr))' \
    --test protocol -- training::full
plant 'a later rate that begins after its epoch' $learning/train.rs \
    'if done >= epoch => lr' 'if done > epoch => lr' \
    --test protocol -- training::full
plant 'the first rate for two trainings' $learning/protocol.rs \
    'if iteration == 0 { config.lr }' 'if iteration <= 1 { config.lr }' \
    --test protocol -- training::later
plant 'the same order, turns and masks in every training' $learning/train.rs \
    '(options.iteration << 32) | done as u64' 'done as u64' \
    --test protocol -- training::patches training::each
plant 'the same order, turns and masks in every epoch' $learning/train.rs \
    '(options.iteration << 32) | done as u64' 'options.iteration << 32' \
    --test protocol -- training::patches training::each
plant 'one dropout mask for all patches of a step' $learning/train.rs \
    'Purpose::Dropout, position, sample as u64)' 'Purpose::Dropout, position, sample as u64 & 0)' \
    --test protocol -- training::each
plant 'no turns' $learning/train/augment.rs 'bits >> 1 & 3' 'bits >> 1 & 0' \
    --test protocol -- training::patches
plant 'two of four turns' $learning/train.rs \
    'draw_symmetry(options.augment, augment.next_u32())' \
    'draw_symmetry(options.augment, augment.next_u32() & 3)' \
    --test protocol -- training::patches
plant 'held-out patches that train too' $learning/protocol/labelled.rs \
    'set.push(x, labels);' 'set.push(x, labels); if held_out.contains(&i) { self.train.push(x, labels); }' \
    --test protocol -- training::what_is_held_out
plant 'held-out patches that train in place of the others' $learning/protocol/labelled.rs \
    'if held_out.contains(&i)' 'if !held_out.contains(&i)' \
    --test protocol -- training::what_is_held_out
plant 'labels that are counted again in each round' $learning/protocol.rs \
    $'self.annotate(&mut dataset, labelled)?;\n            observer' \
    $'self.annotate(&mut dataset, 0)?;\n            observer' \
    --test protocol -- rounds::records
plant 'the same place of each patch labelled' $learning/protocol.rs \
    'Purpose::LabelShare, index as u64, 0)' 'Purpose::LabelShare, index as u64 & 0, 0)' \
    --test protocol -- training::each_patch_is_labelled
plant 'statistics measured on unlabelled patches' $learning/protocol/statistics.rs \
    'Cow::Owned(trained.draw(&mut rng, config.foreground_share, count))' \
    '{ let _ = trained.draw(&mut rng, config.foreground_share, count); Cow::Borrowed(unlabelled) }' \
    --test protocol -- rounds::statistics
plant 'statistics measured on the first patches of the pool' $learning/protocol/statistics.rs \
    'sample_without_replacement(&mut rng, &mut pool.to_vec(), count).to_vec();' \
    '{ let _ = sample_without_replacement(&mut rng, &mut [0], 1); pool[..count].to_vec() };' \
    --test protocol -- rounds::unlabelled
plant 'running statistics that are kept' $learning/protocol.rs \
    'model.measure_statistics(&self.measured_on, None)?;' '' \
    --test protocol -- rounds::statistics
plant 'foreground from a probability of 0.4 on' $learning/predict.rs \
    'u8::from(p > 0.5)' 'u8::from(p > 0.4)' \
    --test protocol -- rounds::records
plant 'an entropy per class and pixel' $learning/protocol/change.rs \
    'sum::<f64>() / seen.len() as f64' 'sum::<f64>() / p.len() as f64' \
    --test protocol -- rounds::records
plant 'pixels that stayed for those that changed' $learning/protocol/change.rs \
    'filter(|(a, b)| a != b)' 'filter(|(a, b)| a == b)' \
    --test protocol -- rounds::records
plant 'windows a row too far' $learning/predict/tiles.rs 'corner: [y, *x],' 'corner: [y + 1, *x],' \
    --test protocol -- odd_sizes::beyond
plant 'windows that are read a row too low' host/src/data/pool/ahead.rs \
    'read_window_to(window.z, window.corner, window.shape, values)' \
    'read_window_to(window.z, [window.corner[0] + 1, window.corner[1]], window.shape, values)' \
    --test protocol -- odd_sizes::beyond odd_sizes::with_instance_norm
plant 'blended windows that are put back a column too far' $learning/predict.rs \
    'let to = (first_row + number) * self.area.width() + first_column;' \
    'let to = (first_row + number) * self.area.width() + first_column.saturating_sub(1);' \
    --test protocol -- odd_sizes::with_instance_norm
plant 'labels a column beside their pixels' host/src/data/pool.rs \
    '&section[y * width + at.x..][..patch]' '&section[(y * width + at.x).saturating_sub(1)..][..patch]' \
    --test cli -- strategies::full strategies::random
plant 'pixels a row below their place' host/src/data/pool.rs \
    'self.read_window_to(at.z, [at.y as isize, at.x as isize]' \
    'self.read_window_to(at.z, [at.y as isize + 1, at.x as isize]' \
    -p askem --lib -- data::pool
plant 'a distance that ends a section early' host/src/data/pool/distance.rs \
    '<= self.sections' '< self.sections' \
    -p askem --lib -- distance
plant 'a core set of stores that takes labelled patches' host/src/pools/select/embeddings.rs \
    '(0..rows).filter(|&row| rule.allows(pool.store(row), pool.positions[row])).collect();' \
    '(0..rows).collect();' \
    --test pools -- choices
plant 'differences the wrong way round' host/src/results/comparison/claim.rs \
    'value(ours) - value(theirs)' 'value(theirs) - value(ours)' \
    --test comparison -- claims
plant 'an interval of 90 %' host/src/results/comparison/claim.rs \
    '[at(0.025), at(0.975)]' '[at(0.05), at(0.95)]' \
    --test comparison -- claims
plant "a mean of a run's seconds for their sum" host/src/results/comparison.rs \
    'records.iter().map(total).sum()' \
    'records.iter().map(total).sum::<f64>() / records.len() as f64' \
    -p askem --lib -- comparison

if [ $survived -gt 0 ]; then
    echo "$survived faults survived"
    exit 1
fi
echo 'all faults were found'
