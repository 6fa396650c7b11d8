//! Patches turned by any angle, scaled and sheared about their centres, with other contrast and brightness, as a training
//! augments them.

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
    /// Channels of a patch.
    pub c: u32,
    /// Rows of a patch.
    pub h: u32,
    /// Columns of a patch.
    pub w: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 4] {
        [self.n, self.c, self.h, self.w].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "warp";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, h, w] = self.sizes();
        let pixels = n.saturating_mul(h).saturating_mul(w);
        match buffer {
            "transforms" => n * WORDS,
            "x" | "y" => pixels.saturating_mul(c),
            "labels" | "warped" => pixels,
            _ => panic!("warp has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            return Err(Error::Params { op: Self::OP, what: "n, c, h and w must be at least 1" });
        }
        if self.h.max(self.w) > 1 << 14 {
            return Err(Error::Params { op: Self::OP, what: "h and w must be at most 16384" });
        }
        Ok(())
    }
}

/// Words of a transform.
const WORDS: usize = size_of::<Transform>() / 4;

/// One in the entries of a transform's matrix, which are fixed-point numbers.
pub const ONE: i32 = 1 << 14;

/// A pixel in the positions that follow from them, which count half pixels.
const PIXEL: i32 = 2 * ONE;

/// How a patch is changed, as a row of the buffer `transforms` holds it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Transform {
    /// What a distance from the centre, (rows, columns), is multiplied with to find where a pixel comes from: a 2 x 2
    /// matrix, row by row, in units of 1 / [`ONE`].
    pub matrix: [i32; 4],
    /// What grey values are multiplied with.
    pub gain: f32,
    /// What is then added.
    pub offset: f32,
}

impl Default for Transform {
    /// The one that changes nothing.
    fn default() -> Self {
        Self { matrix: [ONE, 0, 0, ONE], gain: 1.0, offset: 0.0 }
    }
}

impl Transform {
    /// A turn by `angle`, in radians, and a scale: pixels come from so many times as far from the centre.
    pub fn turn(angle: f64, scale: f64) -> Self {
        let fixed = |value: f64| libm::round(value * f64::from(ONE)) as i32;
        let [sin, cos] = [libm::sin(angle) * scale, libm::cos(angle) * scale].map(fixed);
        Self { matrix: [cos, -sin, sin, cos], ..Self::default() }
    }
}

/// Where along an axis of so many pixels a pixel comes from, mirrored at the first and the last one: in units of
/// 1 / [`PIXEL`]. Whole numbers, so that every device finds the same place.
fn source(across: [i32; 2], row: &[i32], size: i32) -> i32 {
    let turned = row[0].wrapping_mul(across[0]).wrapping_add(row[1].wrapping_mul(across[1]));
    let last = (size - 1) * PIXEL;
    if last == 0 {
        return 0;
    }
    // The centre lies half of the last pixel's position from the first one.
    let at = turned.wrapping_add(last / 2).rem_euclid(2 * last);
    at.min(2 * last - at)
}

/// Calls `put` with the position of each pixel of the patches, its transform, and the row and column that it comes from.
fn each(p: &Params, transforms: &[u32], mut put: impl FnMut([usize; 3], &Transform, [i32; 2])) {
    let [n, _, h, w] = p.sizes();
    let [rows, columns] = [p.h as i32, p.w as i32];
    for sample in 0..n {
        let transform: Transform = bytemuck::pod_read_unaligned(bytemuck::cast_slice(
            &transforms[sample * WORDS..][..WORDS],
        ));
        for i in 0..h {
            for j in 0..w {
                let across = [2 * i as i32 - (rows - 1), 2 * j as i32 - (columns - 1)];
                let y = source(across, &transform.matrix[..2], rows);
                let x = source(across, &transform.matrix[2..], columns);
                put([sample, i, j], &transform, [y, x]);
            }
        }
    }
}

