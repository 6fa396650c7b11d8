//! Weighted cross-entropy of logits and labels, and its gradient.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;
#[cfg(all(test, feature = "std"))]
mod tests;

/// Neighbouring pixels, in the flat order of `[n, hw]`, whose losses are summed into one partial sum.
pub const BLOCK: usize = 1024;

/// Sizes and the label to ignore; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels: the classes.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
    /// Pixels with this label contribute nothing, and neither do those with a label of `c` or more.
    pub ignore_label: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.n, self.c, self.hw].map(|size| size as usize)
    }

    /// The class of a pixel, if it contributes.
    #[inline(always)]
    fn class(&self, label: u32) -> Option<usize> {
        (label != self.ignore_label && label < self.c).then_some(label as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "cross_entropy";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw] = self.sizes();
        let pixels = n.saturating_mul(hw);
        match buffer {
            "logits" | "dlogits" => pixels.saturating_mul(c),
            "labels" => pixels,
            "class_weights" => c,
            "partials" => pixels.div_ceil(BLOCK).saturating_mul(2),
            "loss" => 3,
            _ => panic!("cross_entropy has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            return Err(Error::Params { op: Self::OP, what: "n, c and hw must be at least 1" });
        }
        Ok(())
    }
}

/// The pixel's largest logit and the sum of `exp(logit - largest)`; `logit(ch)` reads channel `ch`.
fn max_and_sum<T: Real>(c: usize, logit: impl Fn(usize) -> T) -> (T, T) {
    let mut max = logit(0);
    for ch in 1..c {
        max = max.max(logit(ch));
    }
    let mut sum = T::ZERO;
    for ch in 0..c {
        sum += (logit(ch) - max).exp();
    }
    (max, sum)
}

/// Partial sums of the loss: `partials[2b] = sum w nll` and `partials[2b + 1] = sum w` over pixel block `b`.
///
/// A pixel of class `k` has `nll = ln(sum_c exp(logits[c] - m)) - (logits[k] - m)`, with `m` its largest logit, and
/// the weight `w = class_weights[k]`.
///
/// # Shapes
/// `logits [n, c, hw]`, `labels [n, hw]`, `class_weights [c]`, `partials [ceil(n hw / 1024), 2]`.
///
/// # Units
/// Nats.
///
/// # Writes
/// `partials =`
///
/// # Numerics
/// Tolerance class sum, with WGSL's `exp` and `log`.
pub fn forward<T: Real>(
    p: &Params,
    logits: &[T],
    labels: &[u32],
    class_weights: &[T],
    partials: &mut [T],
) -> Result<(), Error> {
    p.check(
        "cross_entropy::forward",
        &[
            ("logits", logits.len()),
            ("labels", labels.len()),
            ("class_weights", class_weights.len()),
            ("partials", partials.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    for block in 0..partials.len() / 2 {
        let (mut sum, mut total) = (T::ZERO, T::ZERO);
        for pixel in block * BLOCK..((block + 1) * BLOCK).min(n * hw) {
            let Some(class) = p.class(labels[pixel]) else { continue };
            let logit = |ch: usize| logits[(pixel / hw * c + ch) * hw + pixel % hw];
            let (max, exps) = max_and_sum(c, logit);
            let nll = exps.ln() - (logit(class) - max);
            sum += class_weights[class] * nll;
            total += class_weights[class];
        }
        partials[2 * block] = sum;
        partials[2 * block + 1] = total;
    }
    Ok(())
}

/// The loss from its partial sums: `loss = [sum / total, total, 1 / total]`; the first and the last
/// are 0 where no pixel counts.
///
/// # Shapes
/// `partials [ceil(n hw / 1024), 2]`, `loss [3]`.
///
/// # Units
/// Nats per unit of weight.
///
/// # Writes
/// `loss =`
///
/// # Numerics
/// Blocks are summed in their order. Tolerance class sum.
///
/// # Source
/// The weighted mean of PyTorch's `cross_entropy(weight=..., ignore_index=...)`.
pub fn reduce<T: Real>(p: &Params, partials: &[T], loss: &mut [T]) -> Result<(), Error> {
    p.check("cross_entropy::reduce", &[("partials", partials.len()), ("loss", loss.len())])?;
    let (mut sum, mut total) = (T::ZERO, T::ZERO);
    for block in 0..partials.len() / 2 {
        sum += partials[2 * block];
        total += partials[2 * block + 1];
    }
    let none = total == T::ZERO;
    loss[0] = if none { T::ZERO } else { sum / total };
    loss[1] = total;
    loss[2] = if none { T::ZERO } else { T::ONE / total };
    Ok(())
}

/// The gradient of the mean loss: `dlogits[c] = w (softmax(logits)[c] - [c == label]) loss[2]`, and 0 for
/// pixels that do not contribute.
///
/// # Shapes
/// `logits` and `dlogits [n, c, hw]`, `labels [n, hw]`, `class_weights [c]`, `loss [3]` from [`reduce`].
///
/// # Writes
/// `dlogits =`
///
/// # Numerics
/// Tolerance class sum, with WGSL's `exp`.
pub fn backward_input<T: Real>(
    p: &Params,
    logits: &[T],
    labels: &[u32],
    class_weights: &[T],
    loss: &[T],
    dlogits: &mut [T],
) -> Result<(), Error> {
    p.check(
        "cross_entropy::backward_input",
        &[
            ("logits", logits.len()),
            ("labels", labels.len()),
            ("class_weights", class_weights.len()),
            ("loss", loss.len()),
            ("dlogits", dlogits.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    for pixel in 0..n * hw {
        let at = |ch: usize| (pixel / hw * c + ch) * hw + pixel % hw;
        let Some(class) = p.class(labels[pixel]) else {
            for ch in 0..c {
                dlogits[at(ch)] = T::ZERO;
            }
            continue;
        };
        let (max, exps) = max_and_sum(c, |ch| logits[at(ch)]);
        for ch in 0..c {
            let softmax = (logits[at(ch)] - max).exp() / exps;
            let one_hot = if ch == class { T::ONE } else { T::ZERO };
            dlogits[at(ch)] = class_weights[class] * (softmax - one_hot) * loss[2];
        }
    }
    Ok(())
}
