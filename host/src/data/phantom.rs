//! A made-up volume that looks like electron microscopy, with exact labels.
//!
//! It shows brain tissue as serial sections do: cells with dark membranes, some of them bundles of thin
//! neurites; vesicles, microtubules, endoplasmic reticulum, synapses. The foreground is the
//! mitochondria: dark bodies with a double membrane and cristae. They cover about 6 % of the pixels and
//! gather in some regions, so that half of all 128 x 128 patches hold none: the shares of the VNC data set.
//! Dark bodies without cristae, multivesicular bodies, stacks of membranes and dark glia
//! resemble them and are background.
//!
//! A volume is a function of its seed and the position: sections are made when they are read, in any
//! order, and a larger phantom of the same seed contains the smaller one. Nothing is kept in memory.
//! Every seed's tissue has foreground in both halves of the default phantom.
//!
//! ```
//! use askem::data::phantom::Phantom;
//! use askem::data::volume::Volume;
//!
//! let pair = Phantom::pair([4, 64, 96], 7)?;
//! let raw = pair.raw.read_section(2)?;
//! let labels = pair.labels.read_labels(2)?;
//! assert_eq!(raw.pixels.len(), labels.len());
//! # Ok::<(), askem::Error>(())
//! ```

use crate::data::volume::{
    Dtype, LabelOptions, LabelVolume, Pair, Region, Section, Volume, check_section, show_shape,
};
use crate::{Error, Result};
use rayon::prelude::*;

mod cells;
mod film;
mod noise;
mod organelles;
mod tissue;

use noise::Key;
use tissue::Tissue;

/// The length of a section's thickness, in pixels: sections are about six times as thick as a pixel is
/// wide.
const THICKNESS: f32 = 6.0;

/// Sections are drawn in bands of so many rows, side by side on all threads.
const BAND: usize = 32;

/// A made-up volume; see the [module](self). As a [`Volume`] it is the raw image, 8 bits.
#[derive(Clone, Debug)]
pub struct Phantom {
    shape: [usize; 3],
    seed: u64,
    key: Key,
}

impl Phantom {
    /// The phantom of `shape` (sections, rows, columns) that belongs to `seed`.
    ///
    /// Errors: [`Error::Usage`] where a side is 0 or above 2^20.
    pub fn new(shape: [usize; 3], seed: u64) -> Result<Self> {
        if shape.iter().any(|&side| side == 0 || side > 1 << 20) {
            return Err(Error::Usage(format!(
                "a phantom of {} (sections x rows x columns) can't be made: each side is 1 to 2^20",
                show_shape(shape)
            )));
        }
        Ok(Self { shape, seed, key: tissue_with_foreground(seed) })
    }

    /// The phantom with its labels, as the rest of the program takes volumes.
    ///
    /// Errors: as [`Phantom::new`].
    pub fn pair(shape: [usize; 3], seed: u64) -> Result<Pair> {
        let phantom = Self::new(shape, seed)?;
        let labels = Box::new(PhantomLabels(phantom.clone()));
        Ok(Pair {
            raw: Box::new(phantom),
            labels: LabelVolume::new(labels, LabelOptions::default()),
            known: Region::whole(shape),
            warnings: Vec::new(),
        })
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The grey values of section `z`, 0 to 255, row by row.
    pub fn raw(&self, z: usize) -> Result<Vec<u8>> {
        let [depth, height, width] = self.shape;
        check_section(z, depth, "the phantom")?;
        let tissue = Tissue::new(self.key, z, [height, width], film::MARGIN, true);
        let columns = width + 2 * film::MARGIN;
        let mut light = vec![0.0; (height + 2 * film::MARGIN) * columns];
        light.par_chunks_mut(BAND * columns).enumerate().for_each(|(band, rows)| {
            tissue.light(band * BAND, rows);
        });
        Ok(film::expose(self.key, z, [height, width], &light))
    }

    /// The labels of section `z`, row by row: 1 is a mitochondrion.
    pub fn labels(&self, z: usize) -> Result<Vec<u8>> {
        let [depth, height, width] = self.shape;
        check_section(z, depth, "the phantom")?;
        Ok(section_labels(self.key, z, [height, width]))
    }
}

fn section_labels(key: Key, z: usize, [height, width]: [usize; 2]) -> Vec<u8> {
    let tissue = Tissue::new(key, z, [height, width], 0, false);
    let mut labels = vec![0; height * width];
    labels.par_chunks_mut(BAND * width).enumerate().for_each(|(band, rows)| {
        tissue.labels(band * BAND, rows);
    });
    labels
}

/// Sections and side of the corner of a phantom that decides whether its tissue will do.
const CORNER: ([usize; 3], usize) = ([0, 3, 6], 512);
/// Least share of foreground in each half of it.
const LEAST: f64 = 0.01;

/// The first tissue of a seed with some foreground in both halves of its corner of 8 x 512 x 512:
/// some have none in a half, where an experiment would test.
fn tissue_with_foreground(seed: u64) -> Key {
    let (sections, side) = CORNER;
    let is_good = |key: Key| {
        let mut counts = [0_usize; 2];
        for z in sections {
            let labels = section_labels(key, z, [side, side]);
            for (count, half) in counts.iter_mut().zip(labels.chunks(side * side / 2)) {
                *count += half.iter().filter(|label| **label == 1).count();
            }
        }
        let pixels = (sections.len() * side * side / 2) as f64;
        counts.iter().all(|&count| count as f64 >= LEAST * pixels)
    };
    let attempts = (0..64).map(|attempt| Key::new(seed, attempt));
    attempts.clone().find(|&key| is_good(key)).unwrap_or_else(|| Key::new(seed, 0))
}

impl Volume for Phantom {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn dtype(&self) -> Dtype {
        Dtype::U8
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let [_, height, width] = self.shape;
        Ok(Section { height, width, pixels: self.raw(z)?.into_iter().map(f32::from).collect() })
    }

