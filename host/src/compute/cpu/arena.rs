//! One block of memory for all that fused steps keep, shared by what is not needed at the same time.

use std::mem;
use std::ops::Range;

/// A part of the arena, known by number until all parts are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region(usize);

/// Regions with the times of their first and last use.
#[derive(Debug, Default)]
pub(super) struct Regions {
    wanted: Vec<(usize, Range<usize>)>,
}

/// Regions begin at multiples of so many numbers: whole lines of the cache.
const LINE: usize = 16;

impl Regions {
    /// A region of `len` numbers that is used at `time`.
    pub(super) fn add(&mut self, len: usize, time: usize) -> Region {
        self.wanted.push((len.next_multiple_of(LINE), time..time));
        Region(self.wanted.len() - 1)
    }

    /// A region that nothing else may use.
    pub(super) fn add_forever(&mut self, len: usize) -> Region {
        self.wanted.push((len.next_multiple_of(LINE), 0..usize::MAX));
        Region(self.wanted.len() - 1)
    }

    /// Says that a region is used at `time` as well.
    pub(super) fn touch(&mut self, region: Region, time: usize) {
        let used = &mut self.wanted[region.0].1;
        *used = used.start.min(time)..used.end.max(time);
    }

    /// Makes a region last forever.
    pub(super) fn keep(&mut self, region: Region) {
        self.wanted[region.0].1 = 0..usize::MAX;
    }

    /// Gives every region its place, the largest first, each at the lowest one that is free all the while.
    pub(super) fn place(self) -> Places {
        let mut order: Vec<usize> = (0..self.wanted.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(self.wanted[i].0), i));
        let mut ranges = vec![0..0; self.wanted.len()];
        let mut placed: Vec<usize> = Vec::new();
        let mut len = 0;
        for i in order {
            let (size, used) = &self.wanted[i];
            let at_once = |&j: &usize| {
                let other: &Range<usize> = &self.wanted[j].1;
                other.start <= used.end && used.start <= other.end
            };
            let mut taken: Vec<Range<usize>> =
                placed.iter().filter(|j| at_once(j)).map(|&j| ranges[j].clone()).collect();
            taken.sort_by_key(|range| range.start);
            let mut start = 0;
            for range in taken {
                if start + size <= range.start {
                    break;
                }
                start = start.max(range.end);
            }
            ranges[i] = start..start + size;
            len = len.max(start + size);
            placed.push(i);
        }
        Places { ranges, len }
    }
}

/// Where every region lies.
#[derive(Debug, Default)]
pub(super) struct Places {
    ranges: Vec<Range<usize>>,
    /// Numbers of the arena.
    pub(super) len: usize,
}

impl Places {
    /// Where a region lies.
    pub(super) fn of(&self, region: Region) -> Range<usize> {
        self.ranges[region.0].clone()
    }

    /// Where a region lies, nowhere if there is none.
    pub(super) fn of_some(&self, region: Option<Region>) -> Range<usize> {
        region.map_or(0..0, |region| self.of(region))
    }
}

/// Borrows disjoint parts at the same time.
///
/// # Panics
/// If two of them overlap: a mistake of whoever made the plan.
pub(super) fn carve<const N: usize>(
    arena: &mut [f32],
    parts: [Range<usize>; N],
) -> [&mut [f32]; N] {
    let mut order: [usize; N] = std::array::from_fn(|i| i);
    order.sort_unstable_by_key(|&i| parts[i].start);
    let mut out: [&mut [f32]; N] = std::array::from_fn(|_| Default::default());
    let (mut rest, mut at) = (arena, 0);
    for i in order {
        let Range { start, end } = parts[i];
        if start == end {
            continue;
        }
        let (_, tail) = mem::take(&mut rest).split_at_mut(start - at);
        let (part, tail) = tail.split_at_mut(end - start);
        (out[i], rest, at) = (part, tail, end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_share_memory_unless_they_are_used_at_once() {
        let mut regions = Regions::default();
        let a = regions.add(100, 0);
        let b = regions.add(50, 1);
        let c = regions.add(100, 2);
        let forever = regions.add_forever(10);
        regions.touch(a, 1);
        regions.touch(b, 2);
        let places = regions.place();
        let apart = |x: Region, y: Region| {
            let (x, y) = (places.of(x), places.of(y));
            x.end <= y.start || y.end <= x.start
        };
        assert!(apart(a, b) && apart(b, c) && !apart(a, c));
        assert!([a, b, c].iter().all(|&x| apart(x, forever)));
        assert_eq!(places.len, 112 + 64 + 16);
    }

    #[test]
    fn parts_are_borrowed_in_any_order() {
        let mut arena: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let [a, none, b] = carve(&mut arena, [6..8, 0..0, 1..3]);
        assert_eq!((&a[..], &b[..], none.len()), (&[6.0, 7.0][..], &[1.0, 2.0][..], 0));
    }
}
