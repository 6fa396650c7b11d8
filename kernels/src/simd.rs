//! Vector instructions, chosen at run time, and buffers that are used again.
//!
//! A fast form writes its inner loop once. A plain loop that the compiler vectorises by itself goes
//! through [`vectorize`]; one that has to hold its sums in registers is a [`Kernel`], generic over
//! [`Simd`]. Both are compiled for each set of instructions and the best one that the machine has runs.
//! Results may differ between sets of instructions in the last bits, since only some fuse multiply and add.

// The crate's one place with unsafe code: loads and stores of vectors through pointers, and calls of
// functions that need instructions which only a check at run time can promise.
#![allow(unsafe_code)]

mod loops;
pub(crate) mod product;
mod scratch;
pub(crate) mod winograd;

pub(crate) use loops::{PIECE, channel_sums, for_each_plane_mut, map, map2, sum_of, sums_of};
pub(crate) use scratch::Scratch;

/// A set of vector instructions. A value of the type is the proof that the machine has them.
pub(crate) trait Simd: Copy {
    /// A vector of [`LANES`](Self::LANES) numbers.
    type Vector: Copy;
    /// Numbers in a vector.
    const LANES: usize;
    /// Rows of the tile of `ROWS` x 3 vectors that fits in the registers beside its operands.
    const ROWS: usize;
    /// Rows of the tile of `TILE` x 2 vectors that fits in the registers beside its operands.
    const TILE: usize;
    /// `[x; LANES]`.
    fn splat(self, x: f32) -> Self::Vector;
    /// The first `LANES` elements.
    ///
    /// # Panics
    /// If there are fewer.
    fn load(self, from: &[f32]) -> Self::Vector;
    /// Writes the first `LANES` elements.
    ///
    /// # Panics
    /// If there are fewer.
    fn store(self, x: Self::Vector, to: &mut [f32]);
    /// `a * b + c`, fused where the machine does so at full speed.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a + b`
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of both; `b` where one is not a number.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `x` where `condition` is above zero, else 0.
    fn where_positive(self, condition: Self::Vector, x: Self::Vector) -> Self::Vector;
    /// Reads a vector.
    ///
    /// # Safety
    /// `LANES` numbers lie there.
    unsafe fn read(self, from: *const f32) -> Self::Vector;
    /// Writes a vector.
    ///
    /// # Safety
    /// There is room for `LANES` numbers.
    unsafe fn write(self, x: Self::Vector, to: *mut f32);
}

