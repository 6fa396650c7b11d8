//! Whether images that test are among those that train.

use std::collections::HashMap;

use super::volume::{Region, Volume};
use crate::error::Result;

/// Pixels of a row that are looked for as one.
const WINDOW: usize = 32;
/// A window of fewer different values, such as the rim of an aligned image, is met by chance.
const LEAST_VALUES: usize = 8;

/// Rows that two sets of images have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRows {
    /// Rows of the test that also train, in part at least.
    pub shared: usize,
    /// Rows of the test in which something could be looked for.
    pub rows: usize,
    /// The first of them: its volume, section and row.
    pub first: [usize; 3],
    /// Where it trains: volume, section and row.
    pub trains_at: [usize; 3],
}

/// Looks for rows of some regions that are in others too, wherever they lie there: of each row of `test`
/// two stretches of 32 pixels are compared with all stretches of `train`. Nothing is found of images
/// whose grey values were changed.
///
/// Takes a reading of all regions, and memory for two numbers a row.
///
/// # Errors
/// If a section can't be read.
pub fn shared_rows(
    train: &[(&dyn Volume, &Region)],
    test: &[(&dyn Volume, &Region)],
) -> Result<Option<SharedRows>> {
    let mut wanted: HashMap<u64, [usize; 3]> = HashMap::new();
    let mut filter = Filter::new();
    let mut rows = 0;
    for (volume, (raw, region)) in test.iter().enumerate() {
        for_each_row(*raw, region, &mut |z, y, row| {
            let middle = row.len().saturating_sub(WINDOW) / 2;
            let mut found = false;
            for start in [0, middle] {
                let window = row.get(start..start + WINDOW);
                if let Some(window) = window.filter(|window| is_telling(window)) {
                    let hash = window.iter().fold(0, |hash, &value| push(hash, value));
                    wanted.entry(hash).or_insert([volume, z, y]);
                    filter.add(hash);
                    found = true;
                }
            }
            rows += usize::from(found);
        })?;
    }
    let mut shared: HashMap<[usize; 3], [usize; 3]> = HashMap::new();
    // What the value that leaves a window had become in it.
    let leaves = (0..WINDOW).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    for (volume, (raw, region)) in train.iter().enumerate() {
        for_each_row(*raw, region, &mut |z, y, row| {
            let mut hash = 0_u64;
            for (x, &value) in row.iter().enumerate() {
                hash = push(hash, value);
                if x >= WINDOW {
                    hash = hash.wrapping_sub(mixed(row[x - WINDOW]).wrapping_mul(leaves));
                }
                if x + 1 >= WINDOW
                    && filter.may_have(hash)
                    && let Some(&at) = wanted.get(&hash)
                {
                    shared.entry(at).or_insert([volume, z, y]);
                }
            }
        })?;
    }
    let first = shared.iter().min();
    Ok(first.map(|(&first, &trains_at)| SharedRows {
        shared: shared.len(),
        rows,
        first,
        trains_at,
    }))
}

/// Hands out the rows of a region.
fn for_each_row(
    raw: &dyn Volume,
    region: &Region,
    row: &mut dyn FnMut(usize, usize, &[f32]),
) -> Result<()> {
    for z in region.z.clone() {
        let section = raw.read_section(z)?;
        for y in region.y.clone() {
            row(z, y, &section.pixels[y * section.width..][region.x.clone()]);
        }
    }
    Ok(())
}

fn is_telling(window: &[f32]) -> bool {
    let mut values: Vec<u32> = window.iter().map(|value| value.to_bits()).collect();
    values.sort_unstable();
    values.dedup();
    values.len() >= LEAST_VALUES
}

/// An odd number without a pattern: the fraction of the golden ratio.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A window's hash with one value more; of `w` values it is the sum of `mixed(value) * BASE^place`.
fn push(hash: u64, value: f32) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(mixed(value))
}

