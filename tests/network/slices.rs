//! Sums in slices, against the same sums whole.

use askem::network::unet::{DropoutKind, Norm, UNet};

use crate::adapter;
use crate::case::Case;
use crate::compare::Tensor;
use crate::run_plan::OnDevice;

/// How far a tensor may lie from where sums are whole, relative to its length: sums in another order are off by some millionths, a slice
/// too few or too many by a good part of one.
const MOST_OFF: f64 = 0.01;

fn distance(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!((&got.name, got.values.len()), (&want.name, want.values.len()));
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let differences = &mut got.values.iter().zip(&want.values).map(|(got, want)| got - want);
    length(differences) / length(&mut want.values.iter().copied())
}

/// Loss and gradients of a training step, and what it makes of the network.
#[test]
fn training_in_slices() {
    let mut gpu = adapter::open("training_in_slices");
    let dropout_kind = DropoutKind::Channel;
    for norm in [Norm::Batch, Norm::Instance] {
        // Wide enough for slices of channels.
        let net = UNet { width: 8, classes: 2, context: 0, norm, dropout: 0.25, dropout_kind };
        let case = Case { net, n: 2, h: 32, w: 32, seed: 0, warped: false };
        let plan = case.training_plan();
        let mut first_step = |slices| {
            gpu.set_slices(Some(slices));
            let mut run = OnDevice::new(&mut gpu, plan.plan.clone(), &case.label());
            let mut tensors = case.train(&mut run, &plan);
            // Later steps start from weights of their own.
            tensors.retain(|tensor| tensor.name.starts_with("step 1/"));
            tensors
        };
        let whole = first_step(1);
        for slices in [2, 5] {
            let cut = first_step(slices);
            assert_eq!(cut.len(), whole.len());
            assert!(cut.len() > 25, "{} tensors", cut.len());
            let differ = cut.iter().zip(&whole).any(|(a, b)| a.values != b.values);
            assert!(differ, "nothing was summed in another order");
            for (got, want) in cut.iter().zip(&whole) {
                let off = distance(got, want);
                // NaN is far off.
                assert!(off <= MOST_OFF, "{norm:?} norm, {slices} slices: {}: {off}", got.name);
            }
        }
    }
}
