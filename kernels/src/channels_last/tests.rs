use super::unit::{self, Map, Mask, Norm};
use super::*;
use crate::conv2d::pointwise;
use crate::real::Real;
use crate::simd::testing::on_every_level;
use crate::tolerance::testing::{convert, draw, draw_below};
use crate::tolerance::{Tracked, compare};
use crate::{batch_norm, conv_transpose2d, conv2d, instance_norm, max_pool2d};

/// A map with room between its pixels.
fn laid_out(planes: &[f32], pixels: Pixels, channels: usize) -> (Vec<f32>, usize) {
    let stride = padded(channels) + 3;
    let mut out = vec![f32::NAN; pixels.count() * stride];
    from_planes(planes, pixels, channels, &mut out, stride);
    (out, stride)
}

fn planes(map: &[f32], stride: usize, pixels: Pixels, channels: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; pixels.count() * channels];
    to_planes(map, stride, pixels, channels, &mut out);
    out
}

/// Rows of channels, each padded with zeros.
fn pad(rows: &[f32], channels: usize) -> Vec<f32> {
    let padded_row = |row: &[f32]| {
        let mut row = row.to_vec();
        row.resize(padded(channels), 0.0);
        row
    };
    rows.chunks(channels).flat_map(padded_row).collect()
}

fn agree(what: &str, got: &[f32], want: &[Tracked]) {
    if let Err(mismatch) = compare(got, want) {
        panic!("{what}: {mismatch}");
    }
}

fn tracked(x: &[f32]) -> Vec<Tracked> {
    convert(x)
}

fn none(len: usize) -> Vec<Tracked> {
    vec![Tracked::default(); len]
}

const SIZES: [(Pixels, usize); 5] = [
    (Pixels { n: 2, h: 3, w: 5 }, 1),
    (Pixels { n: 3, h: 1, w: 1 }, 7),
    (Pixels { n: 2, h: 8, w: 6 }, 16),
    (Pixels { n: 1, h: 5, w: 4 }, 37),
    // Several pieces to a sample, the last one shorter.
    (Pixels { n: 2, h: 70, w: 90 }, 8),
];

