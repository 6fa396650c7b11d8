//! Buffers of calls at any precision.

use askem_kernels::{Arg, ArgMut, Call, Element, Error, Real};

/// The contents of a buffer.
#[derive(Clone, Debug)]
pub(crate) enum Memory<T> {
    Float(Vec<T>),
    Uint(Vec<u32>),
}

/// What no index reaches and no label is.
const NO_INDEX: u32 = u32::MAX;

impl<T: Real> Memory<T> {
    /// Zeros, as executors hand out kept and shared buffers.
    pub(crate) fn zeros(element: Element, len: usize) -> Self {
        match element {
            Element::Float => Self::Float(vec![T::ZERO; len]),
            Element::Uint => Self::Uint(vec![0; len]),
        }
    }

    /// What shows in every result that depends on it.
    pub(crate) fn garbage(element: Element, len: usize) -> Self {
        match element {
            Element::Float => Self::Float(vec![T::from_f64(f64::NAN); len]),
            Element::Uint => Self::Uint(vec![NO_INDEX; len]),
        }
    }

    pub(crate) fn floats(&self) -> &[T] {
        match self {
            Self::Float(values) => values,
            Self::Uint(_) => panic!("the buffer holds integers"),
        }
    }

    pub(crate) fn arg(&self) -> Arg<'_, T> {
        match self {
            Self::Float(values) => Arg::Float(values),
            Self::Uint(values) => Arg::Uint(values),
        }
    }

    pub(crate) fn arg_mut(&mut self) -> ArgMut<'_, T> {
        match self {
            Self::Float(values) => ArgMut::Float(values),
            Self::Uint(values) => ArgMut::Uint(values),
        }
    }
}

/// Runs the reference of a call on buffers in the order of its signature.
pub(crate) fn reference<T: Real>(
    call: &Call,
    reads: &[Memory<T>],
    writes: &mut [Memory<T>],
) -> Result<(), Error> {
    let reads: Vec<_> = reads.iter().map(Memory::arg).collect();
    let mut writes: Vec<_> = writes.iter_mut().map(Memory::arg_mut).collect();
    call.reference(&reads, &mut writes)
}
