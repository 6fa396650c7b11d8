use proptest::prelude::*;

use super::*;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::{Call, batch_norm, instance_norm};

fn params(n: u32, [c_in, c_a, c_out]: [u32; 3], [h, w]: [u32; 2], kernel: u32) -> Params {
    Params { n, c_in, c_a, c_out, h, w, kernel, eps: 1e-5, momentum: 0.1 }
}

#[test]
fn cells_cover_a_channel_once() {
    let p = params(2, [1, 1, 3], [9, 17], 1);
    let mut seen = vec![0; 9 * 17];
    for cell in 0..p.cells_of_channel() {
        let [rows, columns] = p.range_of(cell);
        for row in rows {
            columns.clone().for_each(|column| seen[row * 17 + column] += 1);
        }
    }
    // Once in each sample.
    assert!(seen.iter().all(|&times| times == 2), "{seen:?}");
    assert_eq!([0, 2, 3, 5, 11].map(|cell| p.pixels_of(cell)), [64, 8, 8, 1, 1]);
    assert_eq!(p.len("partials"), 2 * 3 * 2 * 6);
}

/// What it is made of: a convolution, and the statistics of its output.
#[test]
fn it_is_a_convolution_and_the_statistics_of_its_output() {
    for (n, channels, sides, kernel) in
        [(2, [5, 2, 3], [9, 17], 3), (1, [1, 1, 1], [1, 1], 1), (3, [2, 2, 4], [16, 8], 1)]
    {
        let p = params(n, channels, sides, kernel);
        let drawn = |seed, buffer| -> Vec<f64> { convert(&draw(seed, p.len(buffer), -1.0..2.0)) };
        let (x, weight) = (drawn(1, "x"), drawn(2, "weight"));
        let mut y = vec![f64::NAN; p.len("y")];
        let mut partials = vec![f64::NAN; p.len("partials")];
        forward(&p, &x, &weight, &mut y, &mut partials).unwrap();
        let mut want = vec![f64::NAN; p.len("y")];
        conv2d_joined::forward(&p.joined(), &x, &weight, &mut want).unwrap();
        assert_eq!(y, want);

        let c = p.c_out as usize;
        let fresh = || [vec![f64::NAN; c], vec![f64::NAN; c], vec![0.5; c], vec![2.0; c]];
        let ([mut a, mut b, mut d, mut e], [mut wa, mut wb, mut wd, mut we]) = (fresh(), fresh());
        merge(&p, &partials, &mut a, &mut b, &mut d, &mut e).unwrap();
        let Params { h, w, eps, momentum, .. } = p;
        let whole = batch_norm::Params { n, c: p.c_out, hw: h * w, eps, momentum };
        batch_norm::statistics(&whole, &y, &mut wa, &mut wb, &mut wd, &mut we).unwrap();
        for (got, want) in [(&a, &wa), (&b, &wb), (&d, &wd), (&e, &we)] {
            compare_law(got, want, 1e4).unwrap();
        }

        let planes = n as usize * c;
        let [mut mean, mut rstd, mut want_mean, mut want_rstd] =
            [(); 4].map(|()| vec![f64::NAN; planes]);
        merge_planes(&p, &partials, &mut mean, &mut rstd).unwrap();
        let instance = instance_norm::Params { n, c: p.c_out, hw: h * w, eps };
        instance_norm::statistics(&instance, &y, &mut want_mean, &mut want_rstd).unwrap();
        compare_law(&mean, &want_mean, 1e4).unwrap();
        compare_law(&rstd, &want_rstd, 1e4).unwrap();
    }
}

/// Squares of raw values would lose the variance here.
#[test]
fn a_large_mean_does_not_cancel() {
    let p = params(2, [1, 1, 1], [24, 24], 1);
    let x: Vec<f32> = draw(1, p.len("x"), -1.0..1.0).into_iter().map(|x: f32| x + 1000.0).collect();
    let (mut y, mut partials) = (vec![0.0; p.len("y")], vec![0.0; p.len("partials")]);
    forward(&p, &x, &[1.0], &mut y, &mut partials).unwrap();
    let [mut mean, mut rstd, mut running_mean, mut running_var] = [[0.0_f32]; 4];
    merge(&p, &partials, &mut mean, &mut rstd, &mut running_mean, &mut running_var).unwrap();
    let m = x.len() as f64;
    let exact_mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / m;
    let variance = x.iter().map(|&x| (f64::from(x) - exact_mean).powi(2)).sum::<f64>() / m;
    let want = 1.0 / (variance + f64::from(p.eps)).sqrt();
    assert!((f64::from(rstd[0]) / want - 1.0).abs() < 1e-4, "{} {want}", rstd[0]);
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params(1, [2, 1, 1], [1, 1], 1);
    for bad in [
        Params { c_a: 0, ..good },
        Params { kernel: 2, ..good },
        Params { n: 0, ..good },
        Params { eps: 0.0, ..good },
        Params { momentum: 1.5, ..good },
    ] {
        let refused = forward(&bad, &[0.0; 2], &[0.0; 2], &mut [0.0], &mut [0.0; 2]);
        assert!(matches!(refused, Err(Error::Params { op: "conv2d_statistics", .. })), "{bad:?}");
    }
    let refused = forward(&good, &[0.0; 2], &[0.0; 2], &mut [0.0], &mut [0.0; 3]);
    assert!(matches!(refused, Err(Error::Length { buffer: "partials", expected: 2, got: 3, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fast_agrees(
        n in 1u32..4, c_in in 1u32..9, first in 0.0f64..1.0, c_out in 1u32..6,
        sides in [1u32..20, 1u32..20], kernel in prop::sample::select(&[1u32, 3][..]), seed: u64,
    ) {
        let c_a = 1 + (first * f64::from(c_in)) as u32;
        let p = params(n, [c_in, c_a, c_out], sides, kernel);
        let float = |buffer, i| Buffer::Float(draw((seed >> 1) + i, p.len(buffer), -1.0..2.0));
        let unset = |buffer| Buffer::unset(p.len(buffer) as u32);
        let reads = [float("x", 0), float("weight", 1)];
        let call = Call::Conv2dStatisticsForward(p);
        check_fast(call, &reads, &[unset("y"), unset("partials")]);
        // Means and squares of their own: of those of a convolution without variance nothing can be proved.
        let means = draw(seed >> 3, p.len("partials") / 2, -1.0..1.0);
        let squares = draw(seed >> 4, p.len("partials") / 2, 0.5..2.0);
        let partials = means.into_iter().zip(squares).flat_map(|(mean, squares)| [mean, squares]);
        let partials = Buffer::Float(partials.collect());
        let var = Buffer::Float(draw(seed >> 2, p.c_out as usize, 0.1..2.0));
        let writes = [unset("mean"), unset("rstd"), float("running_mean", 2), var];
        check_fast(Call::Conv2dStatisticsMerge(p), std::slice::from_ref(&partials), &writes);
        let writes = [unset("plane_mean"), unset("plane_rstd")];
        check_fast(Call::Conv2dStatisticsMergePlanes(p), &[partials], &writes);
    }
}
