use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::channels_last::{Pixels, from_planes, padded, to_planes};
use crate::conv2d::{self, Params};
use crate::shape::Shape;
use crate::simd::testing::on_every_level;
use crate::tolerance::testing::{convert, draw, draw_below};
use crate::tolerance::{Tracked, Worst, compare};

/// Sizes of one case; input channels come in `parts`.
#[derive(Clone, Copy, Debug)]
struct Case {
    pixels: Pixels,
    parts: usize,
    each: usize,
    c_out: usize,
    style: usize,
    seed: u64,
}

impl Case {
    fn params(&self) -> Params {
        let Pixels { n, h, w } = self.pixels;
        let [n, c_in, c_out, h, w] =
            [n, self.parts * self.each, self.c_out, h, w].map(|v| v as u32);
        Params { n, c_in, c_out, h, w, kernel: 3, has_bias: 0 }
    }

    fn sides(&self, turned: bool) -> Sides {
        let input = Channels { parts: self.parts, each: self.each };
        Sides { pixels: self.pixels, input, output: Channels::single(self.c_out), turned }
    }

    fn drawn(&self, seed: u64, buffer: &str) -> Vec<f32> {
        let (seed, len) = (self.seed * 7 + seed, self.params().len(buffer));
        match self.style {
            0 => draw(seed, len, -2.0..2.0),
            1 => draw(seed, len, 98.0..102.0),
            2 => draw(seed, len, -2e-12..2e-12),
            3 => vec![draw(seed, 1, -2.0..2.0)[0]; len],
            _ => draw_below(seed, len, 5).into_iter().map(|v| v as f32 - 2.0).collect(),
        }
    }
}

/// A map of `channels`, with room between its pixels.
fn laid_out(planes: &[f32], pixels: Pixels, channels: Channels) -> (Vec<f32>, usize) {
    let hw = pixels.h * pixels.w;
    let stride = if channels.real() == 1 { 1 } else { channels.padded() + 3 };
    let mut out = vec![f32::NAN; pixels.count() * stride];
    if channels.real() == 1 {
        out.copy_from_slice(planes);
        return (out, stride);
    }
    for part in 0..channels.parts {
        let part_of =
            |sample: &[f32]| sample[part * channels.each * hw..][..channels.each * hw].to_vec();
        let planes: Vec<f32> = planes.chunks(channels.real() * hw).flat_map(part_of).collect();
        let at = part * padded(channels.each);
        from_planes(&planes, pixels, channels.each, &mut out[at..], stride);
    }
    (out, stride)
}

fn judged(what: &str, case: &Case, got: &[f32], want: &[Tracked]) -> f64 {
    match compare(got, want) {
        Ok(Worst { used, .. }) => used,
        Err(mismatch) => panic!("{what} of {case:?}: {mismatch}"),
    }
}

/// Checks all three passes; returns the largest share of what each may be wrong.
fn check(case: &Case) -> [f64; 3] {
    let (p, pixels) = (case.params(), case.pixels);
    let [x, weight, dy] = [(1, "x"), (2, "weight"), (3, "dy")].map(|(s, b)| case.drawn(s, b));
    let [tx, tw, tdy] = [&x, &weight, &dy].map(|v| convert::<Tracked>(v));
    let mut used = [0.0; 3];
    let input = Channels { parts: case.parts, each: case.each };
    let output = Channels::single(case.c_out);
    let map = |x: &'_ [f32], channels: Channels| laid_out(x, pixels, channels);

    for (i, turned) in [false, true].into_iter().enumerate() {
        let sides = case.sides(turned);
        let (from, from_channels) = if turned { (&dy, output) } else { (&x, input) };
        let mut want = vec![Tracked::default(); p.len(if turned { "x" } else { "y" })];
        if turned {
            conv2d::backward_input(&p, &tdy, &tw, &mut want).unwrap();
        } else {
            conv2d::forward(&p, &tx, &tw, &[Tracked::default()], &mut want).unwrap();
        }
        let mut packed = vec![f32::NAN; sides.packed_len()];
        pack(sides, &weight, None, &mut packed);
        let (data, stride) = map(from, from_channels);
        let inner = sides.inner();
        let conv = Input { pixels, x: &data, stride, inner, scale: None };
        let out_stride = sides.columns() + 5;
        let mut out = vec![f32::NAN; pixels.count() * out_stride];
        forward(sides, conv, &packed, Finish::default(), &mut out, out_stride);
        let columns = if turned { input } else { output };
        let mut got = vec![f32::NAN; want.len()];
        let hw = pixels.h * pixels.w;
        for part in 0..columns.parts {
            let mut planes = vec![f32::NAN; pixels.n * columns.each * hw];
            let at = part * padded(columns.each);
            to_planes(&out[at..], out_stride, pixels, columns.each, &mut planes);
            for (s, planes) in planes.chunks(columns.each * hw).enumerate() {
                got[(s * columns.real() + part * columns.each) * hw..][..planes.len()]
                    .copy_from_slice(planes);
            }
        }
        for (i, value) in out.iter().enumerate() {
            assert_eq!(
                i % out_stride >= sides.columns(),
                value.is_nan(),
                "what lies between pixels"
            );
        }
        used[i] = judged(["forward", "backward_input"][i], case, &got, &want);
    }

    let mut want = vec![Tracked::default(); weight.len()];
    conv2d::backward_weight(&p, &tx, &tdy, &mut want).unwrap();
    let ((x, stride), (dy, dy_stride)) = (map(&x, input), map(&dy, output));
    // The gradient of a single channel is padded as well.
    let (dy, dy_stride) = if case.c_out == 1 {
        let stride = padded(1);
        let mut wide = vec![0.0; dy.len() * stride];
        dy.iter().enumerate().for_each(|(i, &v)| wide[i * stride] = v);
        (wide, stride)
    } else {
        (dy, dy_stride)
    };
    let inner = if input.real() == 1 { 1 } else { input.padded() };
    let conv = Input { pixels, x: &x, stride, inner, scale: None };
    let mut got = vec![f32::NAN; weight.len()];
    backward_weight(case.sides(false), conv, &dy, dy_stride, &mut got);
    used[2] = judged("backward_weight", case, &got, &want);
    used
}

