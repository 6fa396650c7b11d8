//! Normalisation, dropout and ReLU of the widest level, both ways.

use std::hint::black_box;

use askem_kernels::channels_last::unit::{self, Map, Mask, Norm};
use askem_kernels::channels_last::{Pixels, padded};
use criterion::Criterion;

use crate::{N, assert_close, bench, random};

pub(crate) fn bench_all(c: &mut Criterion) {
    let mut group = c.benchmark_group("unit");
    let (pixels, channels) = (Pixels { n: N, h: 128, w: 128 }, padded(16));
    let len = pixels.count() * channels;
    let (x, mut dy) = (random(len, 1), random(len, 2));
    let (mut mean, mut var) = (vec![0.0; channels], vec![0.0; channels]);
    let x = Map { data: &x, stride: channels };
    let bytes = |maps: usize| (0.0, 4.0 * (maps * len) as f64);
    bench(&mut group, "moments", bytes(1), || {
        unit::moments(black_box(x), pixels, channels, false, &mut mean, &mut var);
    });
    assert!(mean.iter().zip(&var).all(|(m, v)| m.abs() < 0.05 && (v - 1.0).abs() < 0.05));
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let affine = Some([&ones[..], &zeros[..]]);
    let norm = Norm { mean: &mean, rstd: &ones, affine, per_sample: false };
    let keep = vec![1.0; N * channels];
    let mask = Mask::Channel(&keep);
    let mut y = vec![0.0; len];
    bench(&mut group, "forward", bytes(2), || {
        unit::forward(black_box(x), pixels, channels, norm, mask, &mut y, channels);
    });
    let want = x.data.iter().enumerate().map(|(i, x)| (x - mean[i % channels]).max(0.0));
    assert_close(&y, &want.collect::<Vec<_>>());
    let mut sums = [vec![0.0; channels], vec![0.0; channels]];
    bench(&mut group, "backward_sums", bytes(2), || {
        let [sum_g, sum_g_xhat] = &mut sums;
        let dy = Map { data: &dy, stride: channels };
        unit::backward_sums(black_box(x), dy, pixels, channels, norm, mask, sum_g, sum_g_xhat);
    });
    bench(&mut group, "backward_input", bytes(3), || {
        let sums = [&sums[0][..], &sums[1][..]];
        unit::backward_input(black_box(x), pixels, channels, norm, mask, sums, &mut dy, channels);
    });
    group.finish();
}
