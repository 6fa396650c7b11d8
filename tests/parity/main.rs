//! Parity: every shader and every fast CPU form against the reference.
//!
//! A test draws parameters, a style of numbers and a seed; [`askem::device::trial`] draws the
//! buffers, guards them and judges the results. Environment:
//! - `ASKEM_CASES`: cases per pass (default 128);
//! - `ASKEM_SEED`: another sequence of cases (default 0);
//! - `ASKEM_TEST_ADAPTER`: part of an adapter's name (default: the best GPU, else a software driver).
//!
//! A failure prints the call, the style and the seed; `Trial::draw` with them gives the same data.

#[path = "../shared/adapter.rs"]
mod adapter;
mod contract;
mod guards;
mod harness;
mod ops;
#[path = "../shared/params.rs"]
mod params;
#[path = "../shared/passes.rs"]
mod passes;
#[path = "../shared/settings.rs"]
mod settings;

use std::collections::BTreeSet;

use askem::device::trial::Style;
use askem_kernels::{
    Call, SIGNATURES, concat_channels, conv2d, instance_norm, max_pool2d, patch_sum, softmax,
};

#[test]
fn every_pass_has_a_parity_test() {
    let all: BTreeSet<_> = SIGNATURES.iter().map(|signature| signature.name).collect();
    let tested: BTreeSet<_> = ops::TESTED.iter().copied().collect();
    assert_eq!(tested, all);
    assert_eq!(tested.len(), ops::TESTED.len(), "a pass is tested twice");
}

/// One dimension of a dispatch holds 65,535 workgroups; larger grids are folded.
#[test]
fn more_workgroups_than_one_dimension_holds() {
    let many = 65_543;
    let (n, c, hw) = (many, 1, 2);
    let grids = [
        Call::PatchSumForward(patch_sum::Params { n, hw }),
        Call::InstanceNormStatistics(instance_norm::Params { n: 1, c: many, hw, eps: 1e-3 }),
        Call::ConcatChannelsForward(concat_channels::Params { n: many / 2, c_a: 2, c_b: 1, hw }),
        Call::SoftmaxForward(softmax::Params { n, c: 2, hw }),
        Call::MaxPool2dForward(max_pool2d::Params { n, c, h: 2, w: 2 }),
        Call::Conv2dForward(conv2d::Params {
            n,
            c_in: 1,
            c_out: 1,
            h: 1,
            w: 1,
            kernel: 1,
            has_bias: 0,
        }),
    ];
    for call in grids {
        let [x, y, z] = askem_wgsl::launch(&call).workgroups;
        assert!(x.max(y).max(z) <= 65_535 && x * y * z > 65_535, "{call:?}: {x} x {y} x {z}");
        assert_eq!(harness::check(call, Style::Normal, 0), Ok(true), "{call:?}");
    }
}
