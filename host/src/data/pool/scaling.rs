//! How grey values are scaled for a network.

use std::sync::Arc;

use super::Region;
use crate::data::volume::{CachedVolume, Volume};
use crate::error::{Error, Result};

/// Grey values as the network takes them: `(value - mean) / deviation`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Scaling {
    /// Mean of the training region.
    pub mean: f64,
    /// Standard deviation of the training region.
    pub deviation: f64,
}

impl Scaling {
    /// Mean and standard deviation of a region, read section by section.
    ///
    /// # Errors
    /// If a section cannot be read, or all pixels have one value.
    pub fn measure(raw: &dyn Volume, region: &Region) -> Result<Self> {
        let (mut count, mut mean, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
        for z in region.z.clone() {
            let section = raw.read_section(z)?;
            for y in region.y.clone() {
                let row = &section.pixels[y * section.width..][region.x.clone()];
                // Welford's update by rows: exact enough for any offset.
                let n = row.len() as f64;
                let row_mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
                let row_squares: f64 = row.iter().map(|&v| (f64::from(v) - row_mean).powi(2)).sum();
                let delta = row_mean - mean;
                squares += row_squares + delta * delta * count * n / (count + n);
                mean += delta * n / (count + n);
                count += n;
            }
        }
        let deviation = (squares / count).sqrt();
        if !deviation.is_finite() || deviation <= 0.0 {
            return Err(Error::Input(format!(
                "the training region has the same grey value {mean} everywhere (or values that are not numbers); check that --raw names the images"
            )));
        }
        Ok(Self { mean, deviation })
    }

    /// [`measure`](Self::measure) of squares all over a region, for volumes of any size; of the whole region where it is small.
    ///
    /// # Errors
    /// As there.
    pub fn estimate(raw: &Arc<dyn Volume>, region: &Region) -> Result<Self> {
        let pixels = region.z.len() as u64 * region.height() as u64 * region.width() as u64;
        if pixels <= WHOLE_PIXELS {
            return Self::measure(&**raw, region);
        }
        let raw = CachedVolume::new(Arc::clone(raw), 1);
        let (mut count, mut mean, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (at, side) in region.samples(ESTIMATE_SAMPLES, ESTIMATE_SIDE) {
            raw.for_each_row(at.z, at.y..at.y + side, at.x..at.x + side, |row| {
                for value in row {
                    count += 1.0;
                    let delta = f64::from(*value) - mean;
                    mean += delta / count;
                    squares += delta * (f64::from(*value) - mean);
                }
            })?;
        }
        Ok(Self { mean, deviation: (squares / count).sqrt() })
    }

    /// The scaling with which a network sees a volume, where `known` is that of its training. Where
    /// it is `known` and the volume's own is far from it, that comes too.
    ///
    /// # Errors
    /// If a section cannot be read, or the volume is to be scaled by its own grey values and has
    /// only one.
    pub fn of_volume(
        by: Normalise,
        raw: &Arc<dyn Volume>,
        region: &Region,
        known: Self,
    ) -> Result<(Self, Option<Self>)> {
        let own = match (Self::estimate(raw, region), by) {
            // One grey value everywhere has no deviation to scale by.
            (Err(_), Normalise::Weights) => return Ok((known, None)),
            (own, _) => own?,
        };
        Ok(match by {
            Normalise::Volume => (own, None),
            Normalise::Weights => (known, known.is_far_from(&own).then_some(own)),
        })
    }

    /// Whether values scaled like `other` are far from what a network knows that was trained on values scaled like this: beyond three
    /// deviations, or three times more or less spread.
    pub fn is_far_from(&self, other: &Self) -> bool {
        let spread = other.deviation / self.deviation;
        let is_near = (other.mean - self.mean).abs() <= 3.0 * self.deviation
            && (1.0 / 3.0..=3.0).contains(&spread);
        !is_near
    }

    /// One scaled value.
    pub fn apply(&self, value: f32) -> f32 {
        ((f64::from(value) - self.mean) / self.deviation) as f32
    }
}

/// By which grey values a network sees a volume that it was not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Normalise {
    /// By the mean and deviation of the training's images.
    Weights,
    /// By those of the volume itself.
    Volume,
}

/// Pixels up to which a region is measured as a whole, and squares of a larger one.
const WHOLE_PIXELS: u64 = 1 << 26;
const ESTIMATE_SAMPLES: usize = 256;
const ESTIMATE_SIDE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::ArrayVolume;

    #[test]
    fn scaling_gives_mean_zero_and_deviation_one() {
        let pixels: Vec<f32> = (0..600).map(|i| 1e4 + (i * 37 % 101) as f32).collect();
        let volume = ArrayVolume::new([2, 15, 20], pixels.clone()).unwrap();
        let scaling = Scaling::measure(&volume, &Region::whole([2, 15, 20])).unwrap();
        let scaled: Vec<f64> = pixels.iter().map(|&v| f64::from(scaling.apply(v))).collect();
        let mean = scaled.iter().sum::<f64>() / 600.0;
        let square = scaled.iter().map(|v| v * v).sum::<f64>() / 600.0;
        assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-5, "{mean} {square}");
    }

    #[test]
    fn grey_values_far_from_those_known_are_told() {
        let known = Scaling { mean: 120.0, deviation: 30.0 };
        let far = |mean, deviation| known.is_far_from(&Scaling { mean, deviation });
        assert!(!far(120.0, 30.0) && !far(180.0, 20.0) && !far(60.0, 60.0));
        assert!(far(120.0 * 257.0, 30.0 * 257.0) && far(120.0 / 255.0, 30.0 / 255.0));
        assert!(far(220.0, 30.0) && far(120.0, 5.0) && far(f64::NAN, 1.0));
    }
}
