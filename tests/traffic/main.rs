//! How many dispatches does a step of the network take on a GPU, and how many bytes does it move, beside what the network needs?
//!
//! Counted on plans, without a device: bytes are those of a step that touches each element of its buffers once. The floor
//! writes and reads each map between units once; in training it reads it once more on the way back, and writes and reads its
//! gradient; parameters are read, and in training read and written with their gradients and moments.

use askem::compute::cost;
use askem::compute::gpu::{fuse, halves};
use askem::compute::plan::Plan;
use askem::network::unet::{
    AdamOptions, LEVELS, Output, UNet, forward_plan, mc_plan, mc_plan_of, training_plan,
};

/// Dispatches, bytes and floating-point operations of a plan's first section, some of whose buffers hold f16.
fn cost_of(plan: &Plan, halves: &[bool]) -> (usize, usize, f64) {
    let steps = &plan.sections[0].steps;
    let bytes = steps.iter().map(|step| cost::bytes(step, halves)).sum();
    (steps.len(), bytes, steps.iter().map(|step| cost::flops(&step.call)).sum())
}

/// Elements of all maps between units for one patch: outputs of units, pools and transposed convolutions.
fn maps(net: &UNet, patch: usize) -> usize {
    let pixels = |level: usize| (patch >> level) * (patch >> level);
    let mut elements = 2 * net.channels(LEVELS) * pixels(LEVELS);
    for level in 0..LEVELS {
        let map = net.channels(level) * pixels(level);
        // Two units down and two up, the pool's output, the transposed convolution's.
        elements += 4 * map + map / 4 + map;
    }
    elements
}

struct Row {
    name: String,
    written: (usize, usize),
    fused: (usize, usize),
    /// Bytes of the fused plan with what can be in f16.
    in_f16: usize,
    floor: usize,
    gflop: f64,
}

impl Row {
    fn new(name: String, plan: Plan, floor: usize) -> Self {
        let (dispatches, bytes, flops) = cost_of(&plan, &[]);
        let plan = fuse(plan);
        let (fused, fused_bytes, fused_flops) = cost_of(&plan, &[]);
        // What most drivers ask for is less.
        let (_, in_f16, _) = cost_of(&plan, &halves(&plan, 256));
        assert_eq!(flops, fused_flops, "{name}: fusing leaves the arithmetic");
        Self {
            name,
            written: (dispatches, bytes),
            fused: (fused, fused_bytes),
            in_f16,
            floor,
            gflop: flops / 1e9,
        }
    }

    fn print(&self) {
        let mb = |bytes: usize| bytes as f64 / 1e6;
        println!(
            "{:<24} {:>4} -> {:>3} dispatches, {:>7.1} -> {:>7.1} MB, in f16 {:>7.1} MB, floor {:>6.1} MB, {:>6.2} GFLOP",
            self.name,
            self.written.0,
            self.fused.0,
            mb(self.written.1),
            mb(self.fused.1),
            mb(self.in_f16),
            mb(self.floor),
            self.gflop
        );
    }
}

fn training(batch: usize) -> Row {
    let net = UNet::paper();
    let plan = training_plan(&net, batch, 128, 128, AdamOptions::default()).plan;
    // Five passes over maps; Adam reads four arrays and writes three.
    let floor = 4 * (5 * batch * maps(&net, 128) + 7 * net.parameter_count());
    Row::new(format!("train, batch {batch}"), plan, floor)
}

#[test]
fn a_training_step_moves_what_was_measured_and_no_more() {
    for (batch, most_dispatches, most_times_the_floor) in [(4, 215, 3.0), (20, 198, 2.7)] {
        let row = training(batch);
        row.print();
        assert!(row.fused.0 <= most_dispatches, "{} dispatches", row.fused.0);
        let times = row.fused.1 as f64 / row.floor as f64;
        assert!(times <= most_times_the_floor, "{times} times the floor");
        assert!(times >= 1.0, "the floor is one");
    }
}

#[test]
fn a_score_moves_what_was_measured_and_no_more() {
    let net = UNet::paper();
    let floor = |batch: usize| 4 * (2 * batch * maps(&net, 128) + net.parameter_count());
    let entropy = forward_plan(&net, 16, 128, 128, &[Output::Entropy]).plan;
    let bald = mc_plan(&net, 16, 128, 128, 10).plan;
    // As a GPU takes ten passes: at once.
    let stacked = mc_plan_of(&net, 10, [8, 128, 128], 10).plan;
    for (row, most_dispatches) in [
        (Row::new("score entropy, batch 16".into(), entropy, floor(16)), 28),
        (Row::new("bald pass, batch 16".into(), bald, floor(16)), 28),
        (Row::new("bald 10 passes, batch 8".into(), stacked, floor(80)), 29),
    ] {
        row.print();
        assert!(row.fused.0 <= most_dispatches, "{} dispatches", row.fused.0);
        let times = row.fused.1 as f64 / row.floor as f64;
        assert!((1.0..=1.2).contains(&times), "{times} times the floor");
    }
}