/// An inner loop that is compiled for each set of instructions.
pub(crate) trait Kernel {
    /// What the loop gives back.
    type Output;
    /// The loop. To be marked `#[inline(always)]`, and with it all that it calls for each element.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Instructions that every machine of the target has.
#[derive(Clone, Copy)]
pub(crate) struct Baseline;

/// Four lanes: what SSE2 and NEON hold; other machines see short loops.
impl Simd for Baseline {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    // SSE2 has 16 registers, NEON 32.
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };
    const TILE: usize = if cfg!(target_arch = "aarch64") { 12 } else { 6 };
    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> [f32; 4] {
        [from[0], from[1], from[2], from[3]]
    }
    #[inline(always)]
    fn store(self, x: [f32; 4], to: &mut [f32]) {
        to[..4].copy_from_slice(&x);
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        let mut sum = c;
        for i in 0..4 {
            // Without the instruction `mul_add` is a slow function of libm.
            sum[i] = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            };
        }
        sum
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn where_positive(self, condition: [f32; 4], x: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| if condition[i] > 0.0 { x[i] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn read(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller promises four numbers.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn write(self, x: [f32; 4], to: *mut f32) {
        // SAFETY: the caller promises room for four numbers.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(x) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;

    use super::{Kernel, Simd};

    /// Proof of AVX2 and FMA: 16 registers of 8 lanes.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(());
    /// Proof of AVX-512 F: 32 registers of 16 lanes.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512(());

    macro_rules! simd {
        ($token:ident, $vector:ident, $lanes:literal, $rows:literal, $tile:literal,
         $set1:ident, $load:ident, $store:ident, $fmadd:ident,
         $add:ident, $sub:ident, $mul:ident, $max:ident, $where_positive:item) => {
            impl Simd for $token {
                type Vector = $vector;
                const LANES: usize = $lanes;
                const ROWS: usize = $rows;
                const TILE: usize = $tile;
                #[inline(always)]
                fn splat(self, x: f32) -> $vector {
                    // SAFETY: `self` proves that the machine has the instruction.
                    unsafe { $set1(x) }
                }
                #[inline(always)]
                fn load(self, from: &[f32]) -> $vector {
                    let from = &from[..$lanes];
                    // SAFETY: `self` proves the instruction; the slice holds all lanes.
                    unsafe { $load(from.as_ptr()) }
                }
                #[inline(always)]
                fn store(self, x: $vector, to: &mut [f32]) {
                    let to = &mut to[..$lanes];
                    // SAFETY: `self` proves the instruction; the slice holds all lanes.
                    unsafe { $store(to.as_mut_ptr(), x) }
                }
                #[inline(always)]
                fn mul_add(self, a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: `self` proves that the machine has the instruction.
                    unsafe { $fmadd(a, b, c) }
                }
                #[inline(always)]
                fn add(self, a: $vector, b: $vector) -> $vector {
                    // SAFETY: `self` proves that the machine has the instruction.
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                fn sub(self, a: $vector, b: $vector) -> $vector {
                    // SAFETY: `self` proves that the machine has the instruction.
                    unsafe { $sub(a, b) }
                }
                #[inline(always)]
                fn mul(self, a: $vector, b: $vector) -> $vector {
                    // SAFETY: `self` proves that the machine has the instruction.
                    unsafe { $mul(a, b) }
                }
                #[inline(always)]
                fn max(self, a: $vector, b: $vector) -> $vector {
                    // SAFETY: `self` proves that the machine has the instruction.
                    unsafe { $max(a, b) }
                }
                $where_positive
                #[inline(always)]
                unsafe fn read(self, from: *const f32) -> $vector {
                    // SAFETY: `self` proves the instruction; the caller promises the numbers.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn write(self, x: $vector, to: *mut f32) {
                    // SAFETY: `self` proves the instruction; the caller promises the room.
                    unsafe { $store(to, x) }
                }
            }
        };
    }

    simd!(
        Avx2,
        __m256,
        8,
        4,
        6,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_max_ps,
        #[inline(always)]
        fn where_positive(self, condition: __m256, x: __m256) -> __m256 {
            // SAFETY: `self` proves that the machine has the instructions.
            unsafe { _mm256_and_ps(x, _mm256_cmp_ps::<_CMP_GT_OQ>(condition, _mm256_setzero_ps())) }
        }
    );
    simd!(
        Avx512,
        __m512,
        16,
        8,
        12,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_max_ps,
        #[inline(always)]
        fn where_positive(self, condition: __m512, x: __m512) -> __m512 {
            // SAFETY: `self` proves that the machine has the instructions.
            unsafe {
                let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(condition, _mm512_setzero_ps());
                _mm512_maskz_mov_ps(positive, x)
            }
        }
    );

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx2(()))
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    pub(super) fn avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx512(()))
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2_loop<R>(f: impl FnOnce() -> R) -> R {
        f()
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    pub(super) fn avx512_loop<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// The sets of instructions that code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// What the target promises.
    Baseline,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with the parts F, VL, DQ and BW.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best one that this machine has. The standard library remembers what it finds.
    #[inline]
    pub(crate) fn best() -> Self {
        #[cfg(test)]
        if let Some(level) = testing::FORCED.get() {
            return level;
        }
        Self::found()
    }

    fn found() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("fma") {
                return Self::Baseline;
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
            {
                return Self::Avx512;
            }
            Self::Avx2
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::Baseline
    }

    /// [`Simd::LANES`] and [`Simd::ROWS`] at this level, for those who lay out its data.
    pub(crate) fn tile(self) -> (usize, usize) {
        match self {
            Self::Baseline => (Baseline::LANES, Baseline::ROWS),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => (x86::Avx2::LANES, x86::Avx2::ROWS),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => (x86::Avx512::LANES, x86::Avx512::ROWS),
        }
    }

    /// Runs the kernel with this level's instructions.
    ///
    /// # Panics
    /// If the machine does not have them.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            let best = Self::found();
            if self == Self::Avx512 {
                assert!(best == Self::Avx512);
                // SAFETY: the best level is AVX-512 only where all its parts were found.
                return unsafe { x86::avx512(kernel) };
            }
            if self == Self::Avx2 {
                assert!(best != Self::Baseline);
                // SAFETY: all levels above the baseline have AVX2 and FMA.
                return unsafe { x86::avx2(kernel) };
            }
        }
        kernel.run(Baseline)
    }
}

/// Runs the kernel with the best instructions that the machine has.
#[inline]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    Level::best().run(kernel)
}

/// Runs a plain loop, compiled for the widest vectors that the machine has.
///
/// The closure has to be marked `#[inline(always)]`, as must be what it calls for each element:
/// `vectorize(#[inline(always)] move || for y in y { *y *= 2.0 })`.
#[inline]
pub(crate) fn vectorize<R>(f: impl FnOnce() -> R) -> R {
    match Level::best() {
        // SAFETY: the level says that the instructions were found.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::avx512_loop(f) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::avx2_loop(f) },
        Level::Baseline => f(),
    }
}

/// Asks for numbers that are read soon, where a processor can't guess the place. Changes no result.
#[inline(always)]
pub(crate) fn prefetch(numbers: &[f32]) {
    // Every x86-64 has lines of 64 bytes and the instruction. Elsewhere the processor's own guesses have to do.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for line in numbers.chunks(16) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of every x86-64, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = numbers;
}

/// Lower sets of instructions than the machine's best, for tests.
#[cfg(test)]
pub(crate) mod testing {
    use core::cell::Cell;

