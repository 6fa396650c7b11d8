//! Faults of a device become errors of the next call.

use std::io::{self, Write as _};

use askem_kernels::{Call, relu};

use super::*;
use crate::compute::plan::PlanBuilder;

fn executor() -> GpuExecutor {
    let all = adapters();
    // The last one is a software driver where there is one: faults are its to bear.
    let adapter = all
        .last()
        .expect("a Vulkan driver is needed, such as Debian's mesa-vulkan-drivers with libvulkan1");
    // Past the capture of output, so that a passing run says it too.
    let _ = writeln!(io::stderr(), "gpu::tests on {} ({})", adapter.name(), adapter.backend());
    GpuExecutor::new(adapter, Precision::F32).expect("the adapter opens")
}

fn relu_plan(len: u32) -> (Plan, BufferId, BufferId) {
    let mut plan = PlanBuilder::new("relu", "run");
    let x = plan.kept("x", len as usize);
    let y = plan.kept("y", len as usize);
    plan.step(Call::ReluForward(relu::Params { len }), &[x], &[y]);
    (plan.build(), x.buffer, y.buffer)
}

#[test]
fn a_refused_command_is_an_error_once() {
    let mut executor = executor();
    let (plan, x, y) = relu_plan(3);
    let id = executor.prepare(plan).expect("a small plan fits");
    let word = [1.0f32.to_bits(), (-1.0f32).to_bits(), 0.5f32.to_bits()];
    executor.write(id, x, &word).expect("the buffer is writable");

    // Mapping for reading needs a buffer that nothing computes with.
    let usage = BufferUsages::MAP_READ | BufferUsages::STORAGE;
    let _ = executor.new_buffer("refused", 4, usage);
    let error = executor.run(id, "run").expect_err("the fault is reported").to_string();
    assert!(error.starts_with(&executor.name()), "{error}");

    executor.run(id, "run").expect("it is reported once");
    let mut got = [0; 3];
    executor.read(id, y, &mut got).expect("results can be read");
    assert_eq!(got.map(f32::from_bits), [1.0, 0.0, 0.5]);
}

#[test]
fn a_lost_device_is_an_error_for_good() {
    let mut executor = executor();
    let (plan, x, y) = relu_plan(3);
    let id = executor.prepare(plan).expect("a small plan fits");
    executor.connection.device.destroy();
    // The loss may show only when something waits for the device; from then on it always does.
    let _ = executor.run(id, "run");
    for _ in 0..2 {
        let error = executor.read(id, y, &mut [0; 3]).expect_err("the device is gone").to_string();
        assert!(error.contains("lost"), "{error}");
        assert!(executor.run(id, "run").is_err());
        assert!(executor.write(id, x, &[0; 3]).is_err());
        assert!(executor.prepare(relu_plan(4).0).is_err());
    }
    executor.release(id);
}

#[test]
fn a_plan_that_does_not_fit_is_refused_with_what_would() {
    let mut executor = executor();
    let limits = &executor.connection.limits;
    let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) / 4;
    let Ok(len) = u32::try_from(most * 5 / 4) else {
        return; // No parameters could ask for so much.
    };
    let error = executor.prepare(relu_plan(len).0).expect_err("too large").to_string();
    for part in ["relu: `x`", &executor.name(), "MiB", "to 80 % or less", "--device cpu"] {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
    executor.prepare(relu_plan(1000).0).expect("a small plan fits");
}

#[test]
fn what_is_read_later_is_what_was_there() {
    let mut executor = executor();
    let (plan, x, y) = relu_plan(3);
    let id = executor.prepare(plan).expect("a small plan fits");
    let mut readings = Vec::new();
    for value in [1.0_f32, 2.0, -3.0, 4.0] {
        executor.write(id, x, &[value.to_bits(); 3]).expect("the buffer is writable");
        executor.run(id, "run").expect("it runs");
        readings.push(executor.start_read(id, y, 2).expect("the buffer can be read"));
    }
    executor.clear(id, y).expect("the buffer is writable");
    let mut last = [7; 3];
    executor.read(id, y, &mut last).expect("results can be read");
    assert_eq!(last, [0; 3]);
    // In any order.
    for (number, want) in [(3, 4.0_f32), (0, 1.0), (0, 2.0), (0, 0.0)] {
        let reading = readings.remove(number);
        let words = executor.finish_read(reading).expect("results come");
        assert_eq!(words, [want.to_bits(); 2]);
    }
}