/// A value whose bits are spread over all of the word.
fn mixed(value: f32) -> u64 {
    let bits = u64::from(value.to_bits()).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (bits ^ (bits >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB) ^ (bits >> 32)
}

/// Says quickly of most hashes that they are not there.
struct Filter(Vec<u64>);

impl Filter {
    const BITS: u32 = 22;

    fn new() -> Self {
        Self(vec![0; 1 << (Self::BITS - 6)])
    }

    fn place(hash: u64) -> (usize, u64) {
        let bit = hash >> (64 - Self::BITS);
        ((bit >> 6) as usize, 1 << (bit & 63))
    }

    fn add(&mut self, hash: u64) {
        let (word, bit) = Self::place(hash);
        self.0[word] |= bit;
    }

    fn may_have(&self, hash: u64) -> bool {
        let (word, bit) = Self::place(hash);
        self.0[word] & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::ArrayVolume;
    use askem_kernels::rng::{Purpose, Rng, stream};

    fn noise(shape: [usize; 3], seed: u64) -> Vec<f32> {
        let mut rng = stream(seed, Purpose::Test, 0, 0);
        (0..shape.iter().product()).map(|_| (rng.next_u64() % 256) as f32).collect()
    }

    fn found(train: &ArrayVolume, test: &ArrayVolume) -> Option<SharedRows> {
        let [train, test]: [(&dyn Volume, Region); 2] =
            [train, test].map(|volume| (volume as &dyn Volume, Region::whole(volume.shape())));
        shared_rows(&[(train.0, &train.1)], &[(test.0, &test.1)]).unwrap()
    }

    #[test]
    fn a_crop_is_found_wherever_it_lies() {
        let shape = [3, 50, 90];
        let pixels = noise(shape, 1);
        let train = ArrayVolume::new(shape, pixels.clone()).unwrap();
        assert_eq!(found(&train, &ArrayVolume::new(shape, noise(shape, 2)).unwrap()), None);
        // Section 2, rows 7 to 26, columns 11 to 60.
        let rows = (7..27).flat_map(|y| &pixels[(2 * 50 + y) * 90 + 11..][..50]).copied();
        let crop = ArrayVolume::new([1, 20, 50], rows.collect()).unwrap();
        let shared = found(&train, &crop).unwrap();
        assert_eq!(
            shared,
            SharedRows { shared: 20, rows: 20, first: [0, 0, 0], trains_at: [0, 2, 7] }
        );
        // The last row alone, as where two volumes were cut out of one with a row too many.
        let mut other = noise([1, 20, 90], 5);
        other[19 * 90..].copy_from_slice(&pixels[(50 + 49) * 90..][..90]);
        let shared = found(&train, &ArrayVolume::new([1, 20, 90], other).unwrap()).unwrap();
        assert_eq!((shared.shared, shared.first, shared.trains_at), (1, [0, 0, 19], [0, 1, 49]));
    }

    #[test]
    fn rims_and_narrow_images_say_nothing() {
        let black = ArrayVolume::new([1, 40, 64], vec![0.0; 40 * 64]).unwrap();
        assert_eq!(found(&black, &black), None);
        let narrow = ArrayVolume::new([1, 40, 20], noise([1, 40, 20], 3)).unwrap();
        assert_eq!(found(&narrow, &narrow), None);
    }

    #[test]
    fn only_the_regions_are_compared() {
        let shape = [2, 40, 64];
        let volume = ArrayVolume::new(shape, noise(shape, 4)).unwrap();
        let (first, second) = Region::split_y(shape);
        let raw = &volume as &dyn Volume;
        assert_eq!(shared_rows(&[(raw, &first)], &[(raw, &second)]).unwrap(), None);
        let more = Region { y: 0..23, ..first };
        let shared = shared_rows(&[(raw, &more)], &[(raw, &second)]).unwrap().unwrap();
        assert_eq!((shared.shared, shared.rows), (2 * 3, 2 * 20));
    }
}
