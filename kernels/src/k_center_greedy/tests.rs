use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw, draw_below};
use proptest::prelude::*;

type Pick = fn(&Params, &[f32], &mut [u32]) -> Result<(), Error>;
type Update = fn(&Params, &[f32], &[u32], &mut [f32]) -> Result<(), Error>;
const FORMS: [(Pick, Update); 2] = [(pick, update), (fast::pick, fast::update)];

#[test]
fn picks_the_farthest_and_the_first_of_equals() {
    // On a line: from 0 the farthest are -4 and 4, then 2 lies as far from 4 as from 0.
    let points = [0.0, 1.0, -4.0, 4.0, 2.0];
    let p = Params { rows: 5, dim: 1, capacity: 5 };
    for (pick, update) in FORMS {
        let (mut sq_dist, mut picks) = ([f32::MAX; 5], [0, 9, 9, 9, 9, 9]);
        for _ in 0..5 {
            pick(&p, &sq_dist, &mut picks).unwrap();
            update(&p, &points, &picks, &mut sq_dist).unwrap();
        }
        assert_eq!(picks, [5, 0, 2, 3, 4, 1]);
        assert_eq!(sq_dist, [-1.0; 5]);
        // It is full now.
        pick(&p, &sq_dist, &mut picks).unwrap();
        assert_eq!(picks, [5, 0, 2, 3, 4, 1]);
    }
}

#[test]
fn nothing_happens_before_the_first_pick() {
    let p = Params { rows: 2, dim: 1, capacity: 1 };
    for (_, update) in FORMS {
        let mut sq_dist = [3.0, f32::MAX];
        update(&p, &[0.0, 1.0], &[0, 77], &mut sq_dist).unwrap();
        assert_eq!(sq_dist, [3.0, f32::MAX]);
    }
}

#[test]
fn picks_that_make_no_sense_are_refused() {
    let p = Params { rows: 2, dim: 1, capacity: 1 };
    for (_, update) in FORMS {
        for picks in [[1, 2], [2, 0], [u32::MAX, 0]] {
            let mut sq_dist = [1.0; 2];
            let result = update(&p, &[0.0, 1.0], &picks, &mut sq_dist);
            assert!(matches!(result, Err(Error::Params { .. })));
            assert_eq!(sq_dist, [1.0; 2]);
        }
    }
    assert!(Params { capacity: 3, ..p }.validate().is_err());
}

proptest! {
    /// The radius, which is the distance of the next pick, never grows, and no point is picked twice.
    #[test]
    fn the_radius_never_grows(rows in 1u32..200, dim in 1u32..40, seed: u64) {
        let p = Params { rows, dim, capacity: rows.min(20) };
        let points = draw(seed, p.len("points"), -1.0..1.0);
        for (pick, update) in FORMS {
            let mut sq_dist = vec![f32::MAX; rows as usize];
            let mut picks = vec![0; p.len("picks")];
            let mut radius = f32::MAX;
            for t in 1..=p.capacity as usize {
                pick(&p, &sq_dist, &mut picks).unwrap();
                let next = sq_dist[picks[t] as usize];
                prop_assert!((0.0..=radius).contains(&next));
                prop_assert!(!picks[1..t].contains(&picks[t]));
                radius = next;
                update(&p, &points, &picks, &mut sq_dist).unwrap();
            }
        }
    }

    #[test]
    fn fast_agrees(rows in 1u32..200, dim in 1u32..70, seed: u64) {
        let p = Params { rows, dim, capacity: 1 };
        let points = Buffer::Float(draw(seed, p.len("points"), -1.0..1.0));
        let sq_dist = Buffer::Float(draw(seed, rows as usize, 0.0..30.0));
        let picks = check_fast(
            Call::KCenterGreedyPick(p),
            core::slice::from_ref(&sq_dist),
            &[Buffer::Uint(vec![0, 0])],
        ).remove(0);
        let largest = sq_dist.floats().iter().copied().fold(0.0, f32::max);
        prop_assert_eq!(sq_dist.floats()[picks.uints()[1] as usize], largest);
        check_fast(Call::KCenterGreedyUpdate(p), &[points, picks], &[sq_dist]);
    }

    /// Few distinct coordinates give many ties, and clusters make most distances shrink at once.
    #[test]
    fn greedy_picks_as_the_rounds_do(rows in 1u32..2000, dim in 1u32..20, chosen: bool, seed: u64) {
        let p = Params { rows, dim, capacity: rows.min(25) };
        let mut points = draw(seed, p.len("points"), -1.0..1.0);
        for (x, at) in points.iter_mut().zip(draw_below(seed, p.len("points"), 3)) {
            *x = (*x * 2.0).round() + 8.0 * at as f32;
        }
        let mut sq_dist = vec![f32::MAX; rows as usize];
        if chosen {
            let mut first = [1, 0];
            first[1] = rows / 2;
            update(&Params { capacity: 1, ..p }, &points, &first, &mut sq_dist).unwrap();
            // Chosen before, but not picked: it may be picked when nothing lies farther.
            sq_dist[first[1] as usize] = 0.0;
        }
        let start = sq_dist.clone();
        let got = fast::greedy(&p, &points, &sq_dist).unwrap();
        let (mut picks, mut want) = (vec![0; p.len("picks")], Vec::new());
        for t in 1..=p.capacity as usize {
            fast::pick(&p, &sq_dist, &mut picks).unwrap();
            want.push((picks[t], sq_dist[picks[t] as usize]));
            fast::update(&p, &points, &picks, &mut sq_dist).unwrap();
        }
        prop_assert_eq!(&got, &want);

        // The coordinates are numbers of half precision.
        let halves: Vec<half::f16> = points.iter().copied().map(half::f16::from_f32).collect();
        let from_halves = fast::greedy_f16(&p, &halves, &start, |_, _| {}).unwrap();
        prop_assert_eq!(from_halves, want);
        // Of what is forbidden nothing is picked, and all else as if it were not there.
        let forbidden = |row: u32| row % 3 == 1;
        let allowed: Vec<u32> = (0..rows).filter(|&row| !forbidden(row)).collect();
        let gather = |row: &u32| &points[(row * dim) as usize..][..dim as usize];
        let few: Vec<f32> = allowed.iter().flat_map(gather).copied().collect();
        let few_start: Vec<f32> = allowed.iter().map(|&row| start[row as usize]).collect();
        let capacity = p.capacity.min(allowed.len() as u32);
        let smaller = Params { rows: allowed.len() as u32, capacity, ..p };
        let mut want = fast::greedy(&smaller, &few, &few_start).unwrap();
        want.iter_mut().for_each(|(row, _)| *row = allowed[*row as usize]);
        // Forbidding begins after the first pick, so the first must be an allowed one.
        let open: Vec<f32> =
            (0..rows).map(|row| if forbidden(row) { 0.0 } else { start[row as usize] }).collect();
        let got = fast::greedy_f16(&p, &halves, &open, |_, forbid| {
            (0..rows).filter(|&row| forbidden(row)).for_each(forbid)
        }).unwrap();
        if want.first().is_some_and(|&(_, sq_dist)| sq_dist > 0.0) {
            prop_assert_eq!(got, want);
        }
    }
}
