//! The pool: patches that may be labelled, as positions; pixels are read when needed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use askem_kernels::rng::{Purpose, below, stream};

use crate::data::volume::{CachedLabels, CachedVolume, Section, Volume, place};
use crate::error::{Error, Result};

mod ahead;
mod distance;
mod scaling;
mod sites;

pub use crate::data::volume::Region;
pub use ahead::{AHEAD, Batch, Pixels, Window, read_ahead, read_windows_ahead};
pub use distance::Distance;
pub use scaling::{Normalise, Scaling};
pub use sites::{Sampling, Sites};

/// The upper left corner of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which of the volumes of a data set, from 0.
    pub volume: usize,
    /// Section.
    pub z: usize,
    /// First row.
    pub y: usize,
    /// First column.
    pub x: usize,
}

/// `count` different patches of a region at random places, ordered by position.
///
/// # Errors
/// [`Error::Usage`] if the patch does not fit or there are fewer places than asked for.
pub fn draw_pool(region: &Region, patch: usize, count: usize, seed: u64) -> Result<Vec<Position>> {
    draw_pool_of_volumes(&[region], patch, count, seed)
}

/// [`draw_pool`] of several volumes, one region of each. Every place is as likely as any other, so
/// that a volume has about the share of the patches that it has of the places.
///
/// # Errors
/// As there.
pub fn draw_pool_of_volumes(
    regions: &[&Region],
    patch: usize,
    count: usize,
    seed: u64,
) -> Result<Vec<Position>> {
    regions.iter().try_for_each(|region| region.require_patch(patch, "training region"))?;
    draw(regions, patch, count, seed, ["--pool", "the training region"])
}

/// [`draw_pool_of_volumes`] also of regions that are smaller than a patch, which have one place along
/// a side that is. `names` are the option that says how many, and what the regions are.
fn draw(
    regions: &[&Region],
    patch: usize,
    count: usize,
    seed: u64,
    names: [&str; 2],
) -> Result<Vec<Position>> {
    let along = |side: usize| (side.saturating_sub(patch) + 1) as u64;
    let places_of =
        |region: &Region| region.z.len() as u64 * along(region.height()) * along(region.width());
    let places: u64 = regions.iter().map(|region| places_of(region)).sum();
    if count as u64 > places {
        let [option, what] = names;
        return Err(Error::Usage(format!(
            "{option} {count}: {what} has only {places} different patches of {patch} x {patch}; \
             give at most {places}"
        )));
    }
    // Floyd's draw: as many random numbers as patches, whatever the number of places.
    let mut rng = stream(seed, Purpose::Pool, 0, 0);
    let mut chosen = BTreeSet::new();
    for last in places - count as u64..places {
        let place = below(&mut rng, last + 1);
        if !chosen.insert(place) {
            chosen.insert(last);
        }
    }
    let position_of = |mut place: u64| {
        let mut volume = 0;
        while place >= places_of(regions[volume]) {
            place -= places_of(regions[volume]);
            volume += 1;
        }
        let region = regions[volume];
        let (rows, columns) = (along(region.height()), along(region.width()));
        Position {
            volume,
            z: region.z.start + (place / (rows * columns)) as usize,
            y: region.y.start + (place / columns % rows) as usize,
            x: region.x.start + (place % columns) as usize,
        }
    };
    Ok(chosen.into_iter().map(position_of).collect())
}

impl Region {
    /// The fewest patches side by side that cover a region, section by section; the last of a row or a
    /// column ends at the region's edge. Their volume is the first.
    pub fn tiles(&self, patch: usize) -> impl Iterator<Item = Position> {
        let along = move |side: &Range<usize>| -> Vec<usize> {
            let last = side.end.saturating_sub(patch).max(side.start);
            side.clone().step_by(patch).map(|start| start.min(last)).collect()
        };
        let (rows, columns) = (along(&self.y), along(&self.x));
        let places: Vec<(usize, usize)> =
            rows.iter().flat_map(|&y| columns.iter().map(move |&x| (y, x))).collect();
        self.z.clone().flat_map(move |z| {
            let at = move |(y, x)| Position { volume: 0, z, y, x };
            places.clone().into_iter().map(at)
        })
    }

