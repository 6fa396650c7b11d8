//! Laws of the references, in f64: what has to hold whoever wrote them. Parity binds the shaders and the fast forms to the
//! references, and the laws bind the references to mathematics.

mod distances;
mod env;
mod gradients;
#[path = "../shared/memory.rs"]
mod memory;
mod scores;
