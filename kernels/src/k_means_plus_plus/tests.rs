use super::*;
use crate::tolerance::testing::{Buffer, check_fast, draw as numbers, draw_below};
use crate::{Call, rng};
use proptest::prelude::*;

#[test]
fn a_goal_is_located_among_running_sums() {
    let terms = [0.0, 1.0, 0.0, 3.0, 0.0];
    let at = |goal: f64| locate(terms.into_iter(), goal);
    assert_eq!([at(0.0), at(0.5), at(1.0)], [(1, 0.0), (1, 0.5), (3, 0.0)]);
    // The sum of all, and more than that.
    assert_eq!([at(4.0), at(5.0)], [(3, 3.0), (3, 4.0)]);
    assert_eq!(locate([0.0; 3].into_iter(), 0.0), (0, 0.0));
}

/// Every row has its share of the numbers between 0 and 1, in whatever block it lies.
#[test]
fn rows_are_drawn_by_their_distances() {
    let p = Params { rows: 130, k: 1, dim: 1, trials: 2 };
    let nearest: Vec<f32> = (0..130).map(|i| (i % 4) as f32).collect();
    // The second candidate leaves half of it, the first all.
    let halves = nearest.iter().map(|x| x / 2.0);
    let trial_sq_dist: Vec<f32> = nearest.iter().copied().chain(halves).collect();
    let of_blocks = |sq_dist: &[f32]| -> Vec<f32> {
        sq_dist.chunks(BLOCK as usize).map(|block| block.iter().sum()).collect()
    };
    let left = [of_blocks(&trial_sq_dist[..130]), of_blocks(&trial_sq_dist[130..])].concat();
    let total: f32 = left[3..].iter().sum();
    let mut before = 0.0;
    for row in 0..130 {
        let share = nearest[row] / 2.0;
        for (form, u) in [(0, 0.0), (1, 0.0), (0, 0.75), (1, 0.75)] {
            let uniforms = [(before + u * share) / total, 1.0];
            let (mut best, mut drawn, mut picks) = ([0], [9, 7], [0, 0]);
            let form = [draw::<f32>, fast::draw][form];
            let (d, b, c) = (&mut drawn, &mut best, &mut picks);
            form(&p, &nearest, &trial_sq_dist, &left, &uniforms, b, d, c).unwrap();
            assert_eq!((best, picks), ([1], [1, 7]));
            if share > 0.0 && u > 0.0 {
                assert_eq!(drawn, [row as u32, 129]);
            }
            assert!(nearest[drawn[0] as usize] > 0.0);
        }
        before += share;
    }
}

#[test]
fn nothing_changes_where_picks_are_full() {
    let p = Params { rows: 2, k: 1, dim: 1, trials: 1 };
    let (mut best, mut drawn, mut picks) = ([0], [0], [1, 1]);
    fast::draw(&p, &[1.0; 2], &[1.0; 2], &[2.0], &[0.9], &mut best, &mut drawn, &mut picks)
        .unwrap();
    assert_eq!((drawn, picks), ([0], [1, 1]));
}

#[test]
fn rows_and_candidates_that_do_not_exist_are_refused() {
    let p = Params { rows: 2, k: 1, dim: 1, trials: 1 };
    for (row, candidate) in [(2, 0), (0, 1)] {
        let (n, t, l) = (&mut [0.0; 2], &mut [0.0; 2], &mut [0.0]);
        let refused = measure(&p, &[0.0; 2], &[row], &[candidate], n, t, l);
        assert!(matches!(refused, Err(Error::Params { .. })), "{row} {candidate}");
    }
    assert!(Params { trials: MAX_TRIALS + 1, ..p }.validate().is_err());
    assert!(Params { trials: MAX_TRIALS, ..p }.validate().is_ok());
}

proptest! {
    #[test]
    fn fast_agrees(rows in 1u32..200, k in 1u32..5, dim in 1u32..40, trials in 1u32..7, seed: u64) {
        let p = Params { rows, k, dim, trials };
        let points = Buffer::Float(numbers(seed, p.len("points"), -1.0..1.0));
        let drawn = draw_below(seed, trials as usize, rows);
        let best = draw_below(!seed, 1, trials);
        let nearest = Buffer::Float(numbers(seed, p.len("nearest"), 0.0..9.0));
        let before = Buffer::Float(numbers(!seed, p.len("trial_sq_dist"), 0.0..9.0));
        let writes = [nearest, before, Buffer::unset(p.len("left") as u32)];
        let reads = [points, Buffer::Uint(drawn.clone()), Buffer::Uint(best)];
        let [nearest, trial_sq_dist, left]: [Buffer; 3] =
            check_fast(Call::KMeansPlusPlusMeasure(p), &reads, &writes).try_into().unwrap();

        let mut uniform = rng::stream(seed, rng::Purpose::Test, 0, 0);
        let uniforms: Vec<f32> =
            (0..p.len("uniforms")).map(|_| rng::uniform(&mut uniform) as f32).collect();
        let convert = |x: &Buffer| crate::tolerance::testing::convert::<f64>(x.floats());
        let (mut want_best, mut want_drawn) = ([0], drawn.clone());
        let mut want_picks = vec![0; 1 + k as usize];
        draw(
            &p, &convert(&nearest), &convert(&trial_sq_dist), &convert(&left),
            &convert(&Buffer::Float(uniforms.clone())),
            &mut want_best, &mut want_drawn, &mut want_picks,
        ).unwrap();
        let reads = [nearest, trial_sq_dist, left, Buffer::Float(uniforms)];
        let writes = [vec![0], drawn, vec![0; 1 + k as usize]].map(Buffer::Uint);
        let got = check_fast(Call::KMeansPlusPlusDraw(p), &reads, &writes);
        prop_assert_eq!(got[0].uints(), want_best);
        prop_assert_eq!(got[1].uints(), want_drawn);
        prop_assert_eq!(got[2].uints(), want_picks);
    }
}
