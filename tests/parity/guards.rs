//! Shaders compare indices that come from data with their bound: what lies outside changes nothing. (The references and the
//! processor's forms stop at such data, so that only the GPU is asked here.)

use askem::compute::device::trial::{self, Style, Trial};
use askem_kernels::tolerance::compare_exact;
use askem_kernels::{Call, k_center_greedy, k_means, max_pool2d};

use crate::harness::{with_executors, with_gpu};

/// What the GPU makes of a trial's written buffers. Panics if it wrote beside one.
fn all_written(trial: &Trial) -> Vec<Vec<u32>> {
    let mut outputs = Vec::new();
    with_gpu(|gpu| outputs = trial::run(gpu, std::slice::from_ref(trial)).expect("it runs"));
    let name = trial.call.signature().name;
    let whole = |output: Option<_>| {
        output.unwrap_or_else(|| panic!("{name}: memory beside the buffer was written"))
    };
    outputs.remove(0).into_iter().map(whole).collect()
}

/// The same of the only buffer that is written.
fn written(trial: &Trial) -> Vec<u32> {
    all_written(trial).pop().expect("the pass writes a buffer")
}

#[test]
fn max_pool2d_skips_positions_outside_the_plane() {
    let p = max_pool2d::Params { n: 2, c: 3, h: 5, w: 7 };
    let (plane, windows) = (p.h * p.w, (p.h / 2) * (p.w / 2));
    let mut trial = Trial::draw(Call::MaxPool2dBackwardInput(p), Style::Normal, 0);
    let (dy, mut expected) = (trial.reads[0].clone(), trial.writes[0].clone());
    for (i, index) in trial.reads[1].iter_mut().enumerate() {
        match i % 4 {
            // In the next plane, or in the guard behind the last one.
            0 => *index += plane,
            1 => *index = plane,
            2 => *index = u32::MAX,
            _ => {
                let at = (i as u32 / windows * plane + *index) as usize;
                let sum = f32::from_bits(expected[at]) + f32::from_bits(dy[i]);
                expected[at] = sum.to_bits();
            }
        }
    }
    assert_ne!(expected, trial.writes[0], "some positions are inside");
    if let Err(differs) = compare_exact(&written(&trial), &expected) {
        panic!("dx: {differs} (bits)");
    }
}

#[test]
fn k_center_greedy_skips_centers_that_are_no_rows() {
    let p = k_center_greedy::Params { rows: 301, dim: 5, capacity: 8 };
    for row in [p.rows, p.rows + 3, u32::MAX] {
        let mut trial = Trial::draw(Call::KCenterGreedyAddCenter(p), Style::Normal, 0);
        trial.reads[1].fill(row);
        assert_eq!(all_written(&trial), trial.writes, "{row}");
    }
    let mut trial = Trial::draw(Call::KCenterGreedyAddCenter(p), Style::Normal, 0);
    trial.reads[1].fill(p.rows - 1);
    assert_ne!(all_written(&trial), trial.writes, "a center that is a row has an effect");
    // Where there is no room for a pick, also with a count that makes no sense, nothing else changes.
    for count in [p.capacity, p.capacity + 1, u32::MAX] {
        trial.writes[3][0] = count;
        assert_eq!(all_written(&trial)[3], trial.writes[3], "{count}");
    }
}

#[test]
fn k_means_does_nothing_after_its_last_round() {
    let p = k_means::Params { rows: 67, k: 5, dim: 9 };
    for call in [Call::KMeansAssign(p), Call::KMeansUpdate(p)] {
        for (last, rests) in [(0, false), (1, true)] {
            let mut trial = Trial::draw(call, Style::Normal, 0);
            trial.reads[2][1] = last;
            with_executors(|executor| {
                let outputs = trial::run(executor, std::slice::from_ref(&trial)).expect("it runs");
                let same = outputs[0].iter().map(Option::as_ref).eq(trial.writes.iter().map(Some));
                assert_eq!(same, rests, "{}: {call:?}", executor.name());
            });
        }
    }
}