    use super::Level;

    std::thread_local! {
        pub(super) static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
    }

    /// All levels of this machine.
    pub(crate) fn levels() -> Vec<Level> {
        let mut levels = vec![Level::Baseline];
        #[cfg(target_arch = "x86_64")]
        levels.extend([Level::Avx2, Level::Avx512]);
        let best = levels.iter().position(|&level| level == Level::found()).unwrap();
        levels.truncate(best + 1);
        levels
    }

    /// Calls `f` once for every level of this machine, on this thread alone.
    pub(crate) fn on_every_level(f: impl Fn() + Send + Sync) {
        let on_level = |level| {
            FORCED.set(Some(level));
            f();
            FORCED.set(None);
        };
        for level in levels() {
            #[cfg(feature = "rayon")]
            rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .build()
                .unwrap()
                .install(|| on_level(level));
            #[cfg(not(feature = "rayon"))]
            on_level(level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lanes;
    impl Kernel for Lanes {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32> {
            let x: Vec<f32> = (0..S::LANES).map(|i| i as f32).collect();
            let v = simd.mul_add(simd.load(&x), simd.splat(2.0), simd.splat(1.0));
            let mut y = vec![0.0; S::LANES];
            simd.store(v, &mut y);
            y
        }
    }

    #[test]
    fn every_level_of_this_machine_computes() {
        for level in testing::levels() {
            let want: Vec<f32> = (0..level.tile().0).map(|i| 2.0 * i as f32 + 1.0).collect();
            assert_eq!(level.run(Lanes), want, "{level:?}");
        }
        testing::on_every_level(|| {
            let x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
            assert_eq!(
                sum_of(
                    &x,
                    #[inline(always)]
                    move |x| x
                ),
                499_500.0
            );
            let sums = sums_of(
                &x,
                &x,
                #[inline(always)]
                move |x, y| [x + y, x - y],
            );
            assert_eq!(sums, [999_000.0, 0.0]);
        });
    }
}
