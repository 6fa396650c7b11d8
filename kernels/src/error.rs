//! What an op refuses.

use core::fmt;

/// Why an op did not run. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A buffer's length is not the one that the parameters imply.
    Length {
        /// The op and pass, such as `conv2d::forward`.
        pass: &'static str,
        /// The buffer, named as in the function's signature.
        buffer: &'static str,
        /// Elements that the parameters imply.
        expected: usize,
        /// Elements that came.
        got: usize,
    },
    /// The parameters themselves make no sense.
    Params {
        /// The op.
        op: &'static str,
        /// What is wrong and what would be right.
        what: &'static str,
    },
    /// A call came with the wrong number or element type of buffers.
    Arguments {
        /// The op and pass.
        pass: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { pass, buffer, expected, got } => write!(
                f,
                "{pass}: `{buffer}` holds {got} elements where its parameters imply {expected}"
            ),
            Self::Params { op, what } => write!(f, "{op}: {what}"),
            Self::Arguments { pass } => {
                write!(f, "{pass}: wrong number or element type of buffers")
            }
        }
    }
}

impl core::error::Error for Error {}
