//! How far a result may lie from the reference. No other file holds a tolerance.
//!
//! A reference that runs with [`Tracked`] computes in `f64` and carries, for every number, how far an `f32`
//! computation of it may go astray: a magnitude (the sum of the absolute terms) and a count of roundings. The allowed
//! error is [`gamma`]`(roundings) * magnitude`, which holds for any order of summation and with or
//! without fused multiply-add; elementary functions may be as inaccurate as WGSL lets them be.
//!
//! Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., lemma 3.1 and section 4.2;
//! WGSL, section "Accuracy of concrete floating point expressions".

use core::cmp::Ordering;
use core::fmt;
use core::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use crate::real::Real;

/// Half the distance between neighbouring `f32` at 1: the largest relative error of one rounding.
pub const UNIT: f64 = 1.0 / (1u64 << 24) as f64;
/// A unit in the last place, relative to the value, at its largest.
pub const ULP: f64 = 2.0 * UNIT;
/// The smallest normal `f32`. What is smaller may become zero on a device.
pub const FLUSH: f64 = f32::MIN_POSITIVE as f64;

/// Half the distance between neighbouring f16 at 1.
pub const F16_UNIT: f64 = 1.0 / (1u64 << 11) as f64;
/// The largest f16.
pub const F16_MAX: f64 = 65504.0;
/// The smallest normal f16. What is smaller may become zero on a device.
pub const F16_FLUSH: f64 = 1.0 / (1u64 << 14) as f64;

/// WGSL's accuracy of division, in ULP.
pub const DIV_ULP: f64 = 2.5;
/// WGSL's accuracy of `sqrt`, in ULP: that of `1 / inverseSqrt(x)`, where `inverseSqrt` has 2.
pub const SQRT_ULP: f64 = 2.0 + DIV_ULP;
/// WGSL's accuracy of `log` outside `[0.5, 2]`, in ULP.
pub const LN_ULP: f64 = 3.0;
/// WGSL's accuracy of `log` inside `[0.5, 2]`, absolute.
pub const LN_ABS: f64 = 1.0 / (1u64 << 21) as f64;
/// WGSL's accuracy of `exp(x)`, in ULP.
pub fn exp_ulp(x: f64) -> f64 {
    3.0 + 2.0 * x.abs()
}

/// Roundings that every result is granted beyond those counted: that of storing it, and one for a
/// factor that was folded in beforehand (such as a mean's reciprocal count).
pub const SPARE_ROUNDINGS: u32 = 2;

/// How closely a derivative has to agree with finite differences, both in `f64`, relative to the
/// largest derivative.
pub const GRADIENT: f64 = 1e-6;
/// How closely a law that holds exactly for real numbers has to hold in `f64`, relative to its terms.
pub const LAW: f64 = 1e-12;

/// `n u / (1 - n u)`: a bound of the relative error that `n` roundings add up to; infinite where there is none.
pub fn gamma(n: u32) -> f64 {
    let nu = f64::from(n) * UNIT;
    if nu < 1.0 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// A number that carries its own error bound.
///
/// Numbers compare by `value` alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracked {
    /// The value, in `f64`.
    pub value: f64,
    /// The sum of the absolute terms that make up the value; never smaller than `|value|`.
    pub magnitude: f64,
    /// Roundings between the inputs and the value.
    pub terms: u32,
}

impl Tracked {
    /// An input: a number that is exact, unless `f32` cannot hold it, which counts as a rounding.
    pub fn leaf(value: f64) -> Self {
        let exact = f64::from(value as f32) == value;
        Self { value, magnitude: value.abs(), terms: u32::from(!exact) }
    }

    /// How far an `f32` result may lie from `value`.
    pub fn allowed(self) -> f64 {
        gamma(self.terms.saturating_add(SPARE_ROUNDINGS)) * self.magnitude + self.flushed()
    }

    /// The error of an `f32` computation so far, which following functions magnify.
    fn error(self) -> f64 {
        gamma(self.terms) * self.magnitude + self.flushed()
    }

    /// What is lost where devices make zeros of subnormal numbers.
    fn flushed(self) -> f64 {
        FLUSH * (f64::from(self.terms) + 1.0)
    }

    /// A function's value with a bound of its error; `self` is its argument.
    ///
    /// The bound goes into the magnitude and not into the count of roundings, since a later sum takes
    /// the largest count of its terms but only the sum of their magnitudes.
    fn function(self, value: f64, error: f64) -> Self {
        let terms = self.terms.saturating_add(2);
        let magnitude = if error.is_finite() {
            value.abs().max(error / gamma(terms))
        } else {
            // No bound exists; the comparators refuse such a number.
            f64::INFINITY
        };
        Self { value, magnitude, terms }
    }

    /// The same with so many times the allowed error.
    #[must_use]
    pub fn loosened(self, times: f64) -> Self {
        Self { magnitude: times * self.magnitude, ..self }
    }

