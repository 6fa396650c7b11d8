use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw, draw_below};
use crate::tolerance::{compare_exact, compare_gradient, finite_difference};

#[test]
fn the_first_of_equal_maxima_wins_and_odd_edges_are_left_out() {
    let p = Params { n: 1, c: 1, h: 3, w: 5 };
    #[rustfmt::skip]
    let x = [
        1.0, 1.0, 0.0, 2.0, 9.0,
        1.0, 1.0, 2.0, 2.0, 9.0,
        9.0, 9.0, 9.0, 9.0, 9.0,
    ];
    let (mut y, mut indices) = ([0.0; 2], [0; 2]);
    forward(&p, &x, &mut y, &mut indices).unwrap();
    assert_eq!((y, indices), ([1.0, 2.0], [0, 3]));
    let mut dx = [100.0; 15];
    backward_input(&p, &[1.0, 2.0], &indices, &mut dx).unwrap();
    let mut want = [100.0; 15];
    want[0] = 101.0;
    want[3] = 102.0;
    assert_eq!(dx, want);
}

#[test]
fn gradients_agree_with_finite_differences() {
    let p = Params { n: 2, c: 3, h: 5, w: 4 };
    // Numbers that lie farther apart than the steps, so that no maximum changes.
    let mut x: Vec<f64> = (0..120).map(|i| f64::from(i * 37 % 120)).collect();
    let dy: Vec<f64> = convert(&draw(2, p.len("dy"), -1.0..1.0));
    let loss = |x: &[f64]| -> f64 {
        let (mut y, mut indices) = (vec![0.0; dy.len()], vec![0; dy.len()]);
        forward(&p, x, &mut y, &mut indices).unwrap();
        y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
    };
    let (mut y, mut indices) = (vec![0.0; dy.len()], vec![0; dy.len()]);
    forward(&p, &x, &mut y, &mut indices).unwrap();
    let mut dx = vec![0.0; x.len()];
    backward_input(&p, &dy, &indices, &mut dx).unwrap();
    let want: Vec<f64> = (0..x.len()).map(|i| finite_difference(&mut x, i, loss)).collect();
    compare_gradient(&dx, &want).unwrap();
}

#[test]
fn senseless_sizes_and_wrong_lengths_are_refused() {
    for (h, w) in [(1, 2), (2, 1)] {
        let p = Params { n: 1, c: 1, h, w };
        let refused = forward(&p, &[0.0; 2], &mut [], &mut []);
        assert!(matches!(refused, Err(Error::Params { op: "max_pool2d", .. })));
    }
    let p = Params { n: 1, c: 1, h: 2, w: 2 };
    let refused = forward(&p, &[0.0; 4], &mut [0.0], &mut []);
    assert!(matches!(refused, Err(Error::Length { buffer: "indices", expected: 1, got: 0, .. })));
}

/// All fast passes against the references, on few different values so that there are ties.
fn check(p: Params, seed: u64) {
    let values = draw_below(seed, p.len("x"), 4).into_iter().map(|i| i as f32 - 2.0);
    let x: Vec<f32> = values.collect();
    let mut indices = vec![0; p.len("indices")];
    forward(&p, &x, &mut vec![0.0; indices.len()], &mut indices).unwrap();
    let unset = Buffer::unset(p.len("y") as u32);
    let outputs = [unset, Buffer::Uint(vec![u32::MAX; indices.len()])];
    let found = check_fast(Call::MaxPool2dForward(p), &[Buffer::Float(x)], &outputs);
    compare_exact(found[1].uints(), &indices).unwrap();
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..1.0));
    let reads = [float("dy", 1), Buffer::Uint(indices)];
    check_fast(Call::MaxPool2dBackwardInput(p), &reads, &[float("dx", 2)]);
}

#[test]
fn fast_agrees_with_all_instructions() {
    crate::simd::testing::on_every_level(|| {
        check(Params { n: 2, c: 3, h: 130, w: 67 }, 5);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fast_agrees(n in 1u32..4, c in 1u32..5, h in 2u32..20, w in 2u32..40, seed: u64) {
        check(Params { n, c, h, w }, seed >> 1);
    }
}
