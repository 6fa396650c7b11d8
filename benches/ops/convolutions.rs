//! 3x3 convolutions and their gradients, at every level of the network.

use std::hint::black_box;

use askem_kernels::channels_last::{Channels, Pixels, to_planes};
use askem_kernels::conv2d::channels_last::{self as conv, Finish, Input, Sides};
use askem_kernels::conv2d::{self, Params};
use criterion::Criterion;

use crate::{N, assert_close, bench, laid_out, random};

pub(crate) fn bench_all(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv2d");
    for (c_in, c_out, side) in [
        (1, 16, 128),
        (16, 16, 128),
        (32, 16, 128),
        (32, 32, 64),
        (64, 64, 32),
        (128, 128, 16),
        (256, 256, 8),
    ] {
        let pixels = Pixels { n: N, h: side, w: side };
        let [n, i, o, s] = [N, c_in, c_out, side].map(|v| v as u32);
        let p = Params { n, c_in: i, c_out: o, h: s, w: s, kernel: 3, has_bias: 0 };
        let (x, dy) = (random(pixels.count() * c_in, 1), random(pixels.count() * c_out, 2));
        let weight = random(9 * c_in * c_out, 3);
        let ((x_map, x_stride), (dy_map, dy_stride)) =
            (laid_out(&x, pixels, c_in), laid_out(&dy, pixels, c_out));
        let work = |weights: usize| {
            let numbers = x.len() + dy.len() + weights;
            (18.0 * (c_in * c_out * pixels.count()) as f64, 4.0 * numbers as f64)
        };
        for turned in [false, true] {
            let [input, output] = [c_in, c_out].map(Channels::single);
            let sides = Sides { pixels, input, output, turned };
            let (from, stride, to, name) = if turned {
                (&dy_map, dy_stride, c_in, "backward_input")
            } else {
                (&x_map, x_stride, c_out, "forward")
            };
            if turned && c_in == 1 {
                continue;
            }
            let mut packed = vec![0.0; sides.packed_len()];
            conv::pack(sides, &weight, None, &mut packed);
            let out = sides.columns();
            let mut y = vec![0.0; pixels.count() * out];
            let input = Input { pixels, x: from, stride, inner: sides.inner(), scale: None };
            conv::forward(sides, input, &packed, Finish::default(), &mut y, out);
            let mut want = vec![0.0; pixels.count() * to];
            if turned {
                conv2d::backward_input(&p, &dy, &weight, &mut want).unwrap();
            } else {
                conv2d::forward(&p, &x, &weight, &[0.0], &mut want).unwrap();
            }
            let mut got = want.clone();
            to_planes(&y, out, pixels, to, &mut got);
            assert_close(&got, &want);
            let id = format!("{name}/{c_in}->{c_out}x{side}x{side}");
            bench(&mut group, &id, work(packed.len()), || {
                conv::forward(sides, black_box(input), &packed, Finish::default(), &mut y, out);
            });
        }
        let [input, output] = [c_in, c_out].map(Channels::single);
        let sides = Sides { pixels, input, output, turned: false };
        let input =
            Input { pixels, x: &x_map, stride: x_stride, inner: sides.inner(), scale: None };
        let (mut dweight, mut want) = (vec![0.0; weight.len()], vec![0.0; weight.len()]);
        conv::backward_weight(sides, input, &dy_map, dy_stride, &mut dweight);
        conv2d::backward_weight(&p, &x, &dy, &mut want).unwrap();
        assert_close(&dweight, &want);
        let id = format!("backward_weight/{c_in}->{c_out}x{side}x{side}");
        bench(&mut group, &id, work(weight.len()), || {
            conv::backward_weight(sides, black_box(input), &dy_map, dy_stride, &mut dweight);
        });
    }
    group.finish();
}
