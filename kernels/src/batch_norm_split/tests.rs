use proptest::prelude::*;

use super::*;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::{Call, batch_norm, batch_norm_relu};

fn params([n, c, hw]: [u32; 3], slices: u32) -> Params {
    Params { n, c, hw, slices: slices.min(n * hw), eps: 1e-5, momentum: 0.1, scale: 1.25 }
}

#[test]
fn slices_cover_a_channel() {
    let p = params([3, 2, 5], 4);
    let all: Vec<usize> = (0..4).flat_map(|t| p.elements_of(t)).collect();
    assert_eq!(all, (0..15).collect::<Vec<_>>());
    assert_eq!([p.index(1, 0), p.index(1, 4), p.index(1, 5)], [5, 9, 15]);
}

#[test]
fn joined_slices_are_what_the_whole_channel_gives() {
    for (size, slices) in [([2, 3, 50], 7), ([1, 1, 1], 1), ([4, 2, 9], 36)] {
        let p = params(size, slices);
        let c = p.c as usize;
        let drawn = |seed, buffer| -> Vec<f64> { convert(&draw(seed, p.len(buffer), -1.0..2.0)) };
        let (x, y, dy) = (drawn(1, "x"), drawn(2, "y"), drawn(3, "dy"));
        let mut partials = vec![f64::NAN; p.len("partials")];
        statistics(&p, &x, &mut partials).unwrap();
        let fresh = || [vec![f64::NAN; c], vec![f64::NAN; c], vec![0.5; c], vec![2.0; c]];
        let ([mut a, mut b, mut d, mut e], [mut wa, mut wb, mut wd, mut we]) = (fresh(), fresh());
        merge(&p, &partials, &mut a, &mut b, &mut d, &mut e).unwrap();
        let whole = batch_norm::Params { n: p.n, c: p.c, hw: p.hw, eps: 1e-5, momentum: 0.1 };
        let whole = batch_norm::Params { eps: p.eps, momentum: p.momentum, ..whole };
        batch_norm::statistics(&whole, &x, &mut wa, &mut wb, &mut wd, &mut we).unwrap();
        for (got, want) in [(&a, &wa), (&b, &wb), (&d, &wd), (&e, &we)] {
            compare_law(got, want, 1e3).unwrap();
        }

        let mut dpartials = vec![f64::NAN; p.len("dpartials")];
        backward_weight(&p, &x, &y, &dy, &a, &b, &mut dpartials).unwrap();
        let fresh = || [vec![f64::NAN; c], vec![f64::NAN; c], vec![f64::NAN; 4 * c]];
        let ([mut w, mut s, mut k], [mut ww, mut ws, mut wk]) = (fresh(), fresh());
        merge_backward_weight(&p, &dpartials, &a, &b, &mut w, &mut s, &mut k).unwrap();
        let unit = batch_norm_relu::Params {
            n: p.n,
            c: p.c,
            hw: p.hw,
            mask: 1,
            scale: p.scale,
            affine: 1,
        };
        batch_norm_relu::backward_weight(&unit, &x, &y, &dy, &a, &b, &mut ww, &mut ws, &mut wk)
            .unwrap();
        for (got, want) in [(&w, &ww), (&s, &ws), (&k, &wk)] {
            compare_law(got, want, 1e4).unwrap();
        }
    }
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params([1, 2, 4], 2);
    for bad in [
        Params { c: 0, ..good },
        Params { slices: 0, ..good },
        Params { slices: 5, ..good },
        Params { eps: 0.0, ..good },
        Params { momentum: 1.5, ..good },
        Params { scale: 0.0, ..good },
        Params { n: 1 << 15, hw: 1 << 15, slices: 8, ..good },
    ] {
        let refused = statistics::<f32>(&bad, &[], &mut []);
        assert!(matches!(refused, Err(Error::Params { op: "batch_norm_split", .. })), "{bad:?}");
    }
    let refused = statistics(&good, &[0.0; 8], &mut [0.0; 7]);
    assert!(matches!(refused, Err(Error::Length { buffer: "partials", expected: 8, got: 7, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn fast_agrees(size in [1u32..4, 1u32..6, 1u32..70], slices in 1u32..9, seed: u64) {
        let p = params(size, slices);
        let float = |buffer, i| Buffer::Float(draw((seed >> 1) + i, p.len(buffer), -1.0..2.0));
        let unset = |buffer| Buffer::unset(p.len(buffer) as u32);
        let x = float("x", 0);
        let call = Call::BatchNormSplitStatistics(p);
        check_fast(call, core::slice::from_ref(&x), &[unset("partials")]);
        // Means and squares of their own: of those of numbers without variance nothing can be proved.
        let means = draw(seed >> 3, p.len("partials") / 2, -1.0..1.0);
        let squares = draw(seed >> 4, p.len("partials") / 2, 0.5..2.0);
        let partials = means.into_iter().zip(squares).flat_map(|(mean, squares)| [mean, squares]);
        let partials = [Buffer::Float(partials.collect())];
        let var = Buffer::Float(draw(seed >> 2, p.c as usize, 0.1..2.0));
        let writes = [unset("mean"), unset("rstd"), float("running_mean", 1), var];
        let found = check_fast(Call::BatchNormSplitMerge(p), &partials, &writes);
        let (mean, rstd) = (found[0].clone(), found[1].clone());
        let reads = [x, float("y", 2), float("dy", 3), mean.clone(), rstd.clone()];
        let call = Call::BatchNormSplitBackwardWeight(p);
        let sums = check_fast(call, &reads, &[unset("dpartials")])[0].clone();
        let writes = [unset("dweight"), unset("dbias"), unset("coefficients")];
        check_fast(Call::BatchNormSplitMergeBackwardWeight(p), &[sums, mean, rstd], &writes);
    }
}
