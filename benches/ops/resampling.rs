//! What changes the size of maps, and the head that turns them into logits.

use std::hint::black_box;

use askem_kernels::channels_last::unit::Map;
use askem_kernels::channels_last::{Pixels, padded, to_planes};
use askem_kernels::conv_transpose2d::{self, channels_last as up};
use askem_kernels::conv2d::{self, pointwise};
use askem_kernels::max_pool2d::{self, channels_last as pool};
use criterion::Criterion;

use crate::{N, assert_close, bench, laid_out, random};

pub(crate) fn bench_all(c: &mut Criterion) {
    pools(c);
    transposed_convolutions(c);
    head(c);
}

fn bytes(numbers: usize) -> f64 {
    4.0 * numbers as f64
}

fn pools(c: &mut Criterion) {
    let mut group = c.benchmark_group("max_pool2d");
    let (side, channels) = (128, 16);
    let (pixels, half) =
        (Pixels { n: N, h: side, w: side }, Pixels { n: N, h: side / 2, w: side / 2 });
    let (x, dy) = (random(pixels.count() * channels, 1), random(half.count() * channels, 2));
    let ((x_map, stride), (dy_map, _)) =
        (laid_out(&x, pixels, channels), laid_out(&dy, half, channels));
    let map = Map { data: &x_map, stride };
    let mut y = vec![0.0; half.count() * stride];
    pool::forward(map, pixels, stride, &mut y, stride);
    let p = max_pool2d::Params { n: N as u32, c: 16, h: 128, w: 128 };
    let (mut want, mut indices) = (vec![0.0; dy.len()], vec![0; dy.len()]);
    max_pool2d::forward(&p, &x, &mut want, &mut indices).unwrap();
    let mut got = want.clone();
    to_planes(&y, stride, half, channels, &mut got);
    assert_eq!(got, want);
    bench(&mut group, "forward", (0.0, bytes(x_map.len() + y.len())), || {
        pool::forward(black_box(map), pixels, stride, &mut y, stride);
    });
    let dy_map = Map { data: &dy_map, stride };
    // The gradient is added to the one that comes through the skip connection.
    let mut dx = vec![0.0; x_map.len()];
    pool::backward_input(map, dy_map, pixels, stride, &mut dx, stride);
    let mut want = vec![0.0; x.len()];
    max_pool2d::backward_input(&p, &dy, &indices, &mut want).unwrap();
    let mut got = want.clone();
    to_planes(&dx, stride, pixels, channels, &mut got);
    assert_close(&got, &want);
    bench(&mut group, "backward_input", (0.0, bytes(2 * x_map.len() + y.len() + dx.len())), || {
        pool::backward_input(black_box(map), dy_map, pixels, stride, &mut dx, stride);
    });
    group.finish();
}

fn transposed_convolutions(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv_transpose2d");
    for (c_in, c_out, side) in [(32, 16, 64), (256, 128, 8)] {
        let size = [c_in, c_out];
        let pixels = Pixels { n: N, h: side, w: side };
        let large = Pixels { n: N, h: 2 * side, w: 2 * side };
        let (x, dy) = (random(pixels.count() * c_in, 1), random(large.count() * c_out, 2));
        let (weight, bias) = (random(4 * c_in * c_out, 3), random(c_out, 4));
        let ((x_map, x_stride), (dy_map, dy_stride)) =
            (laid_out(&x, pixels, c_in), laid_out(&dy, large, c_out));
        let (x_map, dy_map) =
            (Map { data: &x_map, stride: x_stride }, Map { data: &dy_map, stride: dy_stride });
        let [n, i, o, s] = [N, c_in, c_out, side].map(|v| v as u32);
        let p = conv_transpose2d::Params { n, c_in: i, c_out: o, h: s, w: s };
        let work = (
            8.0 * (c_in * c_out * pixels.count()) as f64,
            bytes(x.len() + dy.len() + weight.len()),
        );
        let id = |pass: &str| format!("{pass}/{c_in}->{c_out}x{side}x{side}");

        let mut packed = vec![0.0; up::packed_len(c_in, c_out)];
        up::pack(&weight, c_in, c_out, false, &mut packed);
        let mut padded_bias = vec![0.0; padded(c_out)];
        padded_bias[..c_out].copy_from_slice(&bias);
        let mut y = vec![0.0; dy_map.data.len()];
        up::forward(x_map, pixels, size, &packed, &padded_bias, &mut y, dy_stride);
        let mut want = vec![0.0; dy.len()];
        conv_transpose2d::forward(&p, &x, &weight, &bias, &mut want).unwrap();
        let mut got = want.clone();
        to_planes(&y, dy_stride, large, c_out, &mut got);
        assert_close(&got, &want);
        bench(&mut group, &id("forward"), work, || {
            up::forward(black_box(x_map), pixels, size, &packed, &padded_bias, &mut y, dy_stride);
        });

        up::pack(&weight, c_in, c_out, true, &mut packed);
        let mut dx = vec![0.0; x_map.data.len()];
        up::backward_input(dy_map, pixels, size, &packed, &mut dx, x_stride);
        let mut want = vec![0.0; x.len()];
        conv_transpose2d::backward_input(&p, &dy, &weight, &mut want).unwrap();
        let mut got = want.clone();
        to_planes(&dx, x_stride, pixels, c_in, &mut got);
        assert_close(&got, &want);
        bench(&mut group, &id("backward_input"), work, || {
            up::backward_input(black_box(dy_map), pixels, size, &packed, &mut dx, x_stride);
        });

        let (mut dweight, mut want) = (vec![0.0; weight.len()], vec![0.0; weight.len()]);
        up::backward_weight(x_map, dy_map, pixels, size, &mut packed, &mut dweight);
        conv_transpose2d::backward_weight(&p, &x, &dy, &mut want).unwrap();
        assert_close(&dweight, &want);
        bench(&mut group, &id("backward_weight"), work, || {
            let x_map = black_box(x_map);
            up::backward_weight(x_map, dy_map, pixels, size, &mut packed, &mut dweight);
        });
    }
    group.finish();
}

fn head(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    let (channels, classes, side) = (16, 2, 128);
    let pixels = Pixels { n: N, h: side, w: side };
    let x = random(pixels.count() * channels, 1);
    let (weight, bias) = (random(classes * channels, 2), random(classes, 3));
    let (map, stride) = laid_out(&x, pixels, channels);
    let map = Map { data: &map, stride };
    let mut y = vec![0.0; pixels.count() * classes];
    pointwise::forward(map, pixels, [channels, classes], &weight, &bias, &mut y);
    let mut want = y.clone();
    let p =
        conv2d::Params { n: N as u32, c_in: 16, c_out: 2, h: 128, w: 128, kernel: 1, has_bias: 1 };
    conv2d::forward(&p, &x, &weight, &bias, &mut want).unwrap();
    assert_close(&y, &want);
    let flops = 2.0 * (pixels.count() * channels * classes) as f64;
    bench(&mut group, "forward", (flops, bytes(map.data.len() + y.len())), || {
        pointwise::forward(black_box(map), pixels, [channels, classes], &weight, &bias, &mut y);
    });
    group.finish();
}