    /// The number as it may be after it was stored as f16. What is beyond its range becomes its largest.
    #[must_use]
    pub fn as_f16(self) -> Self {
        let value = self.value.clamp(-F16_MAX, F16_MAX);
        let error = self.allowed() + F16_UNIT * value.abs() + F16_FLUSH;
        let magnitude = error / gamma(self.terms.saturating_add(SPARE_ROUNDINGS));
        Self { value, magnitude, ..self }
    }

    fn is_exact(self) -> bool {
        self.terms == 0
    }
}

impl PartialEq for Tracked {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Tracked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Add for Tracked {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        // Adding zero rounds nothing: a sum of n terms that starts at zero has n - 1 roundings.
        if self.magnitude == 0.0 {
            return other;
        }
        if other.magnitude == 0.0 {
            return self;
        }
        Self {
            value: self.value + other.value,
            magnitude: self.magnitude + other.magnitude,
            terms: self.terms.max(other.terms).saturating_add(1),
        }
    }
}

impl Sub for Tracked {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        let sum = self + -other;
        // The difference of two inputs is rounded once, relative to itself, and no order of summation takes it
        // apart: this is why direct differences are better than |a|^2 - 2ab + |b|^2.
        if self.is_exact() && other.is_exact() {
            Self { magnitude: sum.value.abs(), ..sum }
        } else {
            sum
        }
    }
}

impl Neg for Tracked {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, ..self }
    }
}

impl Mul for Tracked {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            value: self.value * other.value,
            magnitude: self.magnitude * other.magnitude,
            terms: self.terms.saturating_add(other.terms).saturating_add(1),
        }
    }
}

impl Div for Tracked {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let (value, divisor) = (self.value / other.value, other.value.abs());
        let magnified = other.error() / divisor;
        let error = if magnified < 0.5 {
            (self.error() + value.abs() * other.error()) / (divisor * (1.0 - magnified))
                + DIV_ULP * ULP * value.abs()
        } else {
            f64::INFINITY
        };
        self.function(value, error)
    }
}

impl AddAssign for Tracked {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Real for Tracked {
    const ZERO: Self = Self { value: 0.0, magnitude: 0.0, terms: 0 };
    const ONE: Self = Self { value: 1.0, magnitude: 1.0, terms: 0 };
    fn from_f64(value: f64) -> Self {
        Self::leaf(value)
    }
    fn to_f64(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let value = libm::exp(self.value);
        let error = value * (libm::expm1(self.error()) + exp_ulp(self.value) * ULP);
        self.function(value, error)
    }
    fn ln(self) -> Self {
        let value = libm::log(self.value);
        let relative = self.error() / self.value;
        let error = if self.value > 0.0 && relative < 0.5 {
            // A margin of one percent, since the device decides by its own argument.
            let near_one = (0.495..=2.02).contains(&self.value);
            -libm::log1p(-relative) + if near_one { LN_ABS } else { LN_ULP * ULP * value.abs() }
        } else {
            f64::INFINITY
        };
        self.function(value, error)
    }
    fn sqrt(self) -> Self {
        let (value, error) = (libm::sqrt(self.value), self.error());
        let moved = if error < self.value {
            error / (value + libm::sqrt(self.value - error))
        } else {
            libm::sqrt(error)
        };
        self.function(value, moved + SQRT_ULP * ULP * value)
    }
    // The larger of two computed numbers may come from the smaller of the two exact ones, but it is not
    // farther off than the worse of the two.
    fn max(self, other: Self) -> Self {
        let larger = if self > other { self } else { other };
        larger.as_uncertain_as(self, other)
    }
    fn min(self, other: Self) -> Self {
        let smaller = if self < other { self } else { other };
        smaller.as_uncertain_as(self, other)
    }
}

impl Tracked {
    fn as_uncertain_as(self, a: Self, b: Self) -> Self {
        // A number that cannot win does not make the winner worse.
        let apart = (a.value - b.value).abs();
        if a.allowed() + b.allowed() < apart {
            return self;
        }
        Self { magnitude: a.magnitude.max(b.magnitude), terms: a.terms.max(b.terms), ..self }
    }
}

/// Where a result lies farthest from the reference, in units of what is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// The element.
    pub index: usize,
    /// What came.
    pub got: f64,
    /// What the reference says.
    pub want: f64,
    /// The error that the element may have.
    pub allowed: f64,
    /// The error over the allowed one; above 1, or NaN, fails.
    pub used: f64,
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, got, want, allowed, used } = self;
        write!(f, "element {index}: got {got:e}, want {want:e} +- {allowed:e} (used {used:.3})")
    }
}

/// Why a result does not agree with its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mismatch {
    /// The lengths differ.
    Length {
        /// Elements that came.
        got: usize,
        /// Elements of the reference.
        want: usize,
    },
    /// There is nothing to compare, which proves nothing.
    Empty,
    /// The reference itself is not finite here, or has no error bound.
    Unbounded {
        /// The first such element.
        index: usize,
    },
    /// At least one element lies outside; this is the worst.
    Outside(Worst),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { got, want } => write!(f, "{got} elements where {want} are expected"),
            Self::Empty => write!(f, "nothing to compare"),
            Self::Unbounded { index } => {
                write!(f, "element {index}: the reference is not finite or has no error bound")
            }
            Self::Outside(worst) => write!(f, "{worst}"),
        }
    }
}

