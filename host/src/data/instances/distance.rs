//! The Euclidean distance transform of a component, for voxels of any shape.
//!
//! Axis by axis, each time looking to both sides for as long as something nearer can come: exact,
//! since the least of all sums is found and no lines are intersected.
//!
//! Source: T. Saito and J. Toriwaki, New algorithms for Euclidean distance transformation of an
//! n-dimensional digitized picture with applications, Pattern Recognition 27 (1994).

use super::crop::Crop;

/// Of each voxel of the component the squared distance to the nearest voxel of the volume that is
/// not of it, between centres and in the unit of `spacing` (sides of a voxel along z, y, x); 0 for
/// all others. What lies outside of the volume is not known and does not count. Infinite where the
/// component fills the volume.
///
/// Numerics: sums of f32 in the order x, y, z.
pub(super) fn squared_distances(crop: &Crop, spacing: [f64; 3]) -> Vec<f32> {
    let [depth, height, width] = crop.shape;
    let [in_z, in_y, in_x] = spacing.map(|side| side as f32);
    let volume = &crop.volume;
    let mut squared = vec![0.0; depth * height * width];
    let mut line = Vec::new();
    for z in volume.z.clone() {
        let area = z * height * width..(z + 1) * height * width;
        let (section, inside) = (&mut squared[area.clone()], &crop.inside[area]);
        for y in volume.y.clone() {
            let row = y * width + volume.x.start..y * width + volume.x.end;
            along_row(&mut section[row.clone()], &inside[row], in_x);
        }
        for x in volume.x.clone() {
            let first = volume.y.start * width + x;
            along(section, first, width, volume.y.len(), in_y, &mut line);
        }
    }
    for y in volume.y.clone() {
        for x in volume.x.clone() {
            let first = (volume.z.start * height + y) * width + x;
            along(&mut squared, first, height * width, volume.z.len(), in_z, &mut line);
        }
    }
    squared
}

/// Squared ways along a row to its nearest voxel that is not of the component.
fn along_row(squared: &mut [f32], inside: &[bool], spacing: f32) {
    let mut away = None;
    for (squared, &inside) in squared.iter_mut().zip(inside) {
        away = if inside { away.map(|away| away + 1) } else { Some(0) };
        *squared = away.map_or(f32::INFINITY, |away| way(away, spacing));
    }
    away = None;
    for (squared, &inside) in squared.iter_mut().zip(inside).rev() {
        away = if inside { away.map(|away| away + 1) } else { Some(0) };
        *squared = away.map_or(*squared, |away| squared.min(way(away, spacing)));
    }
}

/// The square of so many steps.
fn way(steps: usize, spacing: f32) -> f32 {
    let way = steps as f32 * spacing;
    way * way
}

/// Each value of a line becomes the least of all values of the line plus the squared way to them.
fn along(
    values: &mut [f32],
    first: usize,
    step: usize,
    count: usize,
    spacing: f32,
    line: &mut Vec<f32>,
) {
    line.clear();
    line.extend((0..count).map(|i| values[first + i * step]));
    // All outside, or no outside anywhere.
    if line.iter().all(|&value| value == line[0]) {
        return;
    }
    for i in 0..count {
        let mut least = line[i];
        for away in 1..count {
            let way = way(away, spacing);
            if way >= least || (away > i && i + away >= count) {
                break;
            }
            if away <= i {
                least = least.min(line[i - away] + way);
            }
            if i + away < count {
                least = least.min(line[i + away] + way);
            }
        }
        values[first + i * step] = least;
    }
}
