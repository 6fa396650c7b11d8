//! Work spread over threads where the feature `rayon` is on, and done in order where it is not.
//!
//! Every helper cuts its work into pieces whose sizes are given by the caller and never
//! by the number of threads, and no piece sees another's results: the bits that come out are
//! the same for any number of threads, and without threads.

use core::ops::Range;

#[cfg(feature = "rayon")]
use rayon::prelude::*;

/// Calls `f(i, piece)` for the consecutive pieces of `data` of `chunk` elements (the last may be shorter).
pub(crate) fn for_each_chunk_mut<T: Send>(
    data: &mut [T],
    chunk: usize,
    f: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    // One piece is not worth waking a thread for.
    #[cfg(feature = "rayon")]
    if data.len() > chunk {
        data.par_chunks_mut(chunk).enumerate().for_each(|(i, piece)| f(i, piece));
        return;
    }
    data.chunks_mut(chunk).enumerate().for_each(|(i, piece)| f(i, piece));
}

/// Calls `f(i, piece_a, piece_b)` for the `i`-th pieces of two arrays, which have the same number of pieces.
pub(crate) fn for_each_chunk2_mut<A: Send, B: Send>(
    a: &mut [A],
    chunk_a: usize,
    b: &mut [B],
    chunk_b: usize,
    f: impl Fn(usize, &mut [A], &mut [B]) + Send + Sync,
) {
    debug_assert_eq!(a.len().div_ceil(chunk_a), b.len().div_ceil(chunk_b));
    #[cfg(feature = "rayon")]
    if a.len() > chunk_a {
        a.par_chunks_mut(chunk_a)
            .zip(b.par_chunks_mut(chunk_b))
            .enumerate()
            .for_each(|(i, (a, b))| f(i, a, b));
        return;
    }
    a.chunks_mut(chunk_a).zip(b.chunks_mut(chunk_b)).enumerate().for_each(|(i, (a, b))| f(i, a, b));
}

/// Calls `f(i, piece_a, piece_b, piece_c)` for the `i`-th pieces of three arrays.
pub(crate) fn for_each_chunk3_mut<A: Send, B: Send, C: Send>(
    (a, chunk_a): (&mut [A], usize),
    (b, chunk_b): (&mut [B], usize),
    (c, chunk_c): (&mut [C], usize),
    f: impl Fn(usize, &mut [A], &mut [B], &mut [C]) + Send + Sync,
) {
    debug_assert_eq!(a.len().div_ceil(chunk_a), b.len().div_ceil(chunk_b));
    debug_assert_eq!(a.len().div_ceil(chunk_a), c.len().div_ceil(chunk_c));
    #[cfg(feature = "rayon")]
    if a.len() > chunk_a {
        a.par_chunks_mut(chunk_a)
            .zip(b.par_chunks_mut(chunk_b))
            .zip(c.par_chunks_mut(chunk_c))
            .enumerate()
            .for_each(|(i, ((a, b), c))| f(i, a, b, c));
        return;
    }
    a.chunks_mut(chunk_a)
        .zip(b.chunks_mut(chunk_b))
        .zip(c.chunks_mut(chunk_c))
        .enumerate()
        .for_each(|(i, ((a, b), c))| f(i, a, b, c));
}

/// Calls `f(range, part)` for the units below `units`, in groups of `group`; `part` is what of `data` belongs to the group's
/// units, of which unit `i` begins at `start(i)`.
pub(crate) fn for_each_group_mut<T: Send>(
    data: &mut [T],
    units: usize,
    group: usize,
    start: impl Fn(usize) -> usize + Send + Sync,
    f: impl Fn(Range<usize>, &mut [T]) + Send + Sync,
) {
    halves(data, 0..units.div_ceil(group), &|g| start((g * group).min(units)), &|g, part| {
        f(g * group..((g + 1) * group).min(units), part);
    });
}

/// Halves the groups until one is left, so that the parts are cut without a list of them.
fn halves<T: Send>(
    data: &mut [T],
    groups: Range<usize>,
    start: &(impl Fn(usize) -> usize + Sync),
    f: &(impl Fn(usize, &mut [T]) + Sync),
) {
    if groups.len() <= 1 {
        let part = start(groups.start);
        let len = (start(groups.end) - part).min(data.len());
        return groups.into_iter().for_each(|g| f(g, &mut data[..len]));
    }
    let middle = groups.start + groups.len() / 2;
    let (a, b) = data.split_at_mut(start(middle) - start(groups.start));
    let (first, second) = (groups.start..middle, middle..groups.end);
    #[cfg(feature = "rayon")]
    rayon::join(|| halves(a, first, start, f), || halves(b, second, start, f));
    #[cfg(not(feature = "rayon"))]
    {
        halves(a, first, start, f);
        halves(b, second, start, f);
    }
}

/// Calls `f(i)` for every `i` below `count`.
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) fn for_each_index(count: usize, f: impl Fn(usize) + Send + Sync) {
    #[cfg(feature = "rayon")]
    if count > 1 {
        (0..count).into_par_iter().for_each(f);
        return;
    }
    (0..count).for_each(f);
}

