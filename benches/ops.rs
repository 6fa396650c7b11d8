//! The hot operations of the CPU executor, with the sizes of the paper's network at batch 4.
//!
//! `cargo bench --bench ops`. Each result is checked against the definition before it is timed. Before each benchmark stands
//! its floor: the time that its floating-point operations take at the rate of a matrix product measured
//! here, or its bytes at the rate of a copy measured here, whichever is longer. Convolutions count those of the definition, so that
//! Winograd's forms may be faster than their floor. Criterion's throughput is in the same operations, or bytes.

use std::hint::black_box;
use std::time::Instant;

use askem_kernels::channels_last::unit::{self, Map, Mask, Norm};
use askem_kernels::channels_last::{Channels, Pixels, from_planes, padded, to_planes};
use askem_kernels::conv2d::channels_last::{self as conv, Finish, Input, Sides};
use askem_kernels::conv2d::{self, Params};
use askem_kernels::rng::{Purpose, normal, stream};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

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

/// The shortest of some runs, in seconds.
fn shortest(mut work: impl FnMut()) -> f64 {
    let time = |_| {
        let clock = Instant::now();
        work();
        clock.elapsed().as_secs_f64()
    };
    (0..7).map(time).fold(f64::INFINITY, f64::min)
}

/// What this machine does at best, by all threads.
struct Machine {
    flops: f64,
    bytes: f64,
}

impl Machine {
    fn measure() -> Self {
        let n = 1536;
        let (a, b, mut c) = (random(n * n, 1), random(n * n, 2), vec![0.0; n * n]);
        let rows = n / rayon::current_num_threads();
        let product = shortest(|| {
            use rayon::prelude::*;
            a.par_chunks(rows * n).zip(c.par_chunks_mut(rows * n)).for_each(|(a, c)| {
                let m = a.len() / n;
                let (s, t) = (n as isize, 1);
                // SAFETY: the three matrices lie row by row in slices of `m * n`, `n * n` and `m * n` numbers.
                #[allow(unsafe_code)]
                unsafe {
                    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                    matrixmultiply::sgemm(m, n, n, 1.0, a, s, t, b, s, t, 0.0, c, s, t);
                }
            });
        });
        let (from, mut to) = (vec![1.0_f32; 32 << 20], vec![0.0_f32; 32 << 20]);
        let piece = from.len() / rayon::current_num_threads();
        let copy = shortest(|| {
            use rayon::prelude::*;
            let pairs = from.par_chunks(piece).zip(to.par_chunks_mut(piece));
            pairs.for_each(|(from, to)| to.copy_from_slice(from));
        });
        let machine = Self {
            flops: 2.0 * (n * n * n) as f64 / product,
            bytes: 8.0 * from.len() as f64 / copy,
        };
        let [flops, bytes] = [machine.flops, machine.bytes].map(|rate| rate / 1e9);
        println!("matrix product {flops:.0} GFLOP/s, copy {bytes:.1} GB/s (read and written)");
        machine
    }
}

/// Times a piece of work and prints its floor and the share of it that is reached.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    machine: &Machine,
    name: &str,
    (flops, bytes): (f64, f64),
    mut work: impl FnMut(),
) {
    let floor = (flops / machine.flops).max(bytes / machine.bytes);
    let share = 100.0 * floor / shortest(&mut work);
    println!("{name}: floor {:.3} ms, share of it reached {share:.0} %", 1e3 * floor);
    group.throughput(if flops > 0.0 {
        Throughput::Elements(flops as u64)
    } else {
        Throughput::Bytes(bytes as u64)
    });
    group.bench_function(name, |b| b.iter(&mut work));
}

const N: usize = 4;

fn convolutions(c: &mut Criterion) {
    let machine = Machine::measure();
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
        let laid_out = |planes: &[f32], channels: usize| {
            if channels == 1 {
                return (planes.to_vec(), 1);
            }
            let stride = padded(channels);
            let mut map = vec![0.0; pixels.count() * stride];
            from_planes(planes, pixels, channels, &mut map, stride);
            (map, stride)
        };
        let ((x_map, x_stride), (dy_map, dy_stride)) = (laid_out(&x, c_in), laid_out(&dy, c_out));
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
            bench(&mut group, &machine, &id, work(packed.len()), || {
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
        bench(&mut group, &machine, &id, work(weight.len()), || {
            conv::backward_weight(sides, black_box(input), &dy_map, dy_stride, &mut dweight);
        });
    }
    group.finish();
}

/// Normalisation, dropout and ReLU of the widest level, both ways.
fn units(c: &mut Criterion) {
    let machine = Machine::measure();
    let mut group = c.benchmark_group("unit");
    let (pixels, channels) = (Pixels { n: N, h: 128, w: 128 }, padded(16));
    let len = pixels.count() * channels;
    let (x, mut dy) = (random(len, 1), random(len, 2));
    let (mut mean, mut var) = (vec![0.0; channels], vec![0.0; channels]);
    let x = Map { data: &x, stride: channels };
    let bytes = |maps: usize| (0.0, 4.0 * (maps * len) as f64);
    bench(&mut group, &machine, "moments", bytes(1), || {
        unit::moments(black_box(x), pixels, channels, false, &mut mean, &mut var);
    });
    assert!(mean.iter().zip(&var).all(|(m, v)| m.abs() < 0.05 && (v - 1.0).abs() < 0.05));
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let affine = Some([&ones[..], &zeros[..]]);
    let norm = Norm { mean: &mean, rstd: &ones, affine, per_sample: false };
    let keep = vec![1.0; N * channels];
    let mask = Mask::Channel(&keep);
    let mut y = vec![0.0; len];
    bench(&mut group, &machine, "forward", bytes(2), || {
        unit::forward(black_box(x), pixels, channels, norm, mask, &mut y, channels);
    });
    let want = x.data.iter().enumerate().map(|(i, x)| (x - mean[i % channels]).max(0.0));
    assert_close(&y, &want.collect::<Vec<_>>());
    let mut sums = [vec![0.0; channels], vec![0.0; channels]];
    bench(&mut group, &machine, "backward_sums", bytes(2), || {
        let [sum_g, sum_g_xhat] = &mut sums;
        let dy = Map { data: &dy, stride: channels };
        unit::backward_sums(black_box(x), dy, pixels, channels, norm, mask, sum_g, sum_g_xhat);
    });
    bench(&mut group, &machine, "backward_input", bytes(3), || {
        let sums = [&sums[0][..], &sums[1][..]];
        unit::backward_input(black_box(x), pixels, channels, norm, mask, sums, &mut dy, channels);
    });
    group.finish();
}

criterion_group!(ops, convolutions, units);
criterion_main!(ops);