/// Resamples grey values: `y[n, c, i, j] = gain x[n, c](M ((i, j) - centre) + centre) + offset`, where `x` between pixels is
/// interpolated linearly along both axes, and mirrored beyond its first and last row and column.
///
/// # Shapes
/// `x` and `y [n, c, h, w]`, `transforms [n, 6]`: a [`Transform`] each.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Positions are whole numbers of 1/32768 pixel, so all devices read the same pixels with the same shares. Tolerance
/// class sum. The transform that changes nothing leaves every bit of finite values but the sign of zero.
pub fn images<T: Real>(p: &Params, x: &[T], transforms: &[u32], y: &mut [T]) -> Result<(), Error> {
    p.check("warp::images", &[("x", x.len()), ("transforms", transforms.len()), ("y", y.len())])?;
    let [_, c, h, w] = p.sizes();
    each(p, transforms, |[sample, i, j], transform, from| {
        let [gain, offset] = [transform.gain, transform.offset].map(|v| T::from_f64(v.into()));
        let place = |at: i32, size: usize| {
            let (first, part) = ((at / PIXEL) as usize, f64::from(at % PIXEL) / f64::from(PIXEL));
            let shares = [1.0 - part, part].map(T::from_f64);
            ([first, (first + 1).min(size - 1)], shares)
        };
        let ([y0, y1], [upper, lower]) = place(from[0], h);
        let ([x0, x1], [left, right]) = place(from[1], w);
        for channel in 0..c {
            let plane = &x[(sample * c + channel) * h * w..][..h * w];
            let row = |y: usize| left * plane[y * w + x0] + right * plane[y * w + x1];
            let value = upper * row(y0) + lower * row(y1);
            y[((sample * c + channel) * h + i) * w + j] = gain * value + offset;
        }
    });
    Ok(())
}

/// The labels of the same patches: each is that of the nearest pixel.
///
/// # Shapes
/// `labels` and `warped [n, h, w]`, `transforms` as [`images`] has them.
///
/// # Writes
/// `warped =`
///
/// # Numerics
/// Tolerance class exact; the middle between two pixels belongs to the later one.
pub fn labels(
    p: &Params,
    labels: &[u32],
    transforms: &[u32],
    warped: &mut [u32],
) -> Result<(), Error> {
    let lens =
        [("labels", labels.len()), ("transforms", transforms.len()), ("warped", warped.len())];
    p.check("warp::labels", &lens)?;
    let [_, _, h, w] = p.sizes();
    each(p, transforms, |[sample, i, j], _, from| {
        let [y, x] = from.map(|at| ((at + ONE) / PIXEL) as usize);
        warped[(sample * h + i) * w + j] = labels[(sample * h + y) * w + x];
    });
    Ok(())
}

