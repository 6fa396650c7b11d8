//! Buffers that are used again.

use core::cell::RefCell;

use bytemuck::{Pod, Zeroable};

/// A cache line: the unit of a [`Scratch`], so that vectors in it lie within lines.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([f32; 16]);

std::thread_local! {
    /// The buffers of this thread that are free.
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Working memory from the thread's own stock, to which it goes back when dropped.
///
/// Once a thread has done its largest piece of work it allocates no more. The stock is a
/// stack and not a single buffer because a thread that waits for others may take up their work.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    len: usize,
}

impl Scratch {
    /// `len` numbers of unknown value, at the start of a cache line.
    pub(crate) fn take(len: usize) -> Self {
        let mut lines = FREE.with(|free| free.borrow_mut().pop()).unwrap_or_default();
        let needed = len.div_ceil(16);
        if lines.len() < needed {
            lines.resize(needed, Line::zeroed());
        }
        Self { lines, len }
    }

    /// `len` times the same number.
    pub(crate) fn filled(len: usize, value: f32) -> Self {
        let mut scratch = Self::take(len);
        scratch.fill(value);
        scratch
    }
}

impl core::ops::Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl core::ops::DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = core::mem::take(&mut self.lines);
        // When the thread ends the stock may be gone already; then the buffer goes too.
        let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_aligned_and_comes_back() {
        let mut outer = Scratch::take(5);
        outer.fill(1.0);
        let mut inner = Scratch::take(100);
        inner.fill(2.0);
        assert_eq!(outer[..], [1.0; 5]);
        assert_eq!(inner.as_ptr() as usize % 64, 0);
        drop(inner);
        assert_eq!(Scratch::take(100)[99], 2.0);
    }
}
