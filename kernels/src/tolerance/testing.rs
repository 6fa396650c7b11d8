//! What the unit tests of several ops share.

use core::ops::Range;

use super::{Tracked, compare};
use crate::rng::{Purpose, stream, uniform};
use crate::{Arg, ArgMut, Call, Element, Real};

/// `count` numbers, uniform in `range`, that `f32` holds exactly.
pub(crate) fn draw(seed: u64, count: usize, range: Range<f64>) -> Vec<f32> {
    let mut rng = stream(seed, Purpose::Test, count as u64, 0);
    let width = range.end - range.start;
    (0..count).map(|_| (range.start + width * uniform(&mut rng)) as f32).collect()
}

/// The same numbers as another scalar.
pub(crate) fn convert<T: Real>(x: &[f32]) -> Vec<T> {
    x.iter().map(|&x| T::from_f64(f64::from(x))).collect()
}

/// `count` integers below `n`.
pub(crate) fn draw_below(seed: u64, count: usize, n: u32) -> Vec<u32> {
    let mut rng = stream(seed, Purpose::Test, count as u64, 1);
    (0..count).map(|_| crate::rng::below(&mut rng, u64::from(n)) as u32).collect()
}

/// A pass's buffer.
#[derive(Clone, Debug)]
pub(crate) enum Buffer {
    Float(Vec<f32>),
    Uint(Vec<u32>),
}

impl Buffer {
    /// A buffer of floats that a pass has to write in full: NaN until then.
    pub(crate) fn unset(len: u32) -> Self {
        Self::Float(vec![f32::NAN; len as usize])
    }

    pub(crate) fn floats(&self) -> &[f32] {
        let Self::Float(x) = self else { panic!("a buffer of integers") };
        x
    }

    pub(crate) fn uints(&self) -> &[u32] {
        let Self::Uint(x) = self else { panic!("a buffer of floats") };
        x
    }
}

/// Runs the fast form and the tracked reference on the same buffers, and compares what they write as
/// floats; returns what the fast form wrote. Integers are for the caller to judge.
pub(crate) fn check_fast(call: Call, reads: &[Buffer], writes: &[Buffer]) -> Vec<Buffer> {
    let tracked = |buffers: &[Buffer]| -> Vec<Vec<Tracked>> {
        let floats = buffers.iter().map(|b| match b {
            Buffer::Float(x) => convert(x),
            Buffer::Uint(_) => Vec::new(),
        });
        floats.collect()
    };
    let tracked_reads = tracked(reads);
    let mut want = tracked(writes);
    let mut want_uints = writes.to_vec();
    let want_reads: Vec<Arg<'_, Tracked>> = reads
        .iter()
        .zip(&tracked_reads)
        .map(|(b, x)| match b {
            Buffer::Float(_) => Arg::Float(x),
            Buffer::Uint(x) => Arg::Uint(x),
        })
        .collect();
    let mut want_writes: Vec<ArgMut<'_, Tracked>> = want_uints
        .iter_mut()
        .zip(&mut want)
        .map(|(b, x)| match b {
            Buffer::Float(_) => ArgMut::Float(x),
            Buffer::Uint(x) => ArgMut::Uint(x),
        })
        .collect();
    call.reference(&want_reads, &mut want_writes).unwrap();

    let mut got = writes.to_vec();
    let got_reads: Vec<Arg<'_, f32>> = reads
        .iter()
        .map(|b| match b {
            Buffer::Float(x) => Arg::Float(x),
            Buffer::Uint(x) => Arg::Uint(x),
        })
        .collect();
    let mut got_writes: Vec<ArgMut<'_, f32>> = got
        .iter_mut()
        .map(|b| match b {
            Buffer::Float(x) => ArgMut::Float(x),
            Buffer::Uint(x) => ArgMut::Uint(x),
        })
        .collect();
    call.fast(&got_reads, &mut got_writes).unwrap();

    for (i, &(name, element)) in call.signature().writes.iter().enumerate() {
        if element == Element::Float
            && let Err(mismatch) = compare(got[i].floats(), &want[i])
        {
            panic!("{} `{name}`: {mismatch}", call.signature().name);
        }
    }
    got
}
