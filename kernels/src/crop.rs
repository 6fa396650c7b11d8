//! Patches cut from sections that lie on a device, turned and mirrored as a training augments them.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Patches.
    pub n: u32,
    /// Rows of a patch.
    pub h: u32,
    /// Columns of a patch.
    pub w: u32,
    /// Sections.
    pub depth: u32,
    /// Rows of a section.
    pub height: u32,
    /// Columns of a section.
    pub width: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.n, self.h, self.w].map(|size| size as usize)
    }

    fn sections_len(&self) -> usize {
        let [depth, height, width] =
            [self.depth, self.height, self.width].map(|size| size as usize);
        depth.saturating_mul(height).saturating_mul(width)
    }
}

impl Shape for Params {
    const OP: &'static str = "crop";

    fn len(&self, buffer: &str) -> usize {
        let [n, h, w] = self.sizes();
        match buffer {
            "sections" => self.sections_len(),
            "packed_labels" => self.sections_len().div_ceil(4),
            "sites" => n * 4,
            "x" | "labels" => n.saturating_mul(h).saturating_mul(w),
            _ => panic!("crop has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) || self.sections_len() == 0 {
            let what = "n, h, w, depth, height and width must be at least 1";
            return Err(Error::Params { op: Self::OP, what });
        }
        Ok(())
    }
}

/// One of the eight symmetries of a square, as a number: its two low bits count quarter turns, the third says whether the patch
/// is mirrored along x before it is turned.
pub type Symmetry = u32;

/// Where a patch is cut, as a row of the buffer `sites` holds it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Site {
    /// The section.
    pub z: u32,
    /// The first row.
    pub y: u32,
    /// The first column.
    pub x: u32,
    /// How the patch is turned and mirrored.
    pub symmetry: Symmetry,
}

/// Where in a patch of the sections a pixel of the patch `h x w` comes from: its row and column. After an odd number of quarter turns
/// that patch is `w x h`.
fn origin(symmetry: Symmetry, [h, w]: [usize; 2], row: usize, column: usize) -> [usize; 2] {
    let (y, x, columns) = match symmetry & 3 {
        0 => (row, column, w),
        1 => (column, h - 1 - row, h),
        2 => (h - 1 - row, w - 1 - column, w),
        _ => (w - 1 - column, row, h),
    };
    [y, if symmetry & 4 == 0 { x } else { columns - 1 - x }]
}

/// Calls `put` with the position of each pixel of the patches and where it comes from, in order.
fn each(p: &Params, sites: &[u32], mut put: impl FnMut(usize, usize)) {
    let [n, h, w] = p.sizes();
    let last = [p.depth, p.height, p.width].map(|size| size as usize - 1);
    for s in 0..n {
        let site = [0, 1, 2].map(|i| sites[4 * s + i] as usize);
        let z = site[0].min(last[0]);
        for row in 0..h {
            for column in 0..w {
                let [y, x] = origin(sites[4 * s + 3], [h, w], row, column);
                let y = site[1].saturating_add(y).min(last[1]);
                let x = site[2].saturating_add(x).min(last[2]);
                put((s * h + row) * w + column, (z * (last[1] + 1) + y) * (last[2] + 1) + x);
            }
        }
    }
}

/// Cuts patches: `x[n, i, j] = sections[z, y + i', x + j']`, where the site's symmetry says which pixel `i', j'` of the
/// patch comes to `i, j`.
///
/// # Shapes
/// `sections [depth, height, width]`, `sites [n, 4]`: a [`Site`] each, `x [n, h, w]`. What lies outside the sections is the
/// nearest pixel in them.
///
/// # Writes
/// `x =`
///
/// # Numerics
/// Tolerance class exact.
pub fn images<T: Real>(
    p: &Params,
    sections: &[T],
    sites: &[u32],
    x: &mut [T],
) -> Result<(), Error> {
    check(p, "crop::images", ("sections", sections.len()), sites, ("x", x.len()))?;
    each(p, sites, |to, from| x[to] = sections[from]);
    Ok(())
}

