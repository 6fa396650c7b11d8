use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw};
use crate::tolerance::{Tracked, compare};
use proptest::prelude::*;

#[test]
fn ties_go_to_the_lowest_index() {
    // Centres 1 and 2 are equal, and point 1 lies halfway between centres 0 and 1.
    let p = Params { rows: 2, centers: 3, dim: 2 };
    let (points, centers) = ([3.0, 0.0, 1.0, 0.0], [0.0, 0.0, 2.0, 0.0, 2.0, 0.0]);
    for form in [forward::<f32>, fast::forward] {
        let (mut sq_dist, mut index) = ([f32::NAN; 2], [9; 2]);
        form(&p, &points, &centers, &mut sq_dist, &mut index).unwrap();
        assert_eq!((sq_dist, index), ([1.0, 1.0], [1, 0]));
    }
}

proptest! {
    #[test]
    fn fast_agrees(rows in 1u32..150, centers in 1u32..12, dim in 1u32..40, seed: u64) {
        let p = Params { rows, centers, dim };
        let points = draw(seed, p.len("points"), -1.0..1.0);
        let c = draw(!seed, p.len("centers"), -1.0..1.0);
        let got = check_fast(
            Call::MinSqDistForward(p),
            &[Buffer::Float(points.clone()), Buffer::Float(c.clone())],
            &[Buffer::unset(rows), Buffer::Uint(vec![u32::MAX; rows as usize])],
        );
        // The index is judged by its distance: it has to be the smallest within the tolerance.
        let dim = dim as usize;
        let at = |x: &[f32], i: usize| -> Vec<Tracked> {
            x[i * dim..][..dim].iter().map(|&x| Tracked::leaf(f64::from(x))).collect()
        };
        let chosen: Vec<Tracked> = got[1].uints().iter().enumerate()
            .map(|(i, &j)| between(&at(&points, i), &at(&c, j as usize)))
            .collect();
        prop_assert!(compare(got[0].floats(), &chosen).is_ok());
    }
}
