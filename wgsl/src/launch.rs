//! How many workgroups a pass needs.

use askem_kernels::Call;

use crate::{Entry, Form, Shader, find};

/// The most workgroups in one dimension that every device takes.
pub const MAX_WORKGROUPS: u32 = 65_535;

/// What to run for a [`Call`].
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// The op's shader.
    pub shader: &'static Shader,
    /// The pass: its entry point (`entry.pass`) and its bindings.
    pub entry: &'static Entry,
    /// The form, with the module.
    pub form: &'static Form,
    /// Workgroups to dispatch.
    pub workgroups: [u32; 3],
}

/// The pass of `call` in its first form, and the workgroups that its parameters ask for.
///
/// The parameters are taken as valid: `call.validate()` comes first.
///
/// # Panics
/// If the work needs more than 65,535 x 65,535 workgroups, which no device's memory could hold.
pub fn launch(call: &Call) -> Launch {
    launch_form(call, 0)
}

/// The same in the form of this number in `entry.forms`.
///
/// # Panics
/// As [`launch`], and if there is no such form.
pub fn launch_form(call: &Call, form: usize) -> Launch {
    let (shader, entry) = entry_of(call);
    let form = &entry.forms[form];
    Launch { shader, entry, form, workgroups: fold(workgroups(call, form)) }
}

/// The shader and pass of a call.
pub fn entry_of(call: &Call) -> (&'static Shader, &'static Entry) {
    let signature = call.signature();
    // A unit test goes through all signatures, so that this holds for every call there is.
    find(signature.op, signature.pass).expect("every pass has a shader")
}