    /// Upper left corners of squares at two corners and evenly all over a region, in order of their sections, and the squares' side.
    pub fn samples(&self, count: usize, side: usize) -> impl Iterator<Item = (Position, usize)> {
        let side = side.min(self.height()).min(self.width());
        let ends = [self.z.len() - 1, self.height() - side, self.width() - side];
        // Multiples of these fill a cube evenly: powers of the inverse of the root of x^4 = x + 1.
        const STEPS: [f64; 3] =
            [0.819_172_513_396_164_4, 0.671_043_606_703_789_2, 0.549_700_477_901_97];
        let place = |i: usize| match i {
            0 => [0; 3],
            1 => ends,
            i => [0, 1, 2]
                .map(|axis| ((i as f64 * STEPS[axis]).fract() * (ends[axis] + 1) as f64) as usize),
        };
        let mut places: Vec<[usize; 3]> = (0..count).map(place).collect();
        places.sort_unstable();
        let [z0, y0, x0] = [self.z.start, self.y.start, self.x.start];
        let position =
            move |[z, y, x]: [usize; 3]| Position { volume: 0, z: z0 + z, y: y0 + y, x: x0 + x };
        places.into_iter().map(move |place| (position(place), side))
    }
}

/// Sections kept by a reader: patches are visited in order of their section.
const CACHED_SECTIONS: usize = 2;

/// A region of a raw volume, read as scaled patches.
pub struct PatchReader {
    raw: CachedVolume<Arc<dyn Volume>>,
    /// Sections on each side that are read with each patch.
    context: usize,
    /// What of the volume is used.
    pub region: Region,
    /// How grey values are scaled.
    pub scaling: Scaling,
}

impl PatchReader {
    /// Reads `region` of `raw`.
    pub fn new(raw: Arc<dyn Volume>, region: Region, scaling: Scaling) -> Self {
        Self::with_context(raw, region, scaling, 0)
    }

    /// Reads `region` of `raw`, each patch with so many neighbouring sections on each side.
    pub fn with_context(
        raw: Arc<dyn Volume>,
        region: Region,
        scaling: Scaling,
        context: usize,
    ) -> Self {
        let raw = CachedVolume::new(raw, CACHED_SECTIONS + 2 * context);
        Self { raw, context, region, scaling }
    }

    /// Sections, rows and columns of the whole volume.
    pub fn shape(&self) -> [usize; 3] {
        self.raw.shape()
    }

