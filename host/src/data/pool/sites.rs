//! Where the patches of a pool lie in a volume of any size: by number, without a list where a formula serves.

use super::{Position, Region, draw};
use crate::error::{Error, Result};

/// Which patches of a volume are its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
pub enum Sampling {
    /// Every `stride` pixels in rows and columns of every `stride_z`-th section; the last ones end at the edge.
    Grid {
        /// Pixels between patches.
        stride: usize,
        /// Sections between patches.
        stride_z: usize,
    },
    /// So many different patches at random places.
    Random {
        /// Number of patches.
        count: usize,
        /// Decides the places.
        seed: u64,
    },
}

/// The patches of a pool by number, in an order that follows the blocks in which the volume is stored.
#[derive(Clone, Debug)]
pub struct Sites {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Grid {
        region: Region,
        patch: usize,
        stride: usize,
        stride_z: usize,
        /// Positions along z, y and x.
        counts: [u64; 3],
        /// Sections' positions that are visited at one place before the next place.
        slab: u64,
    },
    List(Vec<Position>),
}

impl Sites {
    /// The pool of `region` in a volume stored in blocks of `chunk`. Along a side that is smaller
    /// than a patch there is one place.
    ///
    /// # Errors
    /// [`Error::Usage`] if a stride is 0, or there are fewer places than are drawn.
    pub fn new(
        sampling: Sampling,
        region: &Region,
        patch: usize,
        chunk: [usize; 3],
    ) -> Result<Self> {
        let kind = match sampling {
            Sampling::Grid { stride, stride_z } => {
                for (option, stride) in [("--stride", stride), ("--stride-z", stride_z)] {
                    if stride == 0 {
                        return Err(Error::Usage(format!("{option} 0: give at least 1")));
                    }
                }
                let along = |side: usize| (side.saturating_sub(patch).div_ceil(stride) + 1) as u64;
                let counts = [
                    region.z.len().div_ceil(stride_z) as u64,
                    along(region.height()),
                    along(region.width()),
                ];
                // Sections of one chunk, so that each is decoded about once.
                let slab = (chunk[0] / stride_z).max(1) as u64;
                Kind::Grid { region: region.clone(), patch, stride, stride_z, counts, slab }
            }
            Sampling::Random { count, seed } => {
                if count == 0 {
                    return Err(Error::Usage("--random 0: give at least 1".into()));
                }
                let mut positions = draw(region, patch, count, seed, ["--random", "the volume"])?;
                let block = |p: &Position| (p.z / chunk[0], p.y / chunk[1], p.x / chunk[2]);
                positions.sort_by_key(|p| (block(p), *p));
                Kind::List(positions)
            }
        };
        Ok(Self { kind })
    }

    /// Number of patches.
    pub fn len(&self) -> u64 {
        match &self.kind {
            Kind::Grid { counts, .. } => counts.iter().product(),
            Kind::List(positions) => positions.len() as u64,
        }
    }

    /// Never: a pool has at least one patch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of a patch.
    ///
    /// # Panics
    /// If there is no such number.
    pub fn position(&self, index: u64) -> Position {
        assert!(index < self.len(), "patch {index} of {}", self.len());
        match &self.kind {
            Kind::List(positions) => positions[index as usize],
            Kind::Grid { region, patch, stride, stride_z, counts, slab } => {
                let [zs, ys, xs] = *counts;
                let first = index / (slab * ys * xs) * slab;
                let within = index - first * ys * xs;
                let depth = (*slab).min(zs - first);
                let (place, z) = (within / depth, first + within % depth);
                let at =
                    |i: u64, side: usize| (i as usize * stride).min(side.saturating_sub(*patch));
                Position {
                    z: region.z.start + z as usize * stride_z,
                    y: region.y.start + at(place / xs, region.height()),
                    x: region.x.start + at(place % xs, region.width()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw_pool;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_grid_covers_everything_once() {
        for (chunk, stride_z) in [([1, 50, 70], 1), ([4, 16, 16], 1), ([64, 16, 16], 2)] {
            let region = Region { z: 2..11, y: 3..53, x: 0..70 };
            let sampling = Sampling::Grid { stride: 12, stride_z };
            let sites = Sites::new(sampling, &region, 16, chunk).unwrap();
            let all: BTreeSet<Position> = (0..sites.len()).map(|i| sites.position(i)).collect();
            assert_eq!(all.len() as u64, sites.len());
            let sections = region.z.len().div_ceil(stride_z);
            assert_eq!(sites.len(), sections as u64 * 4 * 6);
            for (z, last) in [(2, true), (2 + stride_z, false)] {
                let at = |y, x| all.contains(&Position { z, y, x });
                assert!(at(3, 0) && at(3 + 34, 70 - 16) && at(15, 24), "{last}");
            }
            assert!(all.iter().all(|p| p.y + 16 <= 53 && p.x + 16 <= 70 && p.z < 11));
        }
    }

    #[test]
    fn a_grid_visits_the_sections_of_a_chunk_together() {
        let region = Region::whole([10, 32, 64]);
        let sampling = Sampling::Grid { stride: 16, stride_z: 1 };
        let sites = Sites::new(sampling, &region, 16, [4, 32, 32]).unwrap();
        let first: Vec<Position> = (0..5).map(|i| sites.position(i)).collect();
        assert!(first[..4].iter().enumerate().all(|(z, p)| (p.z, p.y, p.x) == (z, 0, 0)));
        assert_eq!((first[4].z, first[4].x), (0, 16));
        // The last slab has two sections.
        assert_eq!(sites.position(8 * 8 + 2), Position { z: 8, y: 0, x: 16 });
    }

    #[test]
    fn a_side_smaller_than_a_patch_has_one_place() {
        let region = Region { z: 0..3, y: 4..21, x: 0..70 };
        for sampling in
            [Sampling::Grid { stride: 1, stride_z: 1 }, Sampling::Random { count: 3 * 39, seed: 0 }]
        {
            let sites = Sites::new(sampling, &region, 32, [1, 32, 32]).unwrap();
            let all: BTreeSet<Position> = (0..sites.len()).map(|i| sites.position(i)).collect();
            let places = (0..3).flat_map(|z| (0..39).map(move |x| Position { z, y: 4, x }));
            assert_eq!(all, places.collect());
        }
        let more = Sampling::Random { count: 3 * 39 + 1, seed: 0 };
        let said = Sites::new(more, &region, 32, [1, 32, 32]).unwrap_err().to_string();
        assert!(said.contains("--random 118") && said.contains("only 117"), "{said}");
    }

    #[test]
    fn a_random_pool_is_the_drawn_one_in_another_order() {
        let region = Region::whole([6, 90, 90]);
        let sampling = Sampling::Random { count: 50, seed: 4 };
        let sites = Sites::new(sampling, &region, 32, [3, 32, 32]).unwrap();
        let mut listed: Vec<Position> = (0..50).map(|i| sites.position(i)).collect();
        let blocks: Vec<_> = listed.iter().map(|p| (p.z / 3, p.y / 32, p.x / 32)).collect();
        assert!(blocks.is_sorted());
        listed.sort();
        assert_eq!(listed, draw_pool(&region, 32, 50, 4).unwrap());
    }
}
