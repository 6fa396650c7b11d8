//! The operations of askem as compute shaders in WGSL.
//!
//! `shaders/OP.wgsl` is the twin of the reference `askem_kernels::OP`, with an entry point named after each
//! pass. They are spliced, validated and reflected when the crate is built, so that [`SHADERS`] knows
//! the bindings of every pass and nobody types a number twice. [`launch()`] says how many workgroups a
//! [`Call`](askem_kernels::Call) needs. The crate creates no device: it holds text and numbers.

mod launch;
pub mod memory_model;
mod specialised;
mod stored;

pub use askem_kernels::Element;
pub use launch::{Launch, MAX_WORKGROUPS, entry_of, launch, launch_form};

/// The shader of an op.
#[derive(Debug)]
pub struct Shader {
    /// The op: file stem in `kernels/src` and `wgsl/shaders`.
    pub op: &'static str,
    /// Bytes of `Params`, the uniform at binding 0.
    pub params_size: u32,
    /// The members of `Params`, in order.
    pub params: &'static [Member],
    /// The passes, in the order of the file.
    pub entries: &'static [Entry],
}

/// A member of `Params`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name, as in the op's Rust struct.
    pub name: &'static str,
    /// Bytes before it.
    pub offset: u32,
    /// What it holds.
    pub element: Element,
    /// How many of them, if it is an array.
    pub len: Option<u32>,
}

/// A pass, with one entry point of the same name.
#[derive(Debug)]
pub struct Entry {
    /// The pass, and the name of the entry point.
    pub pass: &'static str,
    /// The storage buffers in group 0, binding 1 and on; binding 0 is the uniform `Params`.
    pub bindings: &'static [Binding],
    /// Ways to compute the same: shapes of tiles, then those by Winograd's algorithm and those for matrix units. The first runs on
    /// every device, and for every call.
    pub forms: &'static [Form],
}

/// One way to compute a pass: a module of its own.
#[derive(Debug)]
pub struct Form {
    /// The side of the square matrices, if it is a form for matrix units (cooperative matrices, with factors of f16 and
    /// sums of f32); such a form needs f16, subgroups and cooperative matrices.
    pub side: Option<u32>,
    /// Whether it computes 3x3 convolutions by Winograd's F(2x2, 3x3): wrong for other kernels, and less exact than a sum over few
    /// channels.
    pub is_winograd: bool,
    /// Invocations in a workgroup.
    pub workgroup_size: [u32; 3],
    /// The module's constants of type `u32`, such as the sizes of tiles.
    pub constants: &'static [(&'static str, u32)],
    text: &'static str,
}

/// A storage buffer of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The number in group 0.
    pub binding: u32,
    /// The name, as in the pass's signature.
    pub name: &'static str,
    /// Whether the pass writes it (`read_write`), or reads only (`read`).
    pub writable: bool,
    /// What the buffer holds.
    pub element: Element,
    /// Whether its numbers may lie there as f16; see [`Form::source`].
    pub may_hold_f16: bool,
}

impl Form {
    /// The value of a constant of the module.
    ///
    /// # Panics
    /// If the module has no `u32` constant of that name: a mistake of the programmer.
    pub fn constant(&self, name: &str) -> u32 {
        self.find_constant(name).unwrap_or_else(|| panic!("no constant is named `{name}`"))
    }

    /// The value of a constant that not every module has.
    pub fn find_constant(&self, name: &str) -> Option<u32> {
        self.constants.iter().find(|(constant, _)| *constant == name).map(|&(_, value)| value)
    }

    /// What tells it from the other forms of its pass: `plain`, `tile16`, `winograd-tile32` or
    /// `matrix16-tile32`.
    pub fn name(&self) -> String {
        let kind = match self.side {
            Some(side) => format!("matrix{side}"),
            None if self.is_winograd => "winograd".into(),
            None => String::new(),
        };
        // Gradients of a transposed convolution's input have tiles of its channels.
        let tile = self.find_constant("TILE_OUT").or(self.find_constant("TILE_IN"));
        match (kind.as_str(), tile) {
            ("", None) => "plain".into(),
            ("", Some(tile)) => format!("tile{tile}"),
            (_, None) => kind,
            (_, Some(tile)) => format!("{kind}-tile{tile}"),
        }
    }

    /// The module in which the buffers of these names hold f16 and all others f32.
    pub fn source(&self, halves: &[&str]) -> String {
        stored::module(self.text, self.side, halves)
    }
}

impl Entry {
    /// The names of the buffers that may hold f16.
    pub fn stored(&self) -> impl Iterator<Item = &'static str> {
        self.bindings.iter().filter(|binding| binding.may_hold_f16).map(|binding| binding.name)
    }
}

/// The shader and entry of a pass.
pub fn find(op: &str, pass: &str) -> Option<(&'static Shader, &'static Entry)> {
    let shader = SHADERS.iter().find(|shader| shader.op == op)?;
    Some((shader, shader.entries.iter().find(|entry| entry.pass == pass)?))
}

include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

#[cfg(test)]
mod tests;
