//! Softmax over channels: scores become probabilities.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;
#[cfg(all(test, feature = "std"))]
mod tests;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels: the classes.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.n, self.c, self.hw].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "softmax";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw] = self.sizes();
        match buffer {
            "logits" | "p" | "dp" | "dlogits" => n.saturating_mul(c).saturating_mul(hw),
            _ => panic!("softmax has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            return Err(Error::Params { op: Self::OP, what: "n, c and hw must be at least 1" });
        }
        Ok(())
    }
}

/// `p[c] = exp(logits[c] - m) / sum_k exp(logits[k] - m)` with `m` the largest logit of the pixel.
///
/// # Shapes
/// `logits` and `p [n, c, hw]`.
///
/// # Writes
/// `p =`
///
/// # Numerics
/// No overflow for finite logits. Tolerance class sum, with WGSL's `exp`.
pub fn forward<T: Real>(params: &Params, logits: &[T], p: &mut [T]) -> Result<(), Error> {
    params.check("softmax::forward", &[("logits", logits.len()), ("p", p.len())])?;
    let [n, c, hw] = params.sizes();
    for s in 0..n {
        for i in 0..hw {
            let at = |ch: usize| (s * c + ch) * hw + i;
            let mut max = logits[at(0)];
            for ch in 1..c {
                max = max.max(logits[at(ch)]);
            }
            let mut sum = T::ZERO;
            for ch in 0..c {
                p[at(ch)] = (logits[at(ch)] - max).exp();
                sum += p[at(ch)];
            }
            for ch in 0..c {
                p[at(ch)] = p[at(ch)] / sum;
            }
        }
    }
    Ok(())
}

/// `dlogits[c] = p[c] (dp[c] - sum_k p[k] dp[k])`.
///
/// # Shapes
/// All `[n, c, hw]`; `p` is what [`forward`] wrote.
///
/// # Writes
/// `dlogits =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_input<T: Real>(
    params: &Params,
    p: &[T],
    dp: &[T],
    dlogits: &mut [T],
) -> Result<(), Error> {
    params.check(
        "softmax::backward_input",
        &[("p", p.len()), ("dp", dp.len()), ("dlogits", dlogits.len())],
    )?;
    let [n, c, hw] = params.sizes();
    for s in 0..n {
        for i in 0..hw {
            let at = |ch: usize| (s * c + ch) * hw + i;
            let mut mean = T::ZERO;
            for ch in 0..c {
                mean += p[at(ch)] * dp[at(ch)];
            }
            for ch in 0..c {
                dlogits[at(ch)] = p[at(ch)] * (dp[at(ch)] - mean);
            }
        }
    }
    Ok(())
}