    /// How large a pixel of the volume is along z, y and x, in nanometres, where its file says so.
    pub fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.raw.voxel_nm()
    }

    /// Where the first voxel of the volume lies along z, y and x, where its file says so: in
    /// nanometres, or in voxels where their size is not known.
    pub fn origin(&self) -> Option<[f64; 3]> {
        place::origin_of(&self.raw)
    }

    /// Values of a patch: `patch * patch` of each section that is read with it.
    pub fn sample_len(&self, patch: usize) -> usize {
        self.sections() * patch * patch
    }

    /// Sections that are read with each patch, its own one included.
    pub fn sections(&self) -> usize {
        2 * self.context + 1
    }

    /// The section at `offset - context` sections from `z`, mirrored at the ends of the region.
    fn neighbour(&self, z: usize, offset: usize) -> usize {
        let from_first =
            (z - self.region.z.start) as isize + offset as isize - self.context as isize;
        self.region.z.start + mirrored(from_first, self.region.z.len())
    }

    /// Bytes that reading keeps at most.
    pub fn memory_bytes(&self) -> usize {
        self.raw.memory_bytes()
    }

    /// The section, unscaled.
    pub fn section(&self, z: usize) -> Result<Arc<Section>> {
        self.raw.section(z)
    }

    /// Appends the scaled pixels of a patch, section by section in order of z, the patch's own in the middle.
    ///
    /// Where the volume has fewer rows or columns than a patch, they are mirrored at its
    /// last one until they fill it; such a patch lies at the first row or column.
    ///
    /// # Errors
    /// If a section can't be read.
    pub fn read(&self, at: Position, patch: usize, out: &mut Vec<f32>) -> Result<()> {
        let start = out.len();
        out.resize(start + self.sample_len(patch), 0.0);
        self.read_to(at, patch, &mut out[start..])
    }

    /// Writes the scaled pixels of a patch, [`sample_len`](Self::sample_len) of them, as [`read`](Self::read) orders them.
    ///
    /// # Errors
    /// If a section can't be read.
    pub fn read_to(&self, at: Position, patch: usize, to: &mut [f32]) -> Result<()> {
        self.read_window_to(at.z, [at.y as isize, at.x as isize], [patch; 2], to)
    }

    /// Writes the scaled pixels of a window of rows and columns to `to`, of each section that is read
    /// with `z`. `corner` is its first row and column. Beyond the region it sees what is there; what
    /// lies outside of the volume is mirrored at its first and last rows and columns.
    ///
    /// # Errors
    /// If a section can't be read.
    pub fn read_window_to(
        &self,
        z: usize,
        corner: [isize; 2],
        [height, width]: [usize; 2],
        to: &mut [f32],
    ) -> Result<()> {
        let [_, section_height, section_width] = self.shape();
        let rows = mirrored_range(corner[0], height, section_height);
        let columns = mirrored_range(corner[1], width, section_width);
        let is_inside = (rows.start as isize, columns.start as isize) == (corner[0], corner[1])
            && (rows.len(), columns.len()) == (height, width);
        let mut found = vec![0.0; if is_inside { 0 } else { rows.len() * columns.len() }];
        for (offset, to) in to.chunks_mut(height * width).enumerate() {
            let real = if is_inside { &mut *to } else { &mut found[..] };
            let mut real = real.chunks_mut(columns.len());
            self.raw.for_each_row(
                self.neighbour(z, offset),
                rows.clone(),
                columns.clone(),
                |row| {
                    let to = real.next().expect("the window has as many rows");
                    to.iter_mut().zip(row).for_each(|(to, &value)| *to = self.scaling.apply(value));
                },
            )?;
            if is_inside {
                continue;
            }
            let along = |at: isize, length| move |i: usize| mirrored(at + i as isize, length);
            let row_at = along(corner[0], section_height);
            let column_at = along(corner[1], section_width);
            let column_at: Vec<usize> = (0..width).map(|x| column_at(x) - columns.start).collect();
            for (y, to) in to.chunks_mut(width).enumerate() {
                let row = &found[(row_at(y) - rows.start) * columns.len()..][..columns.len()];
                to.iter_mut().zip(&column_at).for_each(|(to, &x)| *to = row[x]);
            }
        }
        Ok(())
    }
}

/// The places among `length` ones that stand at `count` places from `at` on, see [`mirrored`].
fn mirrored_range(at: isize, count: usize, length: usize) -> Range<usize> {
    let places = (at..at + count as isize).map(|at| mirrored(at, length));
    let (first, last) = places.fold((length, 0), |(a, b), at| (a.min(at), b.max(at)));
    first..last + 1
}

/// Which of `length` places stands where `at` is, if they are mirrored at both ends, again and
/// again: at -1 stands 1, at `length` the last but one.
fn mirrored(at: isize, length: usize) -> usize {
    let last = length as isize - 1;
    let period = (2 * last).max(1);
    let at = at.rem_euclid(period);
    at.min(period - at).min(last) as usize
}