/// `[f(0), f(1), ..]`: the partial results of a reduction, for the caller to fold in this order.
pub(crate) fn map_indices<T: Send>(count: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    #[cfg(feature = "rayon")]
    if count > 1 {
        return (0..count).into_par_iter().map(f).collect();
    }
    (0..count).map(f).collect()
}

/// A run of neighbouring pixels of one sample of an `[n, c, hw]` array, over all of its channels.
pub(crate) struct Tile<'a, T> {
    /// The sample.
    pub(crate) sample: usize,
    /// The first pixel within the sample's planes.
    pub(crate) start: usize,
    /// The run in each channel.
    pub(crate) channels: Vec<&'a mut [T]>,
}

/// Calls `f` for the tiles of `tile` pixels (the last of a sample may be shorter) of `data`, `[n, c, hw]`.
pub(crate) fn for_each_tile_mut<T: Send>(
    data: &mut [T],
    c: usize,
    hw: usize,
    tile: usize,
    f: impl Fn(Tile<'_, T>) + Send + Sync,
) {
    let per_sample = hw.div_ceil(tile);
    let mut tiles: Vec<Tile<'_, T>> = Vec::with_capacity(data.len() / (c * hw) * per_sample);
    for (sample, planes) in data.chunks_mut(c * hw).enumerate() {
        let first = tiles.len();
        tiles.extend((0..per_sample).map(|i| Tile {
            sample,
            start: i * tile,
            channels: Vec::with_capacity(c),
        }));
        for plane in planes.chunks_mut(hw) {
            for (i, run) in plane.chunks_mut(tile).enumerate() {
                tiles[first + i].channels.push(run);
            }
        }
    }
    #[cfg(feature = "rayon")]
    if tiles.len() > 1 {
        tiles.into_par_iter().for_each(f);
        return;
    }
    tiles.into_iter().for_each(f);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_numbered_and_complete() {
        let mut a = [0usize; 10];
        for_each_chunk_mut(&mut a, 4, |i, piece| piece.fill(i * 10 + piece.len()));
        assert_eq!(a, [4, 4, 4, 4, 14, 14, 14, 14, 22, 22]);
        let (mut b, mut c) = ([0usize; 3], [0usize; 3]);
        for_each_chunk2_mut(&mut a, 4, &mut b, 1, |i, a, b| b[0] = a[0] + i);
        assert_eq!(b, [4, 15, 24]);
        for_each_chunk3_mut((&mut a, 4), (&mut b, 1), (&mut c, 1), |i, a, b, c| {
            c[0] = a.len() + b[0] + i;
        });
        assert_eq!(c, [8, 20, 28]);
        assert_eq!(map_indices(4, |i| i * i), [0, 1, 4, 9]);
    }

    #[test]
    fn every_index_is_visited_once() {
        use core::sync::atomic::{AtomicUsize, Ordering};
        let sum = AtomicUsize::new(0);
        for_each_index(100, |i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }

    /// The same bits from one, two and five threads.
    #[cfg(feature = "rayon")]
    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        use crate::tolerance::testing::draw;
        use crate::{cross_entropy, k_means};
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let p = k_means::Params { rows: 1000, k: 7, dim: 33 };
                let points = draw(1, 33_000, -1.0..1.0);
                let mut centroids = points[..231].to_vec();
                let (mut assignment, mut sq_dist) = (vec![0; 1000], vec![0.0; 1000]);
                let (mut changes, mut movements) = ([0; 32], [0.0; 7]);
                k_means::fast::assign(
                    &p,
                    &points,
                    &centroids,
                    &[0; 2],
                    &mut assignment,
                    &mut sq_dist,
                    &mut changes,
                )
                .unwrap();
                k_means::fast::update(
                    &p,
                    &points,
                    &assignment,
                    &[0; 2],
                    &mut centroids,
                    &mut movements,
                )
                .unwrap();
                let p = cross_entropy::Params { n: 3, c: 2, hw: 5000, ignore_label: 9 };
                let logits = draw(2, 30_000, -5.0..5.0);
                let labels: Vec<u32> = (0..15_000).map(|i| i % 2).collect();
                let (mut partials, mut loss) = (vec![0.0; 30], [0.0; 3]);
                cross_entropy::fast::forward(&p, &logits, &labels, &[1.0, 2.0], &mut partials)
                    .unwrap();
                cross_entropy::fast::reduce(&p, &partials, &mut loss).unwrap();
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                (
                    bits(&centroids),
                    assignment,
                    bits(&sq_dist),
                    bits(&movements),
                    bits(&partials),
                    bits(&loss),
                )
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }

    #[test]
    fn tiles_hold_the_same_pixels_of_every_channel() {
        let (n, c, hw) = (2, 3, 5);
        let mut data = vec![0; n * c * hw];
        for_each_tile_mut(&mut data, c, hw, 2, |tile| {
            for (ch, run) in tile.channels.into_iter().enumerate() {
                for (i, value) in run.iter_mut().enumerate() {
                    *value += (tile.sample * c + ch) * hw + tile.start + i;
                }
            }
        });
        assert!(data.iter().enumerate().all(|(i, &value)| i == value));
    }
}
