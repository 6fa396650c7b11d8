//! A component on its own: its bounding box with one voxel around it.

use super::Connectivity;
use super::mask::Mask;
use super::mask::stretches;
use crate::data::volume::Region;
use crate::error::Result;

/// One component in its box. The box has one voxel more on each side, so that every neighbour of a
/// voxel of the component lies in it; at the edge of the volume some of these lie outside of the
/// volume.
pub(super) struct Crop {
    /// Sections, rows, columns of the box.
    pub(super) shape: [usize; 3],
    /// The part of the box that lies in the volume, counted from the box's first voxel.
    pub(super) volume: Region,
    /// Whether each voxel is one of the component.
    pub(super) inside: Vec<bool>,
}

impl Crop {
    /// The component to which the voxel `first` belongs and whose voxels lie in `bounds`.
    ///
    /// # Errors
    /// If the mask can't be read.
    pub(super) fn read(
        mask: &Mask,
        bounds: &Region,
        first: [usize; 3],
        connectivity: Connectivity,
    ) -> Result<Self> {
        let sides = [&bounds.z, &bounds.y, &bounds.x];
        let shape = sides.map(|side| side.len() + 2);
        let of = |i: usize| {
            // In the volume the box begins at `start - 1`.
            let from = usize::from(sides[i].start == 0);
            let to = (mask.shape()[i] + 1 - sides[i].start).min(shape[i]);
            from..to
        };
        let volume = Region { z: of(0), y: of(1), x: of(2) };
        let mut foreground = vec![false; shape.iter().product()];
        for (section, z) in bounds.z.clone().enumerate() {
            let (bits, bytes) = mask.rows(z, bounds.y.clone())?;
            for (row, bits) in bits.chunks(bytes).enumerate() {
                let at = ((section + 1) * shape[1] + row + 1) * shape[2] + 1;
                for (start, end) in stretches(bits, mask.shape()[2]) {
                    let start = start.max(bounds.x.start);
                    let end = end.min(bounds.x.end);
                    if start < end {
                        let from = at + start - bounds.x.start;
                        foreground[from..from + end - start].fill(true);
                    }
                }
            }
        }
        // Others may reach into the box.
        let mut inside = vec![false; foreground.len()];
        let around = neighbours(shape, connectivity);
        let at = [0, 1, 2].map(|i| first[i] - sides[i].start + 1);
        let first = (at[0] * shape[1] + at[1]) * shape[2] + at[2];
        let mut todo = vec![first];
        inside[first] = true;
        while let Some(voxel) = todo.pop() {
            for step in &around {
                let next = voxel.wrapping_add_signed(*step);
                if foreground[next] && !inside[next] {
                    inside[next] = true;
                    todo.push(next);
                }
            }
        }
        Ok(Self { shape, volume, inside })
    }
}

/// Steps from a voxel of a box to its neighbours, those that come first in the file first.
pub(super) fn neighbours(shape: [usize; 3], connectivity: Connectivity) -> Vec<isize> {
    let [_, height, width] = shape.map(|side| side as isize);
    let mut steps = Vec::new();
    for z in -1..=1_isize {
        for y in -1..=1_isize {
            for x in -1..=1_isize {
                let axes = z.abs() + y.abs() + x.abs();
                let is_neighbour = match connectivity {
                    Connectivity::Faces => axes == 1,
                    Connectivity::Corners => axes > 0,
                };
                if is_neighbour {
                    steps.push((z * height + y) * width + x);
                }
            }
        }
    }
    steps
}