/// Workgroups in a line. Sizes of tiles come from the shader's constants.
fn workgroups(call: &Call, form: &Form) -> u64 {
    let wide = u64::from;
    // Blocks of a constant's size that cover `len`.
    let blocks = |len: u64, constant: &str| len.div_ceil(wide(form.constant(constant)));
    let lanes = |len: u64| blocks(len, "WORKGROUP");
    // Planes of `size` elements, of which a workgroup takes one chunk: shared/planes.wgsl.
    let planes = |planes: u64, size: u32| planes * blocks(wide(size), "CHUNK");

    // Samples, channels, rows and columns of what shared/conv_tile.wgsl writes.
    let conv_tiles = |[n, c, h, w]: [u32; 4]| {
        let tiles_out = blocks(wide(c), "TILE_OUT");
        if form.is_winograd {
            let cells = blocks(wide(w), "CELL_SIDE") * blocks(wide(h), "CELL_SIDE");
            return tiles_out * blocks(wide(n) * cells, "TILE_CELLS");
        }
        wide(n) * tiles_out * blocks(wide(w), "TILE_W") * blocks(wide(h), "TILE_H")
    };

    match call {
        Call::Conv2dForward(p) => conv_tiles([p.n, p.c_out, p.h, p.w]),
        Call::Conv2dBackwardInput(p) => conv_tiles([p.n, p.c_in, p.h, p.w]),
        Call::Conv2dJoinedForward(p) => conv_tiles([p.n, p.c_out, p.h, p.w]),
        Call::Conv2dJoinedBackwardInput(p) => conv_tiles([p.n, p.c_in, p.h, p.w]),
        Call::Conv2dBackwardWeight(p) => {
            blocks(wide(p.c_out), "TILE_OUT") * blocks(wide(p.c_in), "TILE_IN")
        }
        Call::Conv2dBackwardBias(p) => wide(p.c_out),

        Call::Conv2dSplitChannelsForward(p) => {
            wide(p.slices) * conv_tiles([p.n, p.c_out, p.h, p.w])
        }
        Call::Conv2dSplitChannelsBackwardInput(p) => {
            wide(p.slices) * conv_tiles([p.n, p.c_in, p.h, p.w])
        }
        Call::Conv2dSplitChannelsSumForward(p) => {
            lanes(wide(p.n) * wide(p.c_out) * wide(p.h) * wide(p.w))
        }
        Call::Conv2dSplitChannelsSumBackwardInput(p) => {
            lanes(wide(p.n) * wide(p.c_in) * wide(p.h) * wide(p.w))
        }
        // Tiles of filters, once for each slice.
        Call::Conv2dSplitKBackwardWeight(p) => {
            let tiles = blocks(wide(p.c_out), "TILE_OUT") * blocks(wide(p.c_in), "TILE_IN");
            wide(p.slices) * tiles
        }
        Call::Conv2dSplitKReduce(p) => {
            lanes(wide(p.c_out) * wide(p.c_in) * wide(p.kernel) * wide(p.kernel))
        }
        Call::Conv2dStatisticsForward(p) => conv_tiles([p.n, p.c_out, p.h, p.w]),
        Call::Conv2dStatisticsMerge(p) => wide(p.c_out),
        Call::Conv2dStatisticsMergePlanes(p) => wide(p.n) * wide(p.c_out),
        Call::Conv2dNormReluForwardEval(p) => conv_tiles([p.n, p.c_out, p.h, p.w]),

        Call::ConvTranspose2dForward(p) => {
            let tiles = blocks(wide(p.h) * wide(p.w), "TILE_PIXELS");
            wide(p.n) * blocks(wide(p.c_out), "TILE_OUT") * tiles
        }
        Call::ConvTranspose2dBackwardInput(p) => {
            let tiles = blocks(wide(p.h) * wide(p.w), "TILE_PIXELS");
            wide(p.n) * blocks(wide(p.c_in), "TILE_IN") * tiles
        }
        Call::ConvTranspose2dBackwardWeight(p) => {
            blocks(wide(p.c_out), "TILE_OUT") * blocks(wide(p.c_in), "TILE_IN")
        }
        Call::ConvTranspose2dBackwardBias(p) => wide(p.c_out),

        Call::ConvTranspose2dSplitKBackwardWeight(p) => {
            let tiles = blocks(wide(p.c_out), "TILE_OUT") * blocks(wide(p.c_in), "TILE_IN");
            wide(p.slices) * tiles
        }
        Call::ConvTranspose2dSplitKReduce(p) => lanes(wide(p.c_in) * wide(p.c_out) * 4),

        // Both passes have a lane for each window.
        Call::MaxPool2dForward(p) | Call::MaxPool2dBackwardInput(p) => {
            planes(wide(p.n) * wide(p.c), (p.h / 2) * (p.w / 2))
        }

        Call::BatchNormStatistics(p) | Call::BatchNormBackwardWeight(p) => wide(p.c),
        Call::BatchNormForward(p)
        | Call::BatchNormForwardEval(p)
        | Call::BatchNormBackwardInput(p) => planes(wide(p.n) * wide(p.c), p.hw),
        Call::BatchNormReluBackwardWeight(p) => wide(p.c),
        Call::BatchNormReluForward(p) | Call::BatchNormReluBackwardInput(p) => {
            planes(wide(p.n) * wide(p.c), p.hw)
        }
        Call::BatchNormSplitStatistics(p) | Call::BatchNormSplitBackwardWeight(p) => {
            wide(p.c) * wide(p.slices)
        }
        Call::BatchNormSplitMerge(p) | Call::BatchNormSplitMergeBackwardWeight(p) => {
            lanes(wide(p.c))
        }
        Call::InstanceNormStatistics(p) | Call::InstanceNormBackwardStatistics(p) => {
            wide(p.n) * wide(p.c)
        }
        Call::InstanceNormForward(p) | Call::InstanceNormBackwardInput(p) => {
            planes(wide(p.n) * wide(p.c), p.hw)
        }

        Call::ReluForward(p) | Call::ReluBackwardInput(p) => lanes(wide(p.len)),
        Call::AdamUpdate(p) => lanes(wide(p.len)),

        // A lane draws one block of a sample's mask.
        Call::DropoutMask(p) => {
            let elements = if p.element == 0 { wide(p.c) } else { wide(p.c) * wide(p.hw) };
            lanes(wide(p.n) * blocks(elements, "MASK_BLOCK"))
        }
        Call::DropoutMasksDraw(p) => {
            let channels = &p.c[..p.layers as usize];
            let of_sample: u64 = channels.iter().map(|&c| blocks(wide(c), "MASK_BLOCK")).sum();
            lanes(wide(p.n) * of_sample)
        }
        Call::DropoutForward(p) | Call::DropoutBackwardInput(p) => {
            planes(wide(p.n) * wide(p.c), p.hw)
        }
        Call::CropImages(p) | Call::CropLabels(p) => planes(wide(p.n), p.h * p.w),
        Call::WarpImages(p) => planes(wide(p.n) * wide(p.c), p.h * p.w),
        Call::WarpLabels(p) => planes(wide(p.n), p.h * p.w),
        Call::ConcatChannelsForward(p) | Call::ConcatChannelsBackwardInput(p) => {
            planes(wide(p.n) * (wide(p.c_a) + wide(p.c_b)), p.hw)
        }

        // A lane goes through all channels of its pixel.
        Call::SoftmaxForward(p) | Call::SoftmaxBackwardInput(p) => planes(wide(p.n), p.hw),
        Call::CrossEntropyForward(p) => blocks(wide(p.n) * wide(p.hw), "PIXEL_BLOCK"),
        Call::CrossEntropyReduce(_) => 1,
        Call::CrossEntropyBackwardInput(p) => planes(wide(p.n), p.hw),
        Call::EntropyForward(p) => planes(wide(p.n), p.hw),
        Call::LeastConfidenceForward(p) => planes(wide(p.n), p.hw),
        Call::BaldAccumulate(p) | Call::BaldEntropyOfMean(p) | Call::BaldMutualInformation(p) => {
            planes(wide(p.n), p.hw)
        }

        Call::SegmentationHeadEntropy(p) | Call::SegmentationHeadLeastConfidence(p) => {
            wide(p.stacked) * wide(p.n) * blocks(wide(p.hw), "BLOCK")
        }
        Call::SegmentationHeadAccumulate(p) => wide(p.n) * blocks(wide(p.hw), "BLOCK"),
        Call::PatchSumForward(p) => wide(p.n),
        Call::GlobalAvgPool2dForward(p) => wide(p.n) * wide(p.c),

        Call::PairwiseSqDistForward(p) => {
            blocks(wide(p.rows_a), "TILE_ROWS") * blocks(wide(p.rows_b), "TILE_COLUMNS")
        }
        Call::MinSqDistForward(p) => blocks(wide(p.rows), "TILE_ROWS"),
        Call::KCenterGreedyAddCenter(p) => wide(p.blocks()),
        Call::KMeansPlusPlusMeasure(p) => blocks(wide(p.rows), "BLOCK"),
        // Few numbers, that follow from each other.
        Call::KMeansPlusPlusDraw(_) => 1,
        Call::KMeansAssign(p) => blocks(wide(p.rows), "TILE_ROWS"),
        Call::KMeansUpdate(p) => wide(p.k) * blocks(wide(p.dim), "TILE_DIM"),
        // A few sums and the one decision that follows from them.
        Call::KMeansCheckConvergence(_) => 1,

        // One workgroup, since the counts are written once and start from nothing.
        Call::ConfusionForward(_) => 1,
        Call::AllcloseCount(p) => wide(p.slices),
    }
}

/// A line of workgroups in two dimensions, with the fewest idle ones; the shader's `linear_group` undoes it.
fn fold(groups: u64) -> [u32; 3] {
    let most = u64::from(MAX_WORKGROUPS);
    let y = groups.div_ceil(most).max(1);
    assert!(y <= most, "a launch of {groups} workgroups");
    [groups.div_ceil(y) as u32, y as u32, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_covers_its_line_and_wastes_less_than_a_row() {
        for groups in [1, 2, 65_534, 65_535, 65_536, 131_070, 131_071, 1 << 31, 65_535 * 65_535] {
            let [x, y, z] = fold(groups).map(u64::from);
            assert!(x * y * z >= groups && x * y - groups < y, "{groups}: {x} {y}");
            assert!(x <= 65_535 && y <= 65_535 && z == 1, "{groups}: {x} {y}");
        }
    }
}
