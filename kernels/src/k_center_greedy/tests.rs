use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw, draw_below};
use proptest::prelude::*;

type AddCenter = fn(
    &Params,
    &[f32],
    &[u32],
    &[f32],
    &mut [f32],
    &mut [u32],
    &mut [f32],
    &mut [u32],
) -> Result<(), Error>;
const FORMS: [AddCenter; 2] = [add_center, fast::add_center];

/// What lasts from round to round.
struct Rounds {
    sq_dist: Vec<f32>,
    far_row: Vec<u32>,
    far_sq_dist: Vec<f32>,
    picks: Vec<u32>,
}

impl Rounds {
    fn new(p: &Params, sq_dist: Vec<f32>) -> Self {
        let farthest = sq_dist.iter().copied().fold(-1.0, f32::max);
        let row = sq_dist.iter().position(|&d| d == farthest).unwrap();
        Self {
            sq_dist,
            far_row: vec![row as u32; p.len("far_row")],
            far_sq_dist: vec![farthest; p.len("far_row")],
            picks: vec![0; p.len("picks")],
        }
    }

    /// One more centre: its row, and its distance before.
    fn round(&mut self, form: AddCenter, p: &Params, points: &[f32]) -> (u32, f32) {
        let before = self.sq_dist.clone();
        let (mut far_row, mut far_sq_dist) =
            (vec![u32::MAX; self.far_row.len()], vec![f32::NAN; self.far_row.len()]);
        form(
            p,
            points,
            &self.far_row,
            &self.far_sq_dist,
            &mut self.sq_dist,
            &mut far_row,
            &mut far_sq_dist,
            &mut self.picks,
        )
        .unwrap();
        (self.far_row, self.far_sq_dist) = (far_row, far_sq_dist);
        let latest = self.picks[self.picks[0] as usize];
        (latest, before[latest as usize])
    }
}

#[test]
fn picks_the_farthest_and_the_first_of_equals() {
    // On a line: from 0 the farthest are -4 and 4, then 2 lies as far from 4 as from 0.
    let points = [0.0, 1.0, -4.0, 4.0, 2.0];
    let p = Params { rows: 5, dim: 1, capacity: 5 };
    for form in FORMS {
        let mut rounds = Rounds::new(&p, vec![f32::MAX; 5]);
        for _ in 0..5 {
            rounds.round(form, &p, &points);
        }
        assert_eq!(rounds.picks, [5, 0, 2, 3, 4, 1]);
        assert_eq!(rounds.sq_dist, [-1.0; 5]);
        // It is full now.
        rounds.round(form, &p, &points);
        assert_eq!(rounds.picks, [5, 0, 2, 3, 4, 1]);
    }
}

#[test]
fn of_equally_far_blocks_the_lowest_row_is_taken() {
    let p = Params { rows: 40, dim: 1, capacity: 2 };
    assert_eq!((p.block_rows(), p.blocks()), (16, 3));
    let points: Vec<f32> = (0..40).map(|i| i as f32).collect();
    for form in FORMS {
        let mut rounds = Rounds::new(&p, vec![900.0; 40]);
        (rounds.far_row, rounds.far_sq_dist) = (vec![3, 39, 37], vec![6.0, 7.0, 7.0]);
        assert_eq!(rounds.round(form, &p, &points).0, 37);
        // 0 is the farthest of the first block, 16 of the second, and of the third 39.
        assert_eq!(rounds.far_row, [0, 16, 32]);
        assert_eq!(rounds.far_sq_dist, [900.0, 441.0, 25.0]);
    }
}

#[test]
fn many_rows_lie_in_larger_blocks() {
    let blocks = |rows| {
        let p = Params { rows, dim: 1, capacity: 1 };
        (p.block_rows(), p.blocks())
    };
    assert_eq!(blocks(1), (16, 1));
    assert_eq!(blocks(16 * BLOCKS), (16, BLOCKS));
    assert_eq!(blocks(16 * BLOCKS + 1), (32, BLOCKS / 2 + 1));
    assert_eq!(blocks(u32::MAX), (1 << 22, BLOCKS));
}

#[test]
fn rows_that_make_no_sense_are_refused() {
    let p = Params { rows: 2, dim: 1, capacity: 1 };
    for form in FORMS {
        for row in [2, u32::MAX] {
            let (mut sq_dist, mut far, mut picks) = ([1.0; 2], [7.0], [0, 9]);
            let points = [0.0, 1.0];
            let result =
                form(&p, &points, &[row], &[1.0], &mut sq_dist, &mut [5], &mut far, &mut picks);
            assert!(matches!(result, Err(Error::Params { .. })));
            assert_eq!((sq_dist, far, picks), ([1.0; 2], [7.0], [0, 9]));
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
        for form in FORMS {
            let mut rounds = Rounds::new(&p, vec![f32::MAX; rows as usize]);
            let mut radius = f32::MAX;
            for t in 1..=p.capacity as usize {
                let largest = rounds.sq_dist.iter().copied().fold(-1.0, f32::max);
                let (latest, next) = rounds.round(form, &p, &points);
                prop_assert!((0.0..=radius).contains(&next));
                prop_assert_eq!(next, largest);
                prop_assert!(!rounds.picks[1..t].contains(&latest));
                radius = next;
            }
        }
    }

    #[test]
    fn fast_agrees(rows in 1u32..200, dim in 1u32..70, seed: u64) {
        let p = Params { rows, dim, capacity: 1 };
        let points = Buffer::Float(draw(seed, p.len("points"), -1.0..1.0));
        let sq_dist = Buffer::Float(draw(seed, rows as usize, 0.0..30.0));
        let blocks = p.blocks() as usize;
        let far_row = Buffer::Uint(draw_below(seed, blocks, rows));
        let far_sq_dist = Buffer::Float(draw(seed, blocks, 0.0..30.0));
        let (next, picks) = (Buffer::Uint(vec![u32::MAX; blocks]), Buffer::Uint(vec![0; 2]));
        let got = check_fast(
            Call::KCenterGreedyAddCenter(p),
            &[points, far_row.clone(), far_sq_dist.clone()],
            &[sq_dist, next, Buffer::unset(blocks as u32), picks],
        );
        let largest = far_sq_dist.floats().iter().copied().fold(0.0, f32::max);
        let block = far_sq_dist.floats().iter().position(|&x| x == largest).unwrap();
        prop_assert_eq!(got[3].uints(), &[1, far_row.uints()[block]]);
        for (b, block) in got[0].floats().chunks(p.block_rows() as usize).enumerate() {
            let far = got[2].floats()[b];
            prop_assert_eq!(far, block.iter().copied().fold(-1.0, f32::max));
            let first = block.iter().position(|&x| x == far).unwrap() as u32;
            prop_assert_eq!(got[1].uints()[b], b as u32 * p.block_rows() + first);
        }
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
            let mut first = Rounds::new(&p, sq_dist);
            first.far_row.fill(rows / 2);
            first.round(add_center, &p, &points);
            sq_dist = first.sq_dist;
            // Chosen before, but not picked: it may be picked when nothing lies farther.
            sq_dist[(rows / 2) as usize] = 0.0;
        }
        let start = sq_dist.clone();
        let got = fast::greedy(&p, &points, &sq_dist).unwrap();
        let mut rounds = Rounds::new(&p, sq_dist);
        let want: Vec<(u32, f32)> =
            (0..p.capacity).map(|_| rounds.round(fast::add_center, &p, &points)).collect();
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
