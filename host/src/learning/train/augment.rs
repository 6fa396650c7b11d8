//! Changes of patches, by which few labelled ones stand for many.

use std::f64::consts::PI;

use askem_kernels::crop::Symmetry;
use askem_kernels::rng::{Rng, uniform};
use askem_kernels::warp::Transform;

/// How training may change a patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(from = "Vec<AugmentKind>", into = "Vec<AugmentKind>"))]
pub struct Augment {
    /// Mirror along x.
    pub flips: bool,
    /// Turn by quarters.
    pub turns: bool,
    /// Turn by any angle, and scale by 4/5 to 5/4; corners from beyond the patch are mirrored.
    pub affine: bool,
    /// Multiply contrast by 4/5 to 5/4, and shift brightness by up to 0.3 standard deviations.
    pub intensity: bool,
}

impl Augment {
    /// Whether it takes more than symmetries of the square.
    pub fn warps(self) -> bool {
        self.affine || self.intensity
    }
}

/// A kind of change, as settings list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum AugmentKind {
    /// Mirrors.
    Flips,
    /// Quarter turns.
    Turns,
    /// Turns by any angle, and scales.
    Affine,
    /// Contrast and brightness.
    Intensity,
    /// Nothing.
    None,
}

impl From<Vec<AugmentKind>> for Augment {
    fn from(kinds: Vec<AugmentKind>) -> Self {
        Self {
            flips: kinds.contains(&AugmentKind::Flips),
            turns: kinds.contains(&AugmentKind::Turns),
            affine: kinds.contains(&AugmentKind::Affine),
            intensity: kinds.contains(&AugmentKind::Intensity),
        }
    }
}

impl From<Augment> for Vec<AugmentKind> {
    fn from(augment: Augment) -> Self {
        let all = [
            (augment.flips, AugmentKind::Flips),
            (augment.turns, AugmentKind::Turns),
            (augment.affine, AugmentKind::Affine),
            (augment.intensity, AugmentKind::Intensity),
        ];
        let kinds: Self = all.into_iter().filter_map(|(is, kind)| is.then_some(kind)).collect();
        if kinds.is_empty() { vec![AugmentKind::None] } else { kinds }
    }
}

/// One of the symmetries that may be applied, chosen by random bits.
pub(super) fn draw_symmetry(augment: Augment, bits: u32) -> Symmetry {
    let mirrored = if augment.flips { bits & 1 } else { 0 };
    let turns = if augment.turns { bits >> 1 & 3 } else { 0 };
    mirrored << 2 | turns
}

/// A random change of a patch. One patch in four keeps its shape, so that training sees what it
/// is later asked about.
pub(super) fn draw_transform(augment: Augment, rng: &mut impl Rng) -> Transform {
    let mut between = |low: f64, high: f64| low + (high - low) * uniform(rng);
    let mut transform = Transform::default();
    if augment.affine && between(0.0, 1.0) < 0.75 {
        let angle = between(-PI, PI);
        transform = Transform::turn(angle, f64::powf(1.25, between(-1.0, 1.0)));
    }
    if augment.intensity {
        transform.gain = f64::powf(1.25, between(-1.0, 1.0)) as f32;
        transform.offset = between(-0.3, 0.3) as f32;
    }
    transform
}

#[cfg(test)]
mod tests {
    use askem_kernels::rng::{Purpose, stream};
    use askem_kernels::warp::ONE;

    use super::*;

    #[test]
    fn symmetries_are_those_that_are_allowed() {
        let drawn = |flips, turns| -> std::collections::BTreeSet<Symmetry> {
            (0..64)
                .map(|bits| draw_symmetry(Augment { flips, turns, ..Augment::default() }, bits))
                .collect()
        };
        assert!(drawn(true, true).into_iter().eq(0..8));
        assert!(drawn(false, true).into_iter().eq(0..4));
        assert!(drawn(true, false).into_iter().eq([0, 4]));
        assert!(drawn(false, false).into_iter().eq([0]));
    }

    #[test]
    fn transforms_stay_within_what_is_said() {
        let mut rng = stream(1, Purpose::Augment, 0, 0);
        let both = Augment { affine: true, intensity: true, ..Augment::default() };
        let mut plain = 0;
        for _ in 0..1000 {
            let t = draw_transform(both, &mut rng);
            let [a, b, c, d] = t.matrix.map(|entry| f64::from(entry) / f64::from(ONE));
            let scale = (a * d - b * c).sqrt();
            assert!((0.799..1.251).contains(&scale) && (a - d).abs() + (b + c).abs() < 1e-3);
            assert!((0.8..=1.25).contains(&t.gain) && t.offset.abs() <= 0.3);
            plain += usize::from(t.matrix == Transform::default().matrix);
        }
        assert!((200..300).contains(&plain), "a quarter keeps its shape: {plain}");
        let only = |affine, intensity| Augment { affine, intensity, ..Augment::default() };
        assert_eq!(draw_transform(only(false, false), &mut rng), Transform::default());
        assert_eq!(draw_transform(only(true, false), &mut rng).gain, 1.0);
        let light = draw_transform(only(false, true), &mut rng);
        assert_eq!(light.matrix, Transform::default().matrix);
    }
}
