//! The learning rate from step to step.

use std::f64::consts::PI;

/// How the learning rate changes within a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Schedule {
    /// Not at all.
    #[default]
    Constant,
    /// Rises over the first tenth of the steps, then falls to zero as a cosine does.
    ///
    /// Source: Loshchilov and Hutter 2017 (arXiv 1608.03983), without restarts.
    Cosine,
}

impl Schedule {
    /// The factor of the learning rate at step `t` of `steps`, counted from 0.
    pub fn factor(self, t: usize, steps: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => {
                let warm = (steps / 10).max(1);
                if t < warm {
                    return (t + 1) as f64 / (warm + 1) as f64;
                }
                let share = (t - warm) as f64 / (steps - warm).max(1) as f64;
                0.5 * (1.0 + (PI * share).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_rises_and_falls_to_nearly_nothing() {
        let factors: Vec<f64> = (0..100).map(|t| Schedule::Cosine.factor(t, 100)).collect();
        assert!(factors[..10].is_sorted() && factors[10..].is_sorted_by(|a, b| a >= b));
        assert_eq!(factors[10], 1.0);
        assert!((factors[55] - 0.5).abs() < 1e-12);
        assert!(factors.iter().all(|f| (0.0..=1.0).contains(f)) && factors[99] < 1e-3);
        assert!((0..3).all(|t| Schedule::Cosine.factor(t, 1).is_finite()));
        assert_eq!(Schedule::Constant.factor(7, 10), 1.0);
    }
}
