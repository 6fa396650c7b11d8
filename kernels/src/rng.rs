//! Random numbers that depend on a seed and a purpose, and on nothing else.
//!
//! Every use of chance draws from a stream of its own, named by a [`Purpose`] and two numbers such as an
//! iteration and a sample. A stream's name never involves threads or launch geometry, so
//! the same seed gives the same run on any machine, and a run that is taken up
//! again continues as if it had never stopped.
//!
//! # Example
//! ```
//! use askem_kernels::rng::{Purpose, shuffle, stream};
//! let mut order = [0, 1, 2, 3, 4];
//! shuffle(&mut stream(7, Purpose::Shuffle, 0, 0), &mut order);
//! let mut again = [0, 1, 2, 3, 4];
//! shuffle(&mut stream(7, Purpose::Shuffle, 0, 0), &mut again);
//! assert_eq!(order, again);
//! ```

pub use rand_xoshiro::rand_core::{Rng, SeedableRng};
pub use rand_xoshiro::{Xoshiro128PlusPlus, Xoshiro256PlusPlus};

/// Elements of a dropout mask that one stream draws.
///
/// Masks are cut in blocks so that a device can draw them in parallel.
pub const MASK_BLOCK: usize = 256;

/// The fractional part of the golden ratio times 2^64, SplitMix64's increment. It keeps zeros from staying zeros.
pub(crate) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a stream is for. The numbers are part of the results: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// The first labelled set.
    Initial = 1,
    /// The choice of the pool's patches.
    Pool = 2,
    /// A network's first weights.
    Weights = 3,
    /// The order of training patches.
    Shuffle = 4,
    /// Augmentation of training patches.
    Augment = 5,
    /// Keys of dropout masks.
    Dropout = 6,
    /// The draws of a selection strategy.
    Strategy = 7,
    /// The first centroids of k-means.
    KMeans = 8,
    /// Synthetic volumes.
    Phantom = 9,
    /// Inputs of tests and benchmarks.
    Test = 10,
    /// Which part of a patch is labelled.
    LabelShare = 11,
    /// Which labelled patches are held out of training.
    HeldOut = 12,
    /// Patches that batch norm's statistics are measured on.
    Statistics = 13,
}

/// SplitMix64's finalizer: a bijection of `u64` in which every input bit reaches every output bit.
///
/// # Source
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (Stafford's
/// variant 13).
pub const fn mix64(mut z: u64) -> u64 {
    z ^= z >> 30;
    z = z.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^= z >> 27;
    z = z.wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `mix64(key ^ mix64(part + GOLDEN))`: one link of a chain of names.
const fn link(key: u64, part: u64) -> u64 {
    mix64(key ^ mix64(part.wrapping_add(GOLDEN)))
}

/// The stream that draws block `block` of a sample's dropout mask in layer `layer`.
///
/// `key` names the sample and the pass; an element is kept where `next_u32() >= threshold`.
///
/// # GPU twin
/// `dropout.wgsl` and `dropout_masks.wgsl` draw the same bits.
pub fn mask_stream(key: u64, layer: u32, block: u32) -> Xoshiro128PlusPlus {
    Xoshiro128PlusPlus::seed_from_u64(mask_seed(key, layer, block))
}

/// The seed of [`mask_stream`].
pub(crate) fn mask_seed(key: u64, layer: u32, block: u32) -> u64 {
    link(key, (u64::from(layer) << 32) | u64::from(block))
}

/// The name of a stream as one number, for those who pass it on (such as dropout's `keys`).
pub fn key(seed: u64, purpose: Purpose, a: u64, b: u64) -> u64 {
    link(link(link(mix64(seed.wrapping_add(GOLDEN)), purpose as u64), a), b)
}

/// The stream for `purpose`, told apart by `a` and `b` (an iteration, a sample, a layer).
pub fn stream(seed: u64, purpose: Purpose, a: u64, b: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(key(seed, purpose, a, b))
}

/// A number that is uniform in `[0, 1)`, a multiple of 2^-53.
pub fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// An integer that is uniform below `n`, without bias.
///
/// # Panics
/// If `n` is zero.
///
/// # Source
/// Lemire, "Fast random integer generation in an interval", ACM TOMACS 29 (2019).
pub fn below(rng: &mut impl Rng, n: u64) -> u64 {
    assert!(n > 0, "no integer is below zero");
    loop {
        let wide = u128::from(rng.next_u64()) * u128::from(n);
        // The first 2^64 mod n values of the low half would be drawn once too often.
        if wide as u64 >= n.wrapping_neg() % n {
            return (wide >> 64) as u64;
        }
    }
}

/// A draw from the normal distribution of mean 0 and variance 1.
///
/// # Source
/// Box and Muller, "A note on the generation of random normal deviates", 1958; the second number is not used, so
/// that a draw leaves no state behind.
pub fn normal(rng: &mut impl Rng) -> f64 {
    // In (0, 1], where the logarithm is finite.
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - uniform(rng)));
    radius * libm::cos(2.0 * core::f64::consts::PI * uniform(rng))
}

