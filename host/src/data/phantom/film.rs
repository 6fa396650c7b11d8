//! From light to grey values: blur, uneven staining, noise.

use super::noise::{Draw, Field, Key};
use super::{BAND, THICKNESS};
use rayon::prelude::*;

/// Pixels around the section that the blur needs.
pub(super) const MARGIN: usize = 1;

/// The grey of full light, and of none.
const WHITE: f32 = 244.0;
const BLACK: f32 = -6.0;

/// The 8-bit image of section `z`. `light` has a margin of [`MARGIN`] on each side.
pub(super) fn expose(key: Key, z: usize, [height, width]: [usize; 2], light: &[f32]) -> Vec<u8> {
    let columns = width + 2 * MARGIN;
    let depth = z as f32 * THICKNESS;
    // Staining and thickness vary slowly within a section, and from section to section.
    let gain =
        Field::new(key.part(30), [height, width], depth, 32, &[(420.0, 0.10), (170.0, 0.05)]);
    let fog = Field::new(key.part(31), [height, width], depth, 32, &[(300.0, 10.0)]);
    let mut draw = key.part(32).at(0, 0, z as i32);
    let contrast = draw.range(0.90, 1.06) * if draw.chance(0.06) { 0.80 } else { 1.0 };
    let brightness = draw.range(-7.0, 7.0);
    let grain = key.part(33);
    // One noise value per pixel is shared with its neighbours by the blur (the film's grain), one is
    // its own (the electrons counted).
    let seen = |y: usize, row: &mut Vec<f32>| {
        row.clear();
        row.extend((0..columns).map(|x| {
            let grain = normal(grain.at(x as i32, y as i32, 2 * z as i32)) * 0.055;
            light[y * columns + x] + grain
        }));
    };
    let mut image = vec![0; height * width];
    image.par_chunks_mut(BAND * width).enumerate().for_each(|(band, rows)| {
        let first = band * BAND;
        let mut near = [const { Vec::new() }; 3];
        seen(first, &mut near[1]);
        seen(first + 1, &mut near[2]);
        let mut column = vec![0.0; columns];
        for (i, row) in rows.chunks_mut(width).enumerate() {
            let y = first + i;
            near.rotate_left(1);
            seen(y + 2, &mut near[2]);
            for (x, value) in column.iter_mut().enumerate() {
                *value = 0.22 * (near[0][x] + near[2][x]) + 0.56 * near[1][x];
            }
            for (x, pixel) in row.iter_mut().enumerate() {
                let light = 0.22 * (column[x] + column[x + 2]) + 0.56 * column[x + 1];
                let light = light.clamp(0.0, 1.2);
                let gain = 1.0 + gain.at(y as isize, x as isize);
                let fog = fog.at(y as isize, x as isize);
                let shot = normal(grain.at(x as i32, y as i32, 2 * z as i32 + 1));
                let grey = BLACK + (WHITE - BLACK) * light * gain * contrast + fog + brightness;
                let noisy = grey + shot * (3.0 + 7.5 * light.sqrt());
                *pixel = noisy.round().clamp(0.0, 255.0) as u8;
            }
        }
    });
    image
}

/// A draw that is nearly normal, mean 0 and variance 1: the sum of eight uniform bytes.
#[inline(always)]
fn normal(draw: Draw) -> f32 {
    let sum: u32 = draw.bits().to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
    // Eight bytes have mean 1020 and standard deviation 209.02.
    (sum as f32 - 1020.0) * (1.0 / 209.02)
}