/// Everything that follows a convolution, both ways, beside the ops that it is made of.
fn check_unit(pixels: Pixels, c: usize, per_sample: bool, element: bool) {
    let Pixels { n, h, w } = pixels;
    let (hw, len) = (h * w, pixels.count() * c);
    let x = draw(1, len, -2.0..2.0);
    let dy = draw(2, len, -1.0..1.0);
    let weight = draw(3, c, 0.5..1.5);
    let bias = draw(4, c, -0.5..0.5);
    let drawn = draw_below(5, if element { len } else { n * c }, 3);
    let mask: Vec<f32> = drawn.into_iter().map(|v| if v == 0 { 0.0 } else { 1.5 }).collect();
    let mask_at = |i: usize| if element { mask[i] } else { mask[i / hw] };
    let [n32, c32, hw32] = [n, c, hw].map(|v| v as u32);

    // The definitions, one op after another. Means and so on are taken from the fast form, so
    // that each part is judged by itself.
    let (map, stride) = laid_out(&x, pixels, c);
    let x_map = Map { data: &map, stride };
    let width = padded(c);
    let groups = if per_sample { n } else { 1 };
    let (mut mean, mut var) = (vec![f32::NAN; groups * width], vec![f32::NAN; groups * width]);
    unit::moments(x_map, pixels, width, per_sample, &mut mean, &mut var);
    let mut rstd: Vec<f32> = var.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
    let (mut want_mean, mut want_rstd) = (none(groups * c), none(groups * c));
    let tx = tracked(&x);
    if per_sample {
        let p = instance_norm::Params { n: n32, c: c32, hw: hw32, eps: 1e-5 };
        instance_norm::statistics(&p, &tx, &mut want_mean, &mut want_rstd).unwrap();
    } else {
        let p = batch_norm::Params { n: n32, c: c32, hw: hw32, eps: 1e-5, momentum: 0.1 };
        let (mut a, mut b) = (none(c), none(c));
        batch_norm::statistics(&p, &tx, &mut want_mean, &mut want_rstd, &mut a, &mut b).unwrap();
    }
    let real = |rows: &[f32]| -> Vec<f32> {
        rows.chunks(width).flat_map(|row| row[..c].to_vec()).collect()
    };
    agree("mean", &real(&mean), &want_mean);
    // A single pixel has no variance: its rstd has no bound, and would only magnify roundings.
    if hw * n / groups == 1 {
        assert!(real(&var).iter().all(|&var| var == 0.0));
        rstd.fill(1.0);
    } else {
        agree("rstd", &real(&rstd), &want_rstd);
    }

    let (weight, bias) = if per_sample { (vec![1.0; c], vec![0.0; c]) } else { (weight, bias) };
    let affine = [pad(&weight, c), pad(&bias, c)];
    let affine_of = (!per_sample).then_some([&affine[0][..], &affine[1][..]]);
    let norm = Norm { mean: &mean, rstd: &rstd, affine: affine_of, per_sample };
    let (element_mask, mask_stride) =
        if element { laid_out(&mask, pixels, c) } else { (vec![], 1) };
    let channel_mask = if element { vec![] } else { pad(&mask, c) };
    let mask_of = if element {
        Mask::Element(Map { data: &element_mask, stride: mask_stride })
    } else {
        Mask::Channel(&channel_mask)
    };
    let mut y = vec![f32::NAN; pixels.count() * (width + 1)];
    unit::forward(x_map, pixels, width, norm, mask_of, &mut y, width + 1);
    let y = planes(&y, width + 1, pixels, c);
    let of = |rows: &[f32], i: usize| {
        let (s, ch) = (i / (c * hw), i / hw % c);
        Tracked::leaf(f64::from(rows[if per_sample { s * width + ch } else { ch }]))
    };
    let leaf = |v: f32| Tracked::leaf(f64::from(v));
    let normed: Vec<Tracked> = (0..len)
        .map(|i| {
            let ch = i / hw % c;
            (tx[i] - of(&mean, i)) * of(&rstd, i) * leaf(weight[ch]) + leaf(bias[ch])
        })
        .collect();
    let masked: Vec<Tracked> = (0..len).map(|i| normed[i] * leaf(mask_at(i))).collect();
    let positive = |v: Tracked| if v.value > 0.0 { v } else { Tracked { value: 0.0, ..v } };
    agree("forward", &y, &masked.iter().map(|&v| positive(v)).collect::<Vec<_>>());

    let (mut dy_map, dy_stride) = laid_out(&dy, pixels, c);
    let (mut sum_g, mut sum_g_xhat) =
        (vec![f32::NAN; groups * width], vec![f32::NAN; groups * width]);
    let dy_of = Map { data: &dy_map, stride: dy_stride };
    unit::backward_sums(x_map, dy_of, pixels, width, norm, mask_of, &mut sum_g, &mut sum_g_xhat);
    let (mut want_g, mut want_g_xhat) = (none(groups * c), none(groups * c));
    let xhat = |i: usize| (tx[i] - of(&mean, i)) * of(&rstd, i);
    let g = |i: usize| {
        let through = masked[i].value > 0.0;
        if through { leaf(dy[i]) * leaf(mask_at(i)) } else { Tracked::default() }
    };
    for i in 0..len {
        let (s, ch) = (i / (c * hw), i / hw % c);
        let at = if per_sample { s * c + ch } else { ch };
        want_g[at] += g(i);
        want_g_xhat[at] += g(i) * xhat(i);
    }
    agree("sum of g", &real(&sum_g), &want_g);
    agree("sum of g xhat", &real(&sum_g_xhat), &want_g_xhat);

    let sums = [&sum_g[..], &sum_g_xhat[..]];
    unit::backward_input(x_map, pixels, width, norm, mask_of, sums, &mut dy_map, dy_stride);
    let m = Tracked::from_f64((if per_sample { hw } else { n * hw }) as f64);
    let want: Vec<Tracked> = (0..len)
        .map(|i| {
            let factor = of(&rstd, i) * leaf(weight[i / hw % c]);
            factor * (g(i) - of(&sum_g, i) / m - xhat(i) * (of(&sum_g_xhat, i) / m))
        })
        .collect();
    agree("backward_input", &planes(&dy_map, dy_stride, pixels, c), &want);
}

#[test]
fn what_follows_a_convolution_agrees_with_its_ops() {
    on_every_level(|| {
        for (pixels, c) in SIZES {
            for (per_sample, element) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                check_unit(pixels, c, per_sample, element);
            }
        }
    });
}