fn case() -> impl Strategy<Value = Case> {
    let size = || prop_oneof![1usize..14, Just(16)];
    let channels = || prop_oneof![1usize..20, Just(24), Just(32)];
    (1usize..4, size(), size(), 1usize..3, channels(), channels(), 0usize..5, any::<u16>())
        .prop_map(|(n, h, w, parts, each, c_out, style, seed)| Case {
            pixels: Pixels { n, h, w },
            parts,
            each,
            c_out,
            style,
            seed: seed.into(),
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 96,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_level_agrees_with_the_definition(case in case()) {
        on_every_level(|| {
            check(&case);
        });
    }
}

/// Many groups of tiles, whole and cut, and sums in chunks.
#[test]
fn large_maps_agree_with_the_definition() {
    for (n, h, w, each, c_out) in [(3, 67, 70, 8, 9), (9, 18, 33, 17, 40), (2, 32, 32, 64, 72)] {
        let case = Case { pixels: Pixels { n, h, w }, parts: 1, each, c_out, style: 0, seed: 1 };
        let used = check(&case);
        assert!(used.iter().all(|&used| used < 1.0), "{used:?}");
    }
}

#[test]
fn finishing_is_bias_then_relu_then_scale() {
    for (each, c_out) in [(3, 5), (8, 8)] {
        let pixels = Pixels { n: 2, h: 5, w: 9 };
        let case = Case { pixels, parts: 1, each, c_out, style: 0, seed: 5 };
        let sides = case.sides(false);
        let (x, stride) = laid_out(&case.drawn(1, "x"), pixels, sides.input);
        let mut packed = vec![0.0; sides.packed_len()];
        pack(sides, &case.drawn(2, "weight"), None, &mut packed);
        let columns = sides.columns();
        let run = |scale: Option<&[f32]>, finish: Finish<'_>| {
            let inner = sides.input.padded();
            let input = Input { pixels, x: &x, stride, inner, scale };
            let mut y = vec![f32::NAN; pixels.count() * columns];
            forward(sides, input, &packed, finish, &mut y, columns);
            y
        };
        let plain = run(None, Finish::default());
        let bias = draw(8, columns, -3.0..3.0);
        let scale: Vec<f32> = draw(9, 2 * columns, 0.0..2.0);
        let finished = run(None, Finish { bias: Some(&bias), relu: true, scale: Some(&scale) });
        let mut cut = 0;
        for (i, (&got, &v)) in finished.iter().zip(&plain).enumerate() {
            let (s, c) = (i / (pixels.h * pixels.w * columns), i % columns);
            let want = (v + bias[c]).max(0.0) * scale[s * columns + c];
            cut += usize::from(want == 0.0);
            // The bias is where sums start in one of the forms.
            assert!((got - want).abs() <= 1e-4 * (1.0 + want.abs()), "{i}: {got} {want}");
        }
        assert!(cut > 0 && cut < plain.len());
        // A factor of two on the way in is exact.
        let two = vec![2.0; 2 * sides.input.padded()];
        let doubled = run(Some(&two), Finish::default());
        assert!(doubled.iter().zip(&plain).all(|(d, p)| *d == 2.0 * p));
    }
}
