//! Joins two images along their channels: the skip connections of a U-Net.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels of `a`, which come first.
    pub c_a: u32,
    /// Channels of `b`.
    pub c_b: u32,
    /// Pixels of a plane.
    pub hw: u32,
}

impl Params {
    /// Samples, elements of a sample of `a` and of `b`.
    fn sizes(&self) -> [usize; 3] {
        let hw = self.hw as usize;
        [self.n as usize, self.c_a as usize * hw, self.c_b as usize * hw]
    }
}

impl Shape for Params {
    const OP: &'static str = "concat_channels";

    fn len(&self, buffer: &str) -> usize {
        let [n, a, b] = self.sizes();
        match buffer {
            "a" | "da" => n * a,
            "b" | "db" => n * b,
            "y" | "dy" => n * (a + b),
            _ => panic!("concat_channels has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            let what = "n, c_a, c_b and hw must be at least 1";
            return Err(Error::Params { op: Self::OP, what });
        }
        Ok(())
    }
}

/// Joins: `y[n] = [a[n]; b[n]]` along the channels.
///
/// # Shapes
/// `a [n, c_a, hw]`, `b [n, c_b, hw]`, `y [n, c_a + c_b, hw]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class exact.
pub fn forward<T: Real>(p: &Params, a: &[T], b: &[T], y: &mut [T]) -> Result<(), Error> {
    p.check("concat_channels::forward", &[("a", a.len()), ("b", b.len()), ("y", y.len())])?;
    let [n, len_a, len_b] = p.sizes();
    for s in 0..n {
        let (y_a, y_b) = y[s * (len_a + len_b)..(s + 1) * (len_a + len_b)].split_at_mut(len_a);
        y_a.copy_from_slice(&a[s * len_a..(s + 1) * len_a]);
        y_b.copy_from_slice(&b[s * len_b..(s + 1) * len_b]);
    }
    Ok(())
}

/// The gradients of both parts: `[da[n]; db[n]] = dy[n]`.
///
/// # Shapes
/// `dy [n, c_a + c_b, hw]`, `da [n, c_a, hw]`, `db [n, c_b, hw]`.
///
/// # Writes
/// `da =`, `db =`
///
/// # Numerics
/// Tolerance class exact.
pub fn backward_input<T: Real>(
    p: &Params,
    dy: &[T],
    da: &mut [T],
    db: &mut [T],
) -> Result<(), Error> {
    p.check(
        "concat_channels::backward_input",
        &[("dy", dy.len()), ("da", da.len()), ("db", db.len())],
    )?;
    let [n, len_a, len_b] = p.sizes();
    for s in 0..n {
        let (dy_a, dy_b) = dy[s * (len_a + len_b)..(s + 1) * (len_a + len_b)].split_at(len_a);
        da[s * len_a..(s + 1) * len_a].copy_from_slice(dy_a);
        db[s * len_b..(s + 1) * len_b].copy_from_slice(dy_b);
    }
    Ok(())
}

/// f32 forms: copies, cut in pieces for all threads.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::error::Error;
    use crate::par::for_each_chunk_mut;
    use crate::shape::Shape;
    use crate::simd::PIECE;

    /// Copies each source to its destination of the same length.
    fn copy<'a>(pairs: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
        let mut pieces: Vec<_> =
            pairs.flat_map(|(to, from)| to.chunks_mut(PIECE).zip(from.chunks(PIECE))).collect();
        for_each_chunk_mut(&mut pieces, 1, |_, piece| piece[0].0.copy_from_slice(piece[0].1));
    }

    /// [`forward`](super::forward) for f32.
    pub fn forward(p: &Params, a: &[f32], b: &[f32], y: &mut [f32]) -> Result<(), Error> {
        p.check("concat_channels::forward", &[("a", a.len()), ("b", b.len()), ("y", y.len())])?;
        let [_, len_a, len_b] = p.sizes();
        let samples = y.chunks_mut(len_a + len_b).zip(a.chunks(len_a).zip(b.chunks(len_b)));
        copy(samples.flat_map(|(y, (a, b))| {
            let (y_a, y_b) = y.split_at_mut(len_a);
            [(y_a, a), (y_b, b)]
        }));
        Ok(())
    }

    /// [`backward_input`](super::backward_input) for f32.
    pub fn backward_input(
        p: &Params,
        dy: &[f32],
        da: &mut [f32],
        db: &mut [f32],
    ) -> Result<(), Error> {
        p.check(
            "concat_channels::backward_input",
            &[("dy", dy.len()), ("da", da.len()), ("db", db.len())],
        )?;
        let [_, len_a, len_b] = p.sizes();
        let samples = dy.chunks(len_a + len_b).zip(da.chunks_mut(len_a).zip(db.chunks_mut(len_b)));
        copy(samples.flat_map(|(dy, (da, db))| {
            let (dy_a, dy_b) = dy.split_at(len_a);
            [(da, dy_a), (db, dy_b)]
        }));
        Ok(())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