/// Forms for processors.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::Error;

    pub use super::labels;

    /// [`images`](super::images) for f32.
    pub fn images(p: &Params, x: &[f32], transforms: &[u32], y: &mut [f32]) -> Result<(), Error> {
        super::images(p, x, transforms, y)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn warped(p: Params, x: &[f32], transforms: &[Transform]) -> Vec<f32> {
        let mut y = std::vec![f32::NAN; x.len()];
        images(&p, x, bytemuck::cast_slice(transforms), &mut y).unwrap();
        y
    }

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 7919 % 101) as f32 / 7.0 - 5.0).collect()
    }

    #[test]
    fn the_default_changes_nothing() {
        let p = Params { n: 2, c: 3, h: 5, w: 4 };
        let x = numbers(120);
        assert_eq!(warped(p, &x, &[Transform::default(); 2]), x);
        let codes: Vec<u32> = (0..40).collect();
        let mut found = [u32::MAX; 40];
        let same = [Transform::default(); 2];
        labels(&p, &codes, bytemuck::cast_slice(&same), &mut found).unwrap();
        assert_eq!(found[..], codes[..]);
    }

    #[test]
    fn quarter_turns_and_mirrors_are_exact() {
        let p = Params { n: 1, c: 1, h: 3, w: 3 };
        let x: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let quarter = Transform::turn(core::f64::consts::FRAC_PI_2, 1.0);
        assert_eq!(quarter.matrix, [0, -ONE, ONE, 0]);
        // The pixel above the centre comes from what is left of it.
        assert_eq!(warped(p, &x, &[quarter]), [6.0, 3.0, 0.0, 7.0, 4.0, 1.0, 8.0, 5.0, 2.0]);
        let mirror = Transform { matrix: [ONE, 0, 0, -ONE], ..Transform::default() };
        assert_eq!(warped(p, &x, &[mirror]), [2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 8.0, 7.0, 6.0]);
    }

    #[test]
    fn a_plane_stays_a_plane_and_contrast_comes_last() {
        // Linear interpolation of a linear function is exact, where nothing is mirrored.
        let (h, w) = (33, 21);
        let p = Params { n: 1, c: 1, h, w };
        let value = |y: f64, x: f64| 3.0 + 0.25 * y - 0.5 * x;
        let plane = |i: u32| value(f64::from(i / w), f64::from(i % w)) as f32;
        let x: Vec<f32> = (0..h * w).map(plane).collect();
        let transform = Transform { gain: 2.0, offset: -1.0, ..Transform::turn(0.4, 0.5) };
        let [a, b, c, d] = transform.matrix.map(|m| f64::from(m) / f64::from(ONE));
        let centre = [f64::from(h - 1) / 2.0, f64::from(w - 1) / 2.0];
        for (i, got) in warped(p, &x, &[transform]).into_iter().enumerate() {
            let across =
                [(i as u32 / w, 0), (i as u32 % w, 1)].map(|(at, k)| f64::from(at) - centre[k]);
            let from = [
                a * across[0] + b * across[1] + centre[0],
                c * across[0] + d * across[1] + centre[1],
            ];
            let want = 2.0 * value(from[0], from[1]) - 1.0;
            assert!((f64::from(got) - want).abs() < 1e-3, "{i}: {got} {want}");
        }
    }

    #[test]
    fn beyond_the_border_it_is_mirrored() {
        let p = Params { n: 1, c: 1, h: 1, w: 5 };
        let x = [0.0, 1.0, 2.0, 3.0, 4.0];
        let twice = Transform { matrix: [ONE, 0, 0, 2 * ONE], ..Transform::default() };
        assert_eq!(warped(p, &x, &[twice]), [2.0, 0.0, 2.0, 4.0, 2.0]);
        let half = Transform { matrix: [ONE, 0, 0, ONE / 2], ..Transform::default() };
        assert_eq!(warped(p, &x, &[half]), [1.0, 1.5, 2.0, 2.5, 3.0]);
        let mut found = [0; 5];
        labels(&p, &[0, 1, 2, 3, 4], bytemuck::cast_slice(&[half]), &mut found).unwrap();
        assert_eq!(found, [1, 2, 2, 3, 3]);
    }

    #[test]
    fn any_words_stay_inside() {
        let p = Params { n: 3, c: 1, h: 7, w: 2 };
        let words: Vec<u32> =
            (0..18).map(|i: u32| i.wrapping_mul(0x9E37_79B9) ^ 0x8000_0000).collect();
        let codes: Vec<u32> = (0..42).collect();
        let mut found = [u32::MAX; 42];
        labels(&p, &codes, &words, &mut found).unwrap();
        assert!(found.iter().enumerate().all(|(i, code)| *code as usize / 14 == i / 14));
    }

    #[test]
    fn sizes_are_checked() {
        assert!(Params { n: 1, c: 0, h: 2, w: 2 }.validate().is_err());
        assert!(Params { n: 1, c: 1, h: 2, w: 1 << 15 }.validate().is_err());
        let p = Params { n: 1, c: 1, h: 2, w: 2 };
        assert!(images(&p, &[0.0; 4], &[0; 5], &mut [0.0; 4]).is_err());
        assert!(labels(&p, &[0; 3], &[0; 6], &mut [0; 4]).is_err());
    }
}