/// Appends the scaled pixels of a patch of a data set, which has a reader for each of its volumes.
///
/// # Errors
/// As [`PatchReader::read`].
pub fn read_patch(
    readers: &[PatchReader],
    at: Position,
    patch: usize,
    out: &mut Vec<f32>,
) -> Result<()> {
    readers[at.volume].read(at, patch, out)
}

/// The labels of a patch, `patch * patch` of [`crate::data::volume::LabelVolume::read_labels`]'s values.
pub fn read_labels(labels: &CachedLabels, at: Position, patch: usize) -> Result<Vec<u8>> {
    let width = labels.inner().shape()[2];
    let section = labels.section(at.z)?;
    let rows = (at.y..at.y + patch).flat_map(|y| &section[y * width + at.x..][..patch]);
    Ok(rows.copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::ArrayVolume;

    #[test]
    fn a_full_pool_is_every_place_once() {
        let region = Region { z: 1..3, y: 2..20, x: 5..23 };
        let count = region.positions(16) as usize;
        assert_eq!(count, 2 * 3 * 3);
        let pool = draw_pool(&region, 16, count, 3).unwrap();
        let unique: BTreeSet<_> = pool.iter().collect();
        assert_eq!(unique.len(), count);
        assert!(
            pool.iter().all(|p| region.z.contains(&p.z)
                && (2..=4).contains(&p.y)
                && (5..=7).contains(&p.x))
        );
        assert!(pool.is_sorted());
    }

    #[test]
    fn tiles_cover_each_pixel_and_none_beyond() {
        for (y, x) in [(2..34, 5..69), (0..40, 3..20), (7..23, 0..16), (0..97, 0..33)] {
            let region = Region { z: 1..3, y, x };
            let tiles: Vec<Position> = region.tiles(16).collect();
            let per_section = region.height().div_ceil(16) * region.width().div_ceil(16);
            assert_eq!(tiles.len(), 2 * per_section);
            assert!(tiles.is_sorted(), "{tiles:?}");
            let mut covered = BTreeSet::new();
            for at in &tiles {
                assert!(region.z.contains(&at.z));
                let pixels = (at.y..at.y + 16).flat_map(|y| (at.x..at.x + 16).map(move |x| (y, x)));
                covered.extend(pixels.map(|(y, x)| (at.z, y, x)));
            }
            let all = |&(z, y, x): &(usize, usize, usize)| {
                region.z.contains(&z) && region.y.contains(&y) && region.x.contains(&x)
            };
            assert!(covered.iter().all(all));
            assert_eq!(covered.len(), 2 * region.height() * region.width());
        }
    }

    #[test]
    fn pools_of_volumes_are_drawn_from_all_their_places() {
        let [a, b] =
            [Region { z: 1..3, y: 2..20, x: 5..23 }, Region { z: 0..1, y: 0..16, x: 0..40 }];
        let places = (a.positions(16) + b.positions(16)) as usize;
        assert_eq!(places, 18 + 25);
        let all = draw_pool_of_volumes(&[&a, &b], 16, places, 3).unwrap();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), places);
        assert!(all.is_sorted());
        for (volume, region) in [&a, &b].into_iter().enumerate() {
            let own: Vec<Position> = all
                .iter()
                .filter(|at| at.volume == volume)
                .map(|at| Position { volume: 0, ..*at })
                .collect();
            assert_eq!(own, draw_pool(region, 16, own.len(), 0).unwrap());
        }
        // About as many of each as it has places: the mean of many draws.
        let mut of_b = 0;
        for seed in 0..400 {
            let some = draw_pool_of_volumes(&[&a, &b], 16, 10, seed).unwrap();
            of_b += some.iter().filter(|at| at.volume == 1).count();
        }
        let share = f64::from(of_b as u32) / 4000.0;
        assert!((share - 25.0 / 43.0).abs() < 0.03, "{share}");
        assert!(draw_pool_of_volumes(&[&a, &b], 16, places + 1, 0).is_err());
    }

    #[test]
    fn a_pool_beyond_the_places_is_refused() {
        let region = Region { z: 0..1, y: 0..17, x: 0..17 };
        assert!(draw_pool(&region, 16, 4, 0).is_ok());
        let message = draw_pool(&region, 16, 5, 0).unwrap_err().to_string();
        assert!(message.contains("only 4 different patches"), "{message}");
        assert!(draw_pool(&region, 32, 1, 0).is_err());
    }

    #[test]
    fn neighbouring_sections_are_read_in_order_and_mirrored_at_the_regions_ends() {
        let value = |z: usize, y: usize, x: usize| (100 * z + 10 * y + x) as f32;
        let pixels = (0..6 * 4 * 5).map(|i| value(i / 20, i / 5 % 4, i % 5)).collect();
        let volume = Arc::new(ArrayVolume::new([6, 4, 5], pixels).unwrap());
        let region = Region { z: 1..5, y: 0..4, x: 0..5 };
        let scaling = Scaling { mean: 0.0, deviation: 1.0 };
        let sections_at = |z: usize, context: usize| -> Vec<usize> {
            let reader = PatchReader::with_context(
                Arc::clone(&volume) as Arc<dyn Volume>,
                region.clone(),
                scaling,
                context,
            );
            let mut x = Vec::new();
            reader.read(Position { volume: 0, z, y: 1, x: 2 }, 2, &mut x).unwrap();
            assert_eq!(x.len(), reader.sample_len(2));
            let sections = x.chunks(4).map(|section| {
                let z = (section[0] / 100.0) as usize;
                let want = [value(z, 1, 2), value(z, 1, 3), value(z, 2, 2), value(z, 2, 3)];
                assert_eq!(section, want);
                z
            });
            sections.collect()
        };
        assert_eq!(sections_at(1, 0), [1]);
        assert_eq!(sections_at(2, 1), [1, 2, 3]);
        assert_eq!(sections_at(1, 1), [2, 1, 2]);
        assert_eq!(sections_at(4, 2), [2, 3, 4, 3, 2]);
        assert_eq!(sections_at(1, 4), [3, 4, 3, 2, 1, 2, 3, 4, 3]);
        let flat = Region { z: 3..4, y: 0..4, x: 0..5 };
        let reader = PatchReader::with_context(volume.clone(), flat, scaling, 2);
        let mut x = Vec::new();
        reader.read(Position { volume: 0, z: 3, y: 0, x: 0 }, 1, &mut x).unwrap();
        assert_eq!(x, [300.0; 5]);
    }

    #[test]
    fn samples_lie_all_over_a_region_and_within() {
        let region = Region { z: 3..23, y: 10..110, x: 7..307 };
        let all: Vec<(Position, usize)> = region.samples(64, 16).collect();
        assert_eq!(all.len(), 64);
        assert!(all.is_sorted_by_key(|(at, _)| *at));
        for (at, side) in &all {
            assert_eq!(*side, 16);
            assert!(region.z.contains(&at.z) && at.y >= 10 && at.x >= 7);
            assert!(at.y + 16 <= 110 && at.x + 16 <= 307);
        }
        let eighth = |i: usize| {
            let half = |bit: usize, middle: usize, at: usize| (at >= middle) == (i >> bit & 1 == 1);
            let within =
                |at: &Position| half(0, 13, at.z) && half(1, 52, at.y) && half(2, 149, at.x);
            all.iter().filter(|(at, _)| within(at)).count()
        };
        assert!((0..8).all(|i| eighth(i) >= 4), "{:?}", (0..8).map(eighth).collect::<Vec<_>>());
        // No larger than the region.
        assert!(Region::whole([1, 5, 9]).samples(3, 16).all(|(at, side)| side == 5 && at.y == 0));
    }
}
