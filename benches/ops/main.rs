//! The hot operations of the CPU executor, with the sizes of the paper's network at batch 4.
//!
//! `cargo bench --bench ops`. Each result is checked against the definition before it is timed. Before each benchmark stands
//! its floor: the time that its floating-point operations take at the rate of a matrix product measured
//! here, or its bytes at the rate of a copy measured here, whichever is longer. Convolutions count those of the definition, so that
//! Winograd's forms may be faster than their floor. Criterion's throughput is in the same operations, or bytes.

mod convolutions;
mod pixels;
mod reading;
mod resampling;
mod selection;
mod units;

use std::sync::OnceLock;
use std::time::Instant;

use askem_kernels::channels_last::{Pixels, from_planes, padded};
use askem_kernels::rng::{Purpose, normal, stream};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput, criterion_group, criterion_main};

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
    /// Measured once.
    fn get() -> &'static Self {
        static MACHINE: OnceLock<Machine> = OnceLock::new();
        MACHINE.get_or_init(Self::measure)
    }

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
    name: &str,
    (flops, bytes): (f64, f64),
    mut work: impl FnMut(),
) {
    let machine = Machine::get();
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

/// Samples.
const N: usize = 4;

/// Planes as a map whose channels lie together, and the distance of its pixels. One channel lies like that already.
fn laid_out(planes: &[f32], pixels: Pixels, channels: usize) -> (Vec<f32>, usize) {
    if channels == 1 {
        return (planes.to_vec(), 1);
    }
    let stride = padded(channels);
    let mut map = vec![0.0; pixels.count() * stride];
    from_planes(planes, pixels, channels, &mut map, stride);
    (map, stride)
}

criterion_group!(
    ops,
    convolutions::bench_all,
    units::bench_all,
    resampling::bench_all,
    pixels::bench_all,
    reading::bench_all,
    selection::bench_all
);
criterion_main!(ops);
