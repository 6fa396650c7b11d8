use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw, draw_below};
use crate::tolerance::{compare_exact, compare_gradient, compare_law, finite_difference};
use proptest::prelude::*;

const P: Params = Params { n: 2, c: 3, hw: 5, ignore_label: 7 };
/// Labels with every class, the ignored one, and one that is too large.
const LABELS: [u32; 10] = [0, 1, 2, 7, 1, 2, 3, 0, 0, 1];
const WEIGHTS: [f32; 3] = [0.5, 1.0, 2.5];

fn loss_of(p: &Params, logits: &[f64], labels: &[u32], weights: &[f64]) -> [f64; 3] {
    let (mut partials, mut loss) = (vec![f64::NAN; p.len("partials")], [f64::NAN; 3]);
    forward(p, logits, labels, weights, &mut partials).unwrap();
    reduce(p, &partials, &mut loss).unwrap();
    loss
}

#[test]
fn equal_logits_cost_the_logarithm_of_the_classes() {
    let loss = loss_of(&P, &[0.3; 30], &LABELS, &[1.0; 3]);
    compare_law(&loss, &[libm::log(3.0), 8.0, 0.125], 1.0).unwrap();
    let loss = loss_of(&P, &[0.3; 30], &LABELS, &convert::<f64>(&WEIGHTS));
    compare_law(&loss, &[libm::log(3.0), 9.5, 1.0 / 9.5], 1.0).unwrap();
}

#[test]
fn gradient_is_that_of_finite_differences() {
    let mut logits: Vec<f64> = convert(&draw(1, 30, -2.0..2.0));
    let weights: Vec<f64> = convert(&WEIGHTS);
    let loss = loss_of(&P, &logits, &LABELS, &weights);
    let mut got = vec![f64::NAN; 30];
    backward_input(&P, &logits, &LABELS, &weights, &loss, &mut got).unwrap();
    let want: Vec<f64> = (0..30)
        .map(|i| finite_difference(&mut logits, i, |x| loss_of(&P, x, &LABELS, &weights)[0]))
        .collect();
    compare_gradient(&got, &want).unwrap();
}

#[test]
fn pixels_that_do_not_count_change_nothing() {
    let mut logits: Vec<f64> = convert(&draw(2, 30, -2.0..2.0));
    let weights: Vec<f64> = convert(&WEIGHTS);
    let before = loss_of(&P, &logits, &LABELS, &weights);
    // Pixel 3 of sample 0 is ignored, pixel 1 of sample 1 has a label beyond the classes.
    for at in [3, 8, 13, 16, 21, 26] {
        logits[at] = 50.0;
    }
    assert_eq!(before, loss_of(&P, &logits, &LABELS, &weights));
    let mut dlogits = vec![f64::NAN; 30];
    backward_input(&P, &logits, &LABELS, &weights, &before, &mut dlogits).unwrap();
    for at in [3, 8, 13, 16, 21, 26] {
        assert_eq!(dlogits[at], 0.0);
    }
}

#[test]
fn no_labels_at_all_cost_nothing() {
    let logits = draw(3, 30, -2.0..2.0);
    let labels = [7; 10];
    let (mut partials, mut loss, mut dlogits) = ([f32::NAN; 2], [f32::NAN; 3], [f32::NAN; 30]);
    forward(&P, &logits, &labels, &WEIGHTS, &mut partials).unwrap();
    reduce(&P, &partials, &mut loss).unwrap();
    backward_input(&P, &logits, &labels, &WEIGHTS, &loss, &mut dlogits).unwrap();
    assert_eq!(loss, [0.0; 3]);
    compare_exact(&dlogits, &[0.0; 30]).unwrap();
    fast::forward(&P, &logits, &labels, &WEIGHTS, &mut partials).unwrap();
    fast::backward_input(&P, &logits, &labels, &WEIGHTS, &loss, &mut dlogits).unwrap();
    assert_eq!(partials, [0.0; 2]);
    compare_exact(&dlogits, &[0.0; 30]).unwrap();
}

#[test]
fn an_ignored_class_below_c_is_ignored() {
    let p = Params { ignore_label: 0, ..P };
    let loss = loss_of(&p, &[0.0; 30], &LABELS, &[1.0; 3]);
    assert_eq!(loss[1], 5.0);
}

proptest! {
    #[test]
    fn fast_agrees(n in 1u32..4, c in 1u32..4, hw in 1u32..3000, seed: u64, range in 0.1f64..20.0) {
        let p = Params { n, c, hw, ignore_label: 255 };
        let logits = Buffer::Float(draw(seed, p.len("logits"), -range..range));
        let mut labels = draw_below(seed, p.len("labels"), c + 1);
        labels.iter_mut().step_by(7).for_each(|label| *label = 255);
        let labels = Buffer::Uint(labels);
        let weights = Buffer::Float(draw(seed, c as usize, 0.1..3.0));
        let reads = [logits.clone(), labels.clone(), weights.clone()];
        let unset = |name| Buffer::unset(p.len(name) as u32);
        let partials = check_fast(Call::CrossEntropyForward(p), &reads, &[unset("partials")]);
        let loss = check_fast(Call::CrossEntropyReduce(p), &partials, &[unset("loss")]).remove(0);
        let reads = [logits, labels, weights, loss];
        check_fast(Call::CrossEntropyBackwardInput(p), &reads, &[unset("dlogits")]);
    }
}
