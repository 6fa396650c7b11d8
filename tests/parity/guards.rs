//! Shaders compare indices that come from data with their bound: what lies outside changes nothing. (The references and the
//! processor's forms stop at such data, so that only the GPU is asked here.)

use askem::device::trial::{self, Style, Trial};
use askem_kernels::tolerance::compare_exact;
use askem_kernels::{Call, k_center_greedy, max_pool2d};

use crate::harness::with_gpu;

/// What the GPU makes of a trial's written buffer. Panics if it wrote beside it.
fn written(trial: &Trial) -> Vec<u32> {
    let mut outputs = Vec::new();
    with_gpu(|gpu| outputs = trial::run(gpu, std::slice::from_ref(trial)).expect("it runs"));
    let name = trial.call.signature().name;
    let output = outputs[0].pop().expect("the pass writes a buffer");
    output.unwrap_or_else(|| panic!("{name}: memory beside the buffer was written"))
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
fn k_center_greedy_skips_picks_that_are_no_rows() {
    let p = k_center_greedy::Params { rows: 301, dim: 5, capacity: 8 };
    for picks in [[1, p.rows], [1, p.rows + 3], [1, u32::MAX], [0, 7], [p.capacity + 1, 7]] {
        let mut trial = Trial::draw(Call::KCenterGreedyUpdate(p), Style::Normal, 0);
        // The other picks are rows, should one of them be taken.
        trial.reads[1].fill(0);
        trial.reads[1][..2].copy_from_slice(&picks);
        if let Err(differs) = compare_exact(&written(&trial), &trial.writes[0]) {
            panic!("{picks:?}: sq_dist: {differs} (bits)");
        }
    }
    let mut trial = Trial::draw(Call::KCenterGreedyUpdate(p), Style::Normal, 0);
    trial.reads[1][..2].copy_from_slice(&[1, p.rows - 1]);
    assert_ne!(written(&trial), trial.writes[0], "a pick that is a row has an effect");
}