/// The labels of the same patches, from sections with a byte for each pixel.
///
/// # Shapes
/// `packed_labels [ceil(depth height width / 4)]`: four pixels to a word, the first in the lowest byte; `sites` as
/// [`images`] has them, `labels [n, h, w]`.
///
/// # Writes
/// `labels =`
///
/// # Numerics
/// Tolerance class exact.
pub fn labels(
    p: &Params,
    packed_labels: &[u32],
    sites: &[u32],
    labels: &mut [u32],
) -> Result<(), Error> {
    let packed = ("packed_labels", packed_labels.len());
    check(p, "crop::labels", packed, sites, ("labels", labels.len()))?;
    each(p, sites, |to, from| labels[to] = packed_labels[from / 4] >> (8 * (from % 4)) & 0xff);
    Ok(())
}

fn check(
    p: &Params,
    pass: &'static str,
    sections: (&'static str, usize),
    sites: &[u32],
    patches: (&'static str, usize),
) -> Result<(), Error> {
    p.check(pass, &[sections, ("sites", sites.len()), patches])
}

/// The references are fast: nothing is computed.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::Error;

    pub use super::labels;

    /// [`images`](super::images) for f32.
    pub fn images(p: &Params, sections: &[f32], sites: &[u32], x: &mut [f32]) -> Result<(), Error> {
        super::images(p, sections, sites, x)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    fn cut(p: Params, sites: &[Site]) -> Vec<f32> {
        let sections: Vec<f32> = (0..p.len("sections")).map(|i| i as f32).collect();
        let mut x = std::vec![f32::NAN; p.len("x")];
        images(&p, &sections, bytemuck::cast_slice(sites), &mut x).unwrap();
        x
    }

    #[test]
    fn symmetries_are_eight_different_permutations() {
        let p = Params { n: 8, h: 3, w: 3, depth: 1, height: 3, width: 3 };
        let sites: Vec<Site> =
            (0..8).map(|symmetry| Site { symmetry, ..Site::default() }).collect();
        let x = cut(p, &sites);
        let seen: BTreeSet<Vec<u32>> =
            x.chunks(9).map(|patch| patch.iter().map(|&v| v as u32).collect()).collect();
        assert_eq!(seen.len(), 8);
        for patch in seen {
            let mut sorted = patch;
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..9));
        }
        assert!(x[..9].iter().copied().eq((0..9).map(|i| i as f32)), "0 is the identity");
        // A quarter turn brings the last column into the first row, a mirror swaps columns.
        assert_eq!(x[9..12], [2.0, 5.0, 8.0]);
        assert_eq!(x[36..39], [2.0, 1.0, 0.0]);
    }

    #[test]
    fn patches_lie_where_their_sites_say() {
        let p = Params { n: 3, h: 2, w: 3, depth: 2, height: 4, width: 5 };
        let sites = [
            Site { z: 1, y: 2, x: 1, symmetry: 0 },
            // The patch that is turned is three rows of two.
            Site { z: 0, y: 1, x: 3, symmetry: 3 },
            // Beyond the edge.
            Site { z: 9, y: 3, x: u32::MAX, symmetry: 0 },
        ];
        let want =
            [[31.0, 32.0, 33.0, 36.0, 37.0, 38.0], [18.0, 13.0, 8.0, 19.0, 14.0, 9.0], [39.0; 6]];
        assert_eq!(cut(p, &sites), want.concat());
    }

    #[test]
    fn labels_are_bytes() {
        let p = Params { n: 1, h: 1, w: 6, depth: 1, height: 1, width: 6 };
        let mut found = [0; 6];
        labels(&p, &[0x0201_ff00, 0x7a03], &[0; 4], &mut found).unwrap();
        assert_eq!(found, [0, 255, 1, 2, 3, 0x7a]);
    }

    #[test]
    fn sizes_are_checked() {
        let p = Params { n: 1, h: 2, w: 2, depth: 1, height: 4, width: 0 };
        assert!(p.validate().is_err());
        let p = Params { width: 4, ..p };
        assert!(images(&p, &[0.0; 15], &[0; 4], &mut [0.0; 4]).is_err());
        assert!(labels(&p, &[0; 4], &[0; 3], &mut [0; 4]).is_err());
    }
}
