//! What is done with each pixel of the logits, and with each parameter.

use std::hint::black_box;

use askem_kernels::{adam, cross_entropy, entropy, softmax};
use criterion::Criterion;

use crate::{N, assert_close, bench, random};

const HW: usize = 128 * 128;
const CLASSES: usize = 2;

pub(crate) fn bench_all(c: &mut Criterion) {
    let mut group = c.benchmark_group("pixels");
    let logits = random(N * CLASSES * HW, 1);
    let bytes = |numbers: usize| (0.0, 4.0 * numbers as f64);
    let [n, classes, hw] = [N, CLASSES, HW].map(|v| v as u32);

    let p = softmax::Params { n, c: classes, hw };
    let (mut probabilities, mut want) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
    softmax::forward(&p, &logits, &mut want).unwrap();
    bench(&mut group, "softmax::forward", bytes(2 * logits.len()), || {
        softmax::fast::forward(&p, black_box(&logits), &mut probabilities).unwrap();
    });
    assert_close(&probabilities, &want);

    let p = entropy::Params { n, c: classes, hw };
    let (mut map, mut want) = (vec![0.0; N * HW], vec![0.0; N * HW]);
    entropy::forward(&p, &probabilities, &mut want).unwrap();
    bench(&mut group, "entropy::forward", bytes(logits.len() + map.len()), || {
        entropy::fast::forward(&p, black_box(&probabilities), &mut map).unwrap();
    });
    assert_close(&map, &want);

    let labels: Vec<u32> = (0..(N * HW) as u32).map(|i| i / 7 % 2).collect();
    let p = cross_entropy::Params { n, c: classes, hw, ignore_label: 255 };
    let (weights, loss) = ([1.0, 3.0], [0.5, 2.0, 0.5]);
    let (mut dlogits, mut want) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
    cross_entropy::backward_input(&p, &logits, &labels, &weights, &loss, &mut want).unwrap();
    bench(
        &mut group,
        "cross_entropy::backward_input",
        bytes(2 * logits.len() + labels.len()),
        || {
            let logits = black_box(&logits);
            cross_entropy::fast::backward_input(&p, logits, &labels, &weights, &loss, &mut dlogits)
                .unwrap();
        },
    );
    assert_close(&dlogits, &want);

    // The parameters of the network of width 16.
    let len = 1_940_000;
    let p = adam::Params { len: len as u32, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let (gradient, start) = (random(len, 2), random(len, 3));
    let step = adam::step(&p, 1e-3, 1);
    let state = || (start.clone(), vec![0.0; len], vec![0.0; len]);
    let ((mut param, mut m, mut v), mut want) = (state(), state());
    adam::update(&p, &gradient, &step, &mut want.0, &mut want.1, &mut want.2).unwrap();
    adam::fast::update(&p, &gradient, &step, &mut param, &mut m, &mut v).unwrap();
    assert_close(&param, &want.0);
    bench(&mut group, "adam::update", bytes(7 * len), || {
        let gradient = black_box(&gradient);
        adam::fast::update(&p, gradient, &step, &mut param, &mut m, &mut v).unwrap();
    });
    group.finish();
}
