//! The Adam optimiser's update of the parameters.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(all(test, feature = "std"))]
mod tests;

/// Size and constants; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Elements.
    pub len: u32,
    /// Decay of the mean of gradients, such as 0.9.
    pub beta1: f32,
    /// Decay of the mean of squared gradients, such as 0.999.
    pub beta2: f32,
    /// Added to the root, such as 1e-8.
    pub eps: f32,
}

impl Shape for Params {
    const OP: &'static str = "adam";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "grad" | "param" | "m" | "v" => self.len as usize,
            "step" => 2,
            _ => panic!("adam has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let fraction = 0.0..1.0;
        let what = if self.len == 0 {
            "len must be at least 1"
        } else if !(fraction.contains(&self.beta1) && fraction.contains(&self.beta2)) {
            "beta1 and beta2 must be at least 0 and below 1"
        } else if !(f32::MIN_POSITIVE..=f32::MAX).contains(&self.eps) {
            "eps must be above 0 and finite"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// The two numbers in `step` of update number `t` (counted from 1): `lr / (1 - beta1^t)` and
/// `1 / sqrt(1 - beta2^t)`.
///
/// They come as a buffer, since a plan's parameters do not change from one update to the next.
pub fn step(p: &Params, learning_rate: f64, t: u32) -> [f32; 2] {
    let corrected = |beta: f32| 1.0 - libm::pow(f64::from(beta), f64::from(t));
    [(learning_rate / corrected(p.beta1)) as f32, (1.0 / libm::sqrt(corrected(p.beta2))) as f32]
}

/// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`, `param -= step[0] m / (sqrt(v) step[1] + eps)`.
///
/// # Shapes
/// `grad`, `param`, `m` and `v [len]`, `step [2]` (see [`step`]).
///
/// # Writes
/// `param +=`, `m =` and `v =` from their old values.
///
/// # Numerics
/// Tolerance class sum.
///
/// # Source
/// Kingma and Ba 2015, algorithm 1; `eps` is added after the correction of the bias, as in PyTorch.
pub fn update<T: Real>(
    p: &Params,
    grad: &[T],
    step: &[T],
    param: &mut [T],
    m: &mut [T],
    v: &mut [T],
) -> Result<(), Error> {
    check(p, grad.len(), step.len(), param.len(), m.len(), v.len())?;
    let [beta1, beta2, eps] = [p.beta1, p.beta2, p.eps].map(|x| T::from_f64(f64::from(x)));
    let (new1, new2) = (T::ONE - beta1, T::ONE - beta2);
    for i in 0..grad.len() {
        m[i] = beta1 * m[i] + new1 * grad[i];
        v[i] = beta2 * v[i] + new2 * (grad[i] * grad[i]);
        param[i] = param[i] - step[0] * m[i] / (v[i].sqrt() * step[1] + eps);
    }
    Ok(())
}

fn check(
    p: &Params,
    grad: usize,
    step: usize,
    param: usize,
    m: usize,
    v: usize,
) -> Result<(), Error> {
    p.check("adam::update", &[("grad", grad), ("step", step), ("param", param), ("m", m), ("v", v)])
}

/// The f32 form, spread over threads.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::{Error, par};

    const CHUNK: usize = 1 << 14;

    /// [`update`](super::update) for f32; the same bits.
    pub fn update(
        p: &Params,
        grad: &[f32],
        step: &[f32],
        param: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
    ) -> Result<(), Error> {
        super::check(p, grad.len(), step.len(), param.len(), m.len(), v.len())?;
        par::for_each_chunk3_mut((param, CHUNK), (m, CHUNK), (v, CHUNK), |i, param, m, v| {
            update_chunk(p, &grad[i * CHUNK..][..param.len()], [step[0], step[1]], param, m, v);
        });
        Ok(())
    }

    #[inline(always)]
    fn update_chunk(
        p: &Params,
        grad: &[f32],
        step: [f32; 2],
        param: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
    ) {
        for (((g, param), m), v) in grad.iter().zip(param).zip(m).zip(v) {
            *m = p.beta1 * *m + (1.0 - p.beta1) * g;
            *v = p.beta2 * *v + (1.0 - p.beta2) * (g * g);
            // The instruction, which rounds as `libm::sqrtf` does and takes several numbers at once.
            *param -= step[0] * *m / (f32::sqrt(*v) * step[1] + p.eps);
        }
    }
}
