//! Shapes and memory order, said once.
//!
//! All arrays are dense and row-major. Images are `[n, c, h, w]` (NCHW): the sample
//! varies slowest, then the channel, the row and the column. `hw` is `h * w` where an
//! op does not care about neighbours. Convolution weights are `[c_out, c_in, k, k]`
//! (OIHW), transposed ones `[c_in, c_out, k, k]` (IOHW), as PyTorch keeps them.
//! Points are `[rows, dim]`.

use crate::error::Error;

/// What every op's `Params` knows about its buffers.
pub trait Shape: bytemuck::Pod {
    /// The op's name.
    const OP: &'static str;

    /// Elements of the buffer with this name in the op's signatures.
    ///
    /// # Panics
    /// If the op has no buffer of that name: a mistake of the programmer.
    fn len(&self, buffer: &str) -> usize;

    /// Refuses parameters that make no sense, such as a size of zero.
    fn validate(&self) -> Result<(), Error>;

    /// Validates the parameters and the lengths `(name, elements)` of all buffers.
    fn check(&self, pass: &'static str, buffers: &[(&'static str, usize)]) -> Result<(), Error> {
        self.validate()?;
        for &(buffer, got) in buffers {
            let expected = self.len(buffer);
            if got != expected {
                return Err(Error::Length { pass, buffer, expected, got });
            }
        }
        Ok(())
    }
}