    fn section_name(&self, z: usize) -> String {
        format!("section {z} of the phantom")
    }
}

/// The labels of a [`Phantom`] as a volume: 0 and 255, as masks are stored.
#[derive(Clone, Debug)]
pub struct PhantomLabels(pub Phantom);

impl Volume for PhantomLabels {
    fn shape(&self) -> [usize; 3] {
        self.0.shape
    }

    fn dtype(&self) -> Dtype {
        Dtype::U8
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let [_, height, width] = self.0.shape;
        let pixels = self.0.labels(z)?.into_iter().map(|l| f32::from(l) * 255.0).collect();
        Ok(Section { height, width, pixels })
    }

    fn section_name(&self, z: usize) -> String {
        format!("labels of section {z} of the phantom")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_volume_in_any_order_and_number_of_threads() {
        let phantom = Phantom::new([3, 70, 90], 5).unwrap();
        let first: Vec<_> = (0..3).map(|z| phantom.raw(z).unwrap()).collect();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again: Vec<_> = one.install(|| (0..3).rev().map(|z| phantom.raw(z).unwrap()).collect());
        assert!(first.iter().eq(again.iter().rev()));
        assert_ne!(first[0], Phantom::new([3, 70, 90], 6).unwrap().raw(0).unwrap());
    }

    #[test]
    fn every_seed_has_foreground_in_both_halves() {
        let mut changed = 0;
        for seed in 0..40 {
            let phantom = Phantom::new([8, 512, 512], seed).unwrap();
            let mut counts = [0; 2];
            for z in 0..8 {
                let labels = phantom.labels(z).unwrap();
                for (count, half) in counts.iter_mut().zip(labels.chunks(256 * 512)) {
                    *count += half.iter().filter(|label| **label == 1).count();
                }
            }
            let shares = counts.map(|count| f64::from(count as u32) / (8.0 * 256.0 * 512.0));
            assert!(shares.iter().all(|&share| share > 0.005), "{seed}: {shares:?}");
            changed += u32::from(phantom.key != Key::new(seed, 0));
        }
        assert!((1..8).contains(&changed), "few have another tissue than their first: {changed}");
    }

    #[test]
    fn a_larger_phantom_contains_the_smaller() {
        let small = Phantom::new([2, 40, 50], 1).unwrap();
        let large = Phantom::new([4, 100, 130], 1).unwrap();
        let crop = |pixels: Vec<u8>| -> Vec<u8> {
            pixels.chunks(130).take(40).flat_map(|row| row[..50].to_vec()).collect()
        };
        assert_eq!(small.labels(1).unwrap(), crop(large.labels(1).unwrap()));
        assert_eq!(small.raw(1).unwrap(), crop(large.raw(1).unwrap()));
    }

    #[test]
    fn mitochondria_are_rare_clustered_and_darker_than_the_rest() {
        let (mut empty, mut tiles) = (0, 0);
        for seed in 0..4 {
            let phantom = Phantom::new([101, 512, 512], seed).unwrap();
            let (mut inside, mut outside) = ((0.0, 0.0), (0.0, 0.0));
            for z in [0, 50, 100] {
                let (raw, labels) = (phantom.raw(z).unwrap(), phantom.labels(z).unwrap());
                for (&value, &label) in raw.iter().zip(&labels) {
                    let side = if label == 1 { &mut inside } else { &mut outside };
                    *side = (side.0 + f64::from(value), side.1 + 1.0);
                }
                for tile in 0..16 {
                    let (y, x) = (tile / 4 * 128, tile % 4 * 128);
                    let any = (y..y + 128).any(|y| labels[y * 512 + x..][..128].contains(&1));
                    tiles += 1;
                    empty += usize::from(!any);
                }
            }
            let share = inside.1 / (inside.1 + outside.1);
            assert!((0.02..0.12).contains(&share), "seed {seed}: {share}");
            assert!(inside.0 / inside.1 < outside.0 / outside.1 - 20.0, "seed {seed}");
        }
        assert!(empty * 3 > tiles, "{empty} of {tiles} patches are empty");
    }

    #[test]
    fn neighbouring_sections_belong_together() {
        let phantom = Phantom::new([40, 384, 384], 0).unwrap();
        let overlap = |step: usize| {
            let (mut both, mut either) = (0.0, 0.0);
            for z in 0..12 {
                let (a, b) = (phantom.labels(z).unwrap(), phantom.labels(z + step).unwrap());
                both += a.iter().zip(&b).filter(|&(&a, &b)| a & b == 1).count() as f64;
                either += a.iter().zip(&b).filter(|&(&a, &b)| a | b == 1).count() as f64;
            }
            both / either
        };
        let (near, far) = (overlap(1), overlap(25));
        assert!(near > 0.6 && far < near / 2.0, "{near} next to {far}");
    }

    #[test]
    fn impossible_shapes_are_refused() {
        assert!(Phantom::new([0, 8, 8], 0).is_err());
        assert!(Phantom::new([1, 1 << 21, 8], 0).is_err());
        assert!(Phantom::new([1, 8, 8], 0).unwrap().raw(1).is_err());
    }
}
