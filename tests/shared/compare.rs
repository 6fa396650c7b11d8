//! Compares a whole network's tensors with those of the f64 reference.
//!
//! No bound of practical use follows from the number of roundings in a network: each normalisation magnifies those
//! before it. What an f32 computation can reach is measured instead: the plain f32 reference runs the same
//! plan, and others may be farther from f64 than it is by a factor, not more.

use askem_kernels::tolerance::UNIT;

/// A named part of a result. What stands before `/` in the name is the group that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
}

impl Tensor {
    fn group(&self) -> &str {
        self.name.split('/').next().expect("a split has one part")
    }

    pub(crate) fn scale(&self) -> f64 {
        self.values.iter().fold(0.0, |a, v| a.max(v.abs()))
    }
}

/// How much farther from f64 a result may be than the f32 reference. One run is a rough measure of what rounding does;
/// other orders of summation, fused products and the elementary functions of WGSL (up to some ULP each) add to it.
pub(crate) const FACTOR: f64 = 32.0;

/// The tensor that used most of what it may differ.
#[derive(Clone, Debug)]
pub(crate) struct Worst {
    pub(crate) name: String,
    pub(crate) used: f64,
}

/// The largest difference; NaN where a value is not a number.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.name, b.name);
    assert_eq!(a.values.len(), b.values.len(), "{}: number of elements", a.name);
    assert!(!a.values.is_empty(), "{}: nothing to compare", a.name);
    let differences = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs());
    // f64::max would drop a NaN.
    differences.fold(0.0, |worst, d| if worst.is_nan() || d <= worst { worst } else { d })
}

/// The error that each tensor may have: [`FACTOR`] times that of the f32 reference. Since a tensor
/// of few elements may happen to have none, each is granted the group's median error relative to the tensor's
/// size, and a rounding.
pub(crate) fn allowed(plain: &[Tensor], exact: &[Tensor]) -> Vec<f64> {
    assert_eq!(plain.len(), exact.len());
    let errors: Vec<f64> = plain.iter().zip(exact).map(|(p, e)| distance(p, e)).collect();
    let allowed = exact.iter().zip(&errors).map(|(tensor, &error)| {
        assert!(tensor.scale().is_finite() && error.is_finite(), "{}: no reference", tensor.name);
        let members = exact.iter().zip(&errors).filter(|(t, _)| t.group() == tensor.group());
        let mut relative: Vec<f64> =
            members.filter(|(t, _)| t.scale() > 0.0).map(|(t, e)| e / t.scale()).collect();
        relative.sort_by(f64::total_cmp);
        let median = relative.get(relative.len() / 2).copied().unwrap_or(0.0);
        FACTOR * error.max(median.max(UNIT) * tensor.scale())
    });
    allowed.collect()
}

/// Compares `got` with `exact`; the worst tensor if all agree, else what differs most.
pub(crate) fn compare(got: &[Tensor], exact: &[Tensor], allowed: &[f64]) -> Result<Worst, String> {
    assert_eq!((got.len(), exact.len()), (allowed.len(), allowed.len()), "number of tensors");
    assert!(!got.is_empty(), "nothing to compare");
    let mut worst = Worst { name: String::new(), used: 0.0 };
    let mut failed = Vec::new();
    for ((got, exact), &allowed) in got.iter().zip(exact).zip(allowed) {
        let error = distance(got, exact);
        // NaN is not within.
        let within = error <= allowed;
        if !within {
            failed.push(format!(
                "{}: off by {error:e}, allowed {allowed:e}, of values up to {:e}",
                got.name,
                exact.scale()
            ));
        } else if error / allowed >= worst.used {
            worst = Worst { name: got.name.clone(), used: error / allowed };
        }
    }
    if failed.is_empty() { Ok(worst) } else { Err(failed.join("\n")) }
}
