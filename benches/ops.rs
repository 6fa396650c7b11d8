//! The hot operations on the CPU, with the sizes of the paper's network at batch 4.
//!
//! `cargo bench --bench ops`. Each result is checked against the reference before it is timed.
//! Throughput is shown in elements per second, where an element is a floating-point operation
//! of the direct convolution.

use std::hint::black_box;

use askem_kernels::conv2d::{self, Params};
use askem_kernels::rng::{Purpose, normal, stream};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = stream(seed, Purpose::Test, 0, 0);
    (0..len).map(|_| normal(&mut rng) as f32).collect()
}

/// Largest difference over largest magnitude: a check that the right thing is timed, not a proof.
fn assert_close(got: &[f32], want: &[f32]) {
    let scale = want.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
    let worst = got.iter().zip(want).fold(0.0_f32, |m, (g, w)| m.max((g - w).abs()));
    assert!(worst <= 1e-4 * scale, "worst difference {worst} at scale {scale}");
}

fn conv2d_passes(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv2d");
    for (channels, side) in [(16, 128), (32, 64), (64, 32), (128, 16), (256, 8)] {
        let p = Params {
            n: 4,
            c_in: channels,
            c_out: channels,
            h: side,
            w: side,
            kernel: 3,
            has_bias: 0,
        };
        let pixels = (4 * channels * side * side) as usize;
        let weights = (9 * channels * channels) as usize;
        let (x, dy, weight) = (random(pixels, 1), random(pixels, 2), random(weights, 3));
        let (mut y, mut dweight) = (vec![0.0; pixels], vec![0.0; weights]);
        group.throughput(Throughput::Elements(
            2 * weights as u64 * pixels as u64 / u64::from(channels),
        ));

        let mut want = y.clone();
        conv2d::forward(&p, &x, &weight, &[0.0], &mut want).unwrap();
        conv2d::fast::forward(&p, &x, &weight, &[0.0], &mut y).unwrap();
        assert_close(&y, &want);
        let id = format!("{channels}x{side}x{side}");
        group.bench_function(BenchmarkId::new("forward", &id), |b| {
            b.iter(|| conv2d::fast::forward(&p, black_box(&x), &weight, &[0.0], &mut y));
        });
        conv2d::backward_input(&p, &dy, &weight, &mut want).unwrap();
        conv2d::fast::backward_input(&p, &dy, &weight, &mut y).unwrap();
        assert_close(&y, &want);
        group.bench_function(BenchmarkId::new("backward_input", &id), |b| {
            b.iter(|| conv2d::fast::backward_input(&p, black_box(&dy), &weight, &mut y));
        });
        let mut want = dweight.clone();
        conv2d::backward_weight(&p, &x, &dy, &mut want).unwrap();
        conv2d::fast::backward_weight(&p, &x, &dy, &mut dweight).unwrap();
        assert_close(&dweight, &want);
        group.bench_function(BenchmarkId::new("backward_weight", &id), |b| {
            b.iter(|| conv2d::fast::backward_weight(&p, black_box(&x), &dy, &mut dweight));
        });
    }
    group.finish();
}

criterion_group!(ops, conv2d_passes);
criterion_main!(ops);