#[test]
fn pools_agree_with_the_definition() {
    on_every_level(|| {
        for (n, h, w, c) in [(2, 4, 6, 3), (1, 5, 7, 16), (3, 2, 2, 9), (1, 16, 16, 40)] {
            let pixels = Pixels { n, h, w };
            let half = Pixels { n, h: h / 2, w: w / 2 };
            // Few values, so that many are equal.
            let x: Vec<f32> =
                draw_below(1, pixels.count() * c, 4).into_iter().map(|v| v as f32 - 1.5).collect();
            let dy = draw(2, half.count() * c, -1.0..1.0);
            let old = draw(3, x.len(), -1.0..1.0);
            let p = max_pool2d::Params { n: n as u32, c: c as u32, h: h as u32, w: w as u32 };
            let (mut want, mut indices, mut want_dx) =
                (vec![0.0; dy.len()], vec![0; dy.len()], old.clone());
            max_pool2d::forward(&p, &x, &mut want, &mut indices).unwrap();
            max_pool2d::backward_input(&p, &dy, &indices, &mut want_dx).unwrap();

            let (x, stride) = laid_out(&x, pixels, c);
            let x = Map { data: &x, stride };
            let width = padded(c);
            let mut y = vec![f32::NAN; half.count() * (width + 2)];
            max_pool2d::channels_last::forward(x, pixels, width, &mut y, width + 2);
            assert_eq!(planes(&y, width + 2, half, c), want);
            let (dy, dy_stride) = laid_out(&dy, half, c);
            let (mut dx, dx_stride) = laid_out(&old, pixels, c);
            let dy = Map { data: &dy, stride: dy_stride };
            max_pool2d::channels_last::backward_input(x, dy, pixels, width, &mut dx, dx_stride);
            assert_eq!(planes(&dx, dx_stride, pixels, c), want_dx);
        }
    });
}

#[test]
fn transposed_convolutions_agree_with_the_definition() {
    use conv_transpose2d::channels_last as up;
    on_every_level(|| {
        for (n, h, w, c_in, c_out) in
            [(2, 3, 5, 6, 3), (1, 8, 8, 64, 32), (1, 1, 1, 1, 1), (2, 9, 33, 33, 17)]
        {
            let pixels = Pixels { n, h, w };
            let twice = Pixels { n, h: 2 * h, w: 2 * w };
            let [n32, i32, o32, h32, w32] = [n, c_in, c_out, h, w].map(|v| v as u32);
            let p = conv_transpose2d::Params { n: n32, c_in: i32, c_out: o32, h: h32, w: w32 };
            let x = draw(1, pixels.count() * c_in, -1.0..1.0);
            let weight = draw(2, c_in * c_out * 4, -1.0..1.0);
            let bias = draw(3, c_out, -1.0..1.0);
            let dy = draw(4, twice.count() * c_out, -1.0..1.0);
            let [tx, tw, tb, tdy] = [&x, &weight, &bias, &dy].map(|v| tracked(v));

            let mut packed = vec![f32::NAN; up::packed_len(c_in, c_out)];
            up::pack(&weight, c_in, c_out, false, &mut packed);
            let (x, stride) = laid_out(&x, pixels, c_in);
            let x = Map { data: &x, stride };
            let out = padded(c_out) + 1;
            let mut y = vec![f32::NAN; twice.count() * out];
            let sizes = [c_in, c_out];
            up::forward(x, pixels, sizes, &packed, &pad(&bias, c_out), &mut y, out);
            let mut want = none(dy.len());
            conv_transpose2d::forward(&p, &tx, &tw, &tb, &mut want).unwrap();
            agree("forward", &planes(&y, out, twice, c_out), &want);

            let (dy, dy_stride) = laid_out(&dy, twice, c_out);
            let dy = Map { data: &dy, stride: dy_stride };
            let mut dweight = vec![f32::NAN; weight.len()];
            up::backward_weight(x, dy, pixels, sizes, &mut packed, &mut dweight);
            let mut want = none(weight.len());
            conv_transpose2d::backward_weight(&p, &tx, &tdy, &mut want).unwrap();
            agree("backward_weight", &dweight, &want);

            up::pack(&weight, c_in, c_out, true, &mut packed);
            let out = padded(c_in) + 1;
            let mut dx = vec![f32::NAN; pixels.count() * out];
            up::backward_input(dy, pixels, sizes, &packed, &mut dx, out);
            let mut want = none(tx.len());
            conv_transpose2d::backward_input(&p, &tdy, &tw, &mut want).unwrap();
            agree("backward_input", &planes(&dx, out, pixels, c_in), &want);
        }
    });
}