/// Puts `items` in random order, every order equally likely (Fisher and Yates).
pub fn shuffle<T>(rng: &mut impl Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(rng, i as u64 + 1) as usize);
    }
}

/// Draws `k` of `items` without replacement: they come to the front, in random order, and are returned.
///
/// With fewer than `k` items, all of them are drawn.
pub fn sample_without_replacement<'a, T>(
    rng: &mut impl Rng,
    items: &'a mut [T],
    k: usize,
) -> &'a mut [T] {
    let k = k.min(items.len());
    for i in 0..k {
        let left = (items.len() - i) as u64;
        items.swap(i, i + below(rng, left) as usize);
    }
    &mut items[..k]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng(a: u64) -> Xoshiro256PlusPlus {
        stream(1, Purpose::Test, a, 0)
    }

    #[test]
    fn finalizer_is_splitmix64s() {
        // The first output of SplitMix64 from state 0, from its published C source.
        assert_eq!(mix64(GOLDEN), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix64(0), 0);
    }

    #[test]
    fn streams_are_told_apart_by_every_part_of_their_name() {
        let keys = [
            key(0, Purpose::Test, 0, 0),
            key(1, Purpose::Test, 0, 0),
            key(0, Purpose::Phantom, 0, 0),
            key(0, Purpose::Test, 1, 0),
            key(0, Purpose::Test, 0, 1),
            key(0, Purpose::Test, 1, 1),
        ];
        for i in 0..keys.len() {
            for j in 0..i {
                assert_ne!(keys[i], keys[j]);
            }
        }
        let first = |layer, block| mask_stream(keys[0], layer, block).next_u32();
        assert_ne!(first(0, 1), first(1, 0));
        assert_ne!(first(0, 0), mask_stream(keys[1], 0, 0).next_u32());
    }

    #[test]
    fn below_is_fair() {
        let (mut counts, mut rng) = ([0u32; 7], rng(0));
        for _ in 0..70_000 {
            counts[below(&mut rng, 7) as usize] += 1;
        }
        // Six standard deviations of a binomial draw around 10,000.
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 560), "{counts:?}");
        assert_eq!(below(&mut rng, 1), 0);
    }

    #[test]
    fn normal_draws_have_the_moments_of_the_distribution() {
        let (mut rng, count) = (rng(1), 100_000);
        let (mut sum, mut squares, mut fourth) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            let x = normal(&mut rng);
            assert!(x.is_finite());
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
        }
        let count = f64::from(count);
        assert!((sum / count).abs() < 0.02);
        assert!((squares / count - 1.0).abs() < 0.03);
        assert!((fourth / count - 3.0).abs() < 0.2);
    }

    #[test]
    fn shuffle_keeps_every_item_and_is_fair() {
        let mut first = [0u32; 5];
        let mut rng = rng(2);
        for _ in 0..50_000 {
            let mut items = [0, 1, 2, 3, 4];
            shuffle(&mut rng, &mut items);
            first[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        assert!(first.iter().all(|&c| c.abs_diff(10_000) < 560), "{first:?}");
        shuffle(&mut rng, &mut [0u8; 0]);
    }

    #[test]
    fn samples_are_distinct() {
        let mut rng = rng(3);
        let mut items: [usize; 20] = core::array::from_fn(|i| i);
        let picked = sample_without_replacement(&mut rng, &mut items, 8);
        assert_eq!(picked.len(), 8);
        picked.sort_unstable();
        assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(sample_without_replacement(&mut rng, &mut items, 99).len(), 20);
    }
}
