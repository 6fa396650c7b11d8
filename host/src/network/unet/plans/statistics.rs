//! The plan that measures batch norm's statistics anew.

use super::{Banks, Mode, Net};
use crate::compute::plan::{BufferId, Plan};
use crate::network::unet::UNet;

/// A forward pass that leaves the mean and variance of each normalised map, over its patches, in
/// the bank of statistics: the section `statistics`.
#[derive(Clone, Debug)]
pub struct StatisticsPlan {
    /// The steps.
    pub plan: Plan,
    /// Input `[n, sections, h, w]`, normalised grey values.
    pub x: BufferId,
    /// Input `[n, 2]`, `u32`, under dropout: the dropout key of each sample, low word first.
    pub keys: Option<BufferId>,
    /// The shared buffers that hold the network.
    pub banks: Banks,
}

/// Statistics of `n` patches of `h x w`, with dropout or without.
pub fn statistics_plan(net: &UNet, [n, h, w]: [usize; 3], dropout: bool) -> StatisticsPlan {
    let mode = Mode::Statistics { dropout };
    let mut g = Net::new(net, mode, "statistics", "statistics", [n, h, w]);
    g.forward();
    StatisticsPlan {
        x: g.x.buffer,
        keys: g.keys.map(|view| view.buffer),
        banks: g.banks(),
        plan: g.b.build(),
    }
}
