//! Chance as a function of position: hashes, and smooth noise made from them.
//!
//! Every draw is keyed by what it is for and where it is, so that any part of the volume can be
//! made on its own.

use askem_kernels::rng::{Purpose, key, mix64};
use rayon::prelude::*;

/// The name of one use of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    /// The root of all keys of a phantom: the first, second, ... that its seed gives.
    pub(super) fn new(seed: u64, attempt: u64) -> Self {
        Self(key(seed, Purpose::Phantom, attempt, 0))
    }

    /// The key of a use of chance of its own.
    pub(super) fn part(self, name: u64) -> Self {
        Self(mix64(self.0 ^ name.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// The bits that belong to a place on a lattice.
    #[inline(always)]
    pub(super) fn at(self, x: i32, y: i32, z: i32) -> Draw {
        let place = (x as u64).wrapping_mul(0x8CB9_2BA7_2F3D_8DD7)
            ^ (y as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(21)
            ^ (z as u64).wrapping_mul(0xA076_1D64_78BD_642F).rotate_left(42);
        Draw(mix64(self.0 ^ place))
    }
}

/// A short series of draws.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    /// The bits themselves.
    #[inline(always)]
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// The next draw, uniform in `[0, 1)`.
    #[inline(always)]
    pub(super) fn unit(&mut self) -> f32 {
        let value = (self.0 >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
        self.0 = mix64(self.0.wrapping_add(0x9E37_79B9_7F4A_7C15));
        value
    }

    /// The next draw, uniform between two numbers.
    #[inline(always)]
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    #[inline(always)]
    pub(super) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// A direction, uniform on the sphere.
    pub(super) fn direction(&mut self) -> [f32; 3] {
        let z = self.range(-1.0, 1.0);
        let angle = self.range(0.0, std::f32::consts::TAU);
        let ring = (1.0 - z * z).sqrt();
        [ring * angle.cos(), ring * angle.sin(), z]
    }
}

/// A smooth way from 0 to 1, flat at both ends.
fn ease(t: f32) -> f32 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Noise along x, at one y and z.
struct Line {
    key: Key,
    y: (i32, f32),
    z: (i32, f32),
}

impl Line {
    fn new(key: Key, y: f32, z: f32) -> Self {
        let split = |v: f32| (v.floor() as i32, ease(v - v.floor()));
        Self { key, y: split(y), z: split(z) }
    }

    /// The value where `x` is a whole number.
    fn at(&self, x: i32) -> f32 {
        let ((y, ty), (z, tz)) = (self.y, self.z);
        let value = |dy, dz| {
            let bits = self.key.at(x, y + dy, z + dz).bits();
            (bits >> 40) as f32 * (2.0 / (1u32 << 24) as f32) - 1.0
        };
        mix(mix(value(0, 0), value(1, 0), ty), mix(value(0, 1), value(1, 1), ty), tz)
    }
}

/// Smooth noise between -1 and 1 whose features are about one unit wide.
pub(super) fn noise(key: Key, x: f32, y: f32, z: f32) -> f32 {
    let line = Line::new(key, y, z);
    let cube = x.floor();
    mix(line.at(cube as i32), line.at(cube as i32 + 1), ease(x - cube))
}

/// A layer of [`noise`] in a sum: the width of its features in pixels, and its amplitude.
pub(super) type Octave = (f32, f32);

/// A sum of octaves over one section, worked out at every `step`th pixel and interpolated between.
pub(super) struct Field {
    step: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Field {
    /// The field of a section at height `z` (in pixels).
    ///
    /// `step` should be an eighth to a third of the narrowest octave.
    pub(super) fn new(
        key: Key,
        [height, width]: [usize; 2],
        z: f32,
        step: usize,
        octaves: &[Octave],
    ) -> Self {
        // One step outside on each side, and more at the end to interpolate with.
        let (rows, columns) = (height.div_ceil(step) + 4, width.div_ceil(step) + 4);
        let place = |i: usize| (i * step) as f32 - step as f32;
        let mut values = vec![0.0; rows * columns];
        values.par_chunks_mut(columns).enumerate().for_each(|(row, values)| {
            for (i, &(size, amplitude)) in octaves.iter().enumerate() {
                let scale = 1.0 / size;
                let line = Line::new(key.part(i as u64 + 1), place(row) * scale, z * scale);
                // Along a row the lattice changes seldom: its values are made once per cube.
                let (mut cube, mut ends) = (i32::MIN, [0.0; 2]);
                for (column, value) in values.iter_mut().enumerate() {
                    let x = place(column) * scale;
                    let floor = x.floor();
                    if floor as i32 != cube {
                        cube = floor as i32;
                        ends = [line.at(cube), line.at(cube + 1)];
                    }
                    *value += amplitude * mix(ends[0], ends[1], ease(x - floor));
                }
            }
        });
        Self { step, columns, values }
    }

    /// The value at a pixel, which may lie up to two pixels outside the section.
    #[inline(always)]
    pub(super) fn at(&self, y: isize, x: isize) -> f32 {
        let (y, x) = ((y + self.step as isize) as usize, (x + self.step as isize) as usize);
        let (row, column) = (y / self.step, x / self.step);
        let scale = 1.0 / self.step as f32;
        let (ty, tx) = ((y % self.step) as f32 * scale, (x % self.step) as f32 * scale);
        let i = row * self.columns + column;
        let top = self.values[i] + (self.values[i + 1] - self.values[i]) * tx;
        let j = i + self.columns;
        let bottom = self.values[j] + (self.values[j + 1] - self.values[j]) * tx;
        top + (bottom - top) * ty
    }
}

/// 0 below `low`, 1 above `high`, smooth between.
#[inline(always)]
pub(super) fn step(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A bell of height 1 and about `width` on both sides, cheap and with an end: 0 beyond 2 widths.
#[inline(always)]
pub(super) fn bell(distance: f32, width: f32) -> f32 {
    let t = 1.0 - (distance / (2.0 * width)).powi(2);
    if t > 0.0 { t * t * t } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smooth_and_bounded() {
        let key = Key::new(1, 0);
        let mut last = noise(key, -3.0, 0.3, 0.7);
        for i in 1..6000 {
            let value = noise(key, -3.0 + i as f32 * 0.001, 0.3, 0.7);
            assert!(value.abs() <= 1.0 && (value - last).abs() < 0.01);
            last = value;
        }
    }

    #[test]
    fn fields_interpolate_the_noise() {
        let key = Key::new(2, 0);
        let field = Field::new(key, [20, 30], 5.0, 4, &[(16.0, 3.0)]);
        let want = |y: f32, x: f32| 3.0 * noise(key.part(1), x / 16.0, y / 16.0, 5.0 / 16.0);
        assert!((field.at(8, 12) - want(8.0, 12.0)).abs() < 1e-5);
        assert!((field.at(19, 29) - want(19.0, 29.0)).abs() < 0.3);
        assert!((field.at(-1, 30) - want(-1.0, 30.0)).abs() < 0.3);
    }
}