impl core::error::Error for Mismatch {}

/// Compares `(got, want, allowed)` element by element.
// A negated comparison is what makes NaN fail.
#[allow(clippy::neg_cmp_op_on_partial_ord)]
fn compare_within(
    (got_len, want_len): (usize, usize),
    element: impl Fn(usize) -> (f64, f64, f64),
) -> Result<Worst, Mismatch> {
    if got_len != want_len {
        return Err(Mismatch::Length { got: got_len, want: want_len });
    }
    let mut worst: Option<Worst> = None;
    let mut passed = true;
    for index in 0..got_len {
        let (got, want, allowed) = element(index);
        if !(want.is_finite() && allowed.is_finite()) {
            return Err(Mismatch::Unbounded { index });
        }
        let diff = (got - want).abs();
        let outside = !(diff <= allowed);
        let used = if diff == 0.0 { 0.0 } else { diff / allowed };
        let farther = match worst {
            None => true,
            // NaN is worse than any number, and the first one stays.
            Some(w) => !w.used.is_nan() && !(used <= w.used),
        };
        if farther {
            worst = Some(Worst { index, got, want, allowed, used });
        }
        passed &= !outside;
    }
    match worst {
        None => Err(Mismatch::Empty),
        Some(worst) if passed => Ok(worst),
        Some(worst) => Err(Mismatch::Outside(worst)),
    }
}

/// Compares a result with its tracked reference.
///
/// # Errors
/// [`Mismatch`], whose `Display` names the worst element.
pub fn compare(got: &[f32], want: &[Tracked]) -> Result<Worst, Mismatch> {
    compare_within((got.len(), want.len()), |i| {
        (f64::from(got[i]), want[i].value, want[i].allowed())
    })
}

/// Compares derivatives with finite differences, relative to the largest of them ([`GRADIENT`]).
///
/// # Errors
/// [`Mismatch`], also where all differences are zero: such a test would prove nothing.
pub fn compare_gradient(got: &[f64], want: &[f64]) -> Result<Worst, Mismatch> {
    let largest = want.iter().fold(0.0f64, |a, &b| a.max(b.abs()));
    if largest == 0.0 {
        return Err(Mismatch::Empty);
    }
    compare_within((got.len(), want.len()), |i| (got[i], want[i], GRADIENT * largest))
}

/// Compares two sides of a law in `f64`, relative to `scale` ([`LAW`]).
///
/// # Errors
/// [`Mismatch`], whose `Display` names the worst element.
pub fn compare_law(got: &[f64], want: &[f64], scale: f64) -> Result<Worst, Mismatch> {
    compare_within((got.len(), want.len()), |i| (got[i], want[i], LAW * scale))
}

/// Why two arrays that have to be equal are not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Differs<T> {
    /// The lengths differ.
    Length {
        /// Elements that came.
        got: usize,
        /// Elements of the reference.
        want: usize,
    },
    /// There is nothing to compare, which proves nothing.
    Empty,
    /// The first element that differs.
    At {
        /// The element.
        index: usize,
        /// What came.
        got: T,
        /// What the reference says.
        want: T,
    },
}

impl<T: fmt::Debug> fmt::Display for Differs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { got, want } => write!(f, "{got} elements where {want} are expected"),
            Self::Empty => write!(f, "nothing to compare"),
            Self::At { index, got, want } => {
                write!(f, "element {index}: got {got:?}, want {want:?}")
            }
        }
    }
}

/// Compares what has to be equal (`-0 == +0`, and NaN equals nothing).
///
/// # Errors
/// [`Differs`], with the first element that differs.
pub fn compare_exact<T: PartialEq + Copy>(got: &[T], want: &[T]) -> Result<(), Differs<T>> {
    if got.len() != want.len() {
        return Err(Differs::Length { got: got.len(), want: want.len() });
    }
    if got.is_empty() {
        return Err(Differs::Empty);
    }
    match (0..got.len()).find(|&i| got[i] != want[i]) {
        None => Ok(()),
        Some(index) => Err(Differs::At { index, got: got[index], want: want[index] }),
    }
}

/// The derivative of `f` by `x[i]`, by central differences of fourth order; `x` comes back as it was.
pub fn finite_difference(x: &mut [f64], i: usize, mut f: impl FnMut(&[f64]) -> f64) -> f64 {
    // Errors of h^4 and of 1e-16 / h are both far below `GRADIENT`.
    let (at, h) = (x[i], 1e-3);
    let mut sum = 0.0;
    for (steps, weight) in [(1.0, 8.0), (-1.0, -8.0), (2.0, -1.0), (-2.0, 1.0)] {
        x[i] = at + steps * h;
        sum += weight * f(x);
    }
    x[i] = at;
    sum / (12.0 * h)
}

#[cfg(all(test, feature = "std"))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