#[test]
fn heads_agree_with_the_definition() {
    on_every_level(|| {
        for (n, h, w, c_in, c_out) in
            [(2, 3, 5, 6, 2), (1, 50, 50, 16, 2), (1, 1, 1, 1, 3), (2, 7, 9, 33, 17)]
        {
            let pixels = Pixels { n, h, w };
            let [n32, i32, o32, h32, w32] = [n, c_in, c_out, h, w].map(|v| v as u32);
            let p = conv2d::Params {
                n: n32,
                c_in: i32,
                c_out: o32,
                h: h32,
                w: w32,
                kernel: 1,
                has_bias: 1,
            };
            let x = draw(1, pixels.count() * c_in, -1.0..1.0);
            let weight = draw(2, c_in * c_out, -1.0..1.0);
            let bias = draw(3, c_out, -1.0..1.0);
            let dy = draw(4, pixels.count() * c_out, -1.0..1.0);
            let [tx, tw, tb, tdy] = [&x, &weight, &bias, &dy].map(|v| tracked(v));
            let sizes = [c_in, c_out];

            let (x, stride) = laid_out(&x, pixels, c_in);
            let x = Map { data: &x, stride };
            let mut y = vec![f32::NAN; dy.len()];
            pointwise::forward(x, pixels, sizes, &weight, &bias, &mut y);
            let mut want = none(dy.len());
            conv2d::forward(&p, &tx, &tw, &tb, &mut want).unwrap();
            agree("forward", &y, &want);

            let mut dweight = vec![f32::NAN; weight.len()];
            pointwise::backward_weight(x, &dy, pixels, sizes, &mut dweight);
            let mut want = none(weight.len());
            conv2d::backward_weight(&p, &tx, &tdy, &mut want).unwrap();
            agree("backward_weight", &dweight, &want);

            let out = padded(c_in) + 1;
            let mut dx = vec![f32::NAN; pixels.count() * out];
            pointwise::backward_input(&dy, pixels, sizes, &weight, &mut dx, out);
            let mut want = none(tx.len());
            conv2d::backward_input(&p, &tdy, &tw, &mut want).unwrap();
            agree("backward_input", &planes(&dx, out, pixels, c_in), &want);
        }
    });
}

#[test]
fn means_and_sums_run_over_pixels() {
    let (pixels, c) = (Pixels { n: 2, h: 3, w: 7 }, 5);
    let x = draw(1, pixels.count() * c, -1.0..1.0);
    let (map, stride) = laid_out(&x, pixels, c);
    let map = Map { data: &map, stride };
    let mut sums = vec![f32::NAN; padded(c)];
    unit::channel_sums(map, pixels, padded(c), &mut sums);
    let mut means = vec![f32::NAN; 2 * c];
    unit::means(map, pixels, c, &mut means);
    let (mut want_sums, mut want_means) = (none(c), none(2 * c));
    let size = Tracked::from_f64(21.0);
    for (i, x) in tracked(&x).into_iter().enumerate() {
        want_sums[i / 21 % c] += x;
        want_means[i / 21] += x / size;
    }
    agree("sums", &sums[..c], &want_sums);
    agree("means", &means, &want_means);
}

#[test]
fn planes_come_back() {
    let pixels = Pixels { n: 2, h: 3, w: 5 };
    for c in [1, 3, 8, 17] {
        let x = draw(c as u64, pixels.count() * c, -1.0..1.0);
        let stride = padded(c) + 7;
        let mut y = vec![f32::NAN; pixels.count() * stride];
        from_planes(&x, pixels, c, &mut y, stride);
        assert!(y.chunks(stride).all(|y| y[c..padded(c)].iter().all(|&v| v == 0.0)));
        let mut back = vec![f32::NAN; x.len()];
        to_planes(&y, stride, pixels, c, &mut back);
        assert_eq!(back, x);
    }
}

#[test]
fn joined_maps_are_padded_each() {
    let two = Channels { parts: 2, each: 3 };
    let half = padded(3);
    assert_eq!((two.real(), two.padded()), (6, 2 * half));
    assert_eq!(
        [two.at(2), two.at(3), two.at(half), two.at(half + 3)],
        [Some(2), None, Some(3), None]
    );
}
