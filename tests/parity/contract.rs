//! What both executors promise beyond the numbers of single passes.

use askem::compute::executor::{Executor, PlanId};
use askem::compute::plan::{ALIGNMENT, BufferId, PlanBuilder, View};
use askem_kernels::{Call, batch_norm, relu};

use crate::harness::with_executors;

fn write(executor: &mut dyn Executor, id: PlanId, buffer: BufferId, data: &[f32]) {
    executor.write(id, buffer, bytemuck::cast_slice(data)).expect("the host may write");
}

fn read(executor: &mut dyn Executor, id: PlanId, buffer: BufferId, len: usize) -> Vec<f32> {
    let mut data = vec![0.0; len];
    executor.read(id, buffer, bytemuck::cast_slice_mut(&mut data)).expect("the host may read");
    data
}

/// `y = relu(x)` for three numbers.
fn relu_step(plan: &mut PlanBuilder, x: View, y: View) {
    plan.step(Call::ReluForward(relu::Params { len: 3 }), &[x], &[y]);
}

#[test]
fn shared_buffers_last_as_long_as_a_plan_names_them() {
    with_executors(|executor| {
        let mut first = PlanBuilder::new("first", "run");
        let (x, kept) = (first.shared("shared x", 3), first.kept("y", 3));
        relu_step(&mut first, x, kept);
        let first = executor.prepare(first.build()).expect("fits");
        assert_eq!(read(executor, first, x.buffer, 3), [0.0; 3]);
        assert_eq!(read(executor, first, kept.buffer, 3), [0.0; 3]);
        write(executor, first, x.buffer, &[1.0, -2.0, 3.0]);

        let mut second = PlanBuilder::new("second", "run");
        let (y, x) = (second.kept("y", 3), second.shared("shared x", 3));
        relu_step(&mut second, x, y);
        let second = executor.prepare(second.build()).expect("fits");
        executor.release(first);
        executor.run(second, "run").expect("runs");
        assert_eq!(read(executor, second, y.buffer, 3), [1.0, 0.0, 3.0]);
        // The start of a buffer, and the rest stays.
        write(executor, second, x.buffer, &[7.0]);
        assert_eq!(read(executor, second, x.buffer, 3), [7.0, -2.0, 3.0]);
        assert_eq!(read(executor, second, x.buffer, 1), [7.0]);

        let mut third = PlanBuilder::new("third", "run");
        let (x, y) = (third.shared("shared x", 4), third.kept("y", 4));
        third.step(Call::ReluForward(relu::Params { len: 4 }), &[x], &[y]);
        let third = third.build();
        let error = executor.prepare(third.clone()).expect_err("another length").to_string();
        assert!(error.contains("third") && error.contains("shared x"), "{error}");
        executor.release(second);
        let third = executor.prepare(third).expect("nobody names the old one");
        assert_eq!(read(executor, third, x.buffer, 4), [0.0; 4]);
        executor.release(third);
    });
}

#[test]
fn one_buffer_takes_several_writes_of_a_step() {
    let p = batch_norm::Params { n: 1, c: 3, hw: 2, eps: 1e-3, momentum: 0.1 };
    with_executors(|executor| {
        let mut plan = PlanBuilder::new("views", "run");
        let (x, dy) = (plan.kept("x", 6), plan.kept("dy", 6));
        let (mean, rstd) = (plan.kept("mean", 3), plan.kept("rstd", 3));
        let gradient = plan.shared("several writes", 3 * ALIGNMENT + 3);
        let part = |parts: usize| View { offset: parts * ALIGNMENT, len: 3, ..gradient };
        // The first write lies behind the second one.
        let writes = [part(3), part(1)];
        plan.step(Call::BatchNormBackwardWeight(p), &[x, dy, mean, rstd], &writes);
        let id = executor.prepare(plan.build()).expect("fits");
        write(executor, id, gradient.buffer, &vec![9.0; 3 * ALIGNMENT + 3]);
        write(executor, id, x.buffer, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        write(executor, id, dy.buffer, &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        write(executor, id, rstd.buffer, &[1.0, 1.0, 0.5]);
        executor.run(id, "run").expect("runs");
        let got = read(executor, id, gradient.buffer, 3 * ALIGNMENT + 3);
        let (dbias, dweight) = (ALIGNMENT..ALIGNMENT + 3, 3 * ALIGNMENT..3 * ALIGNMENT + 3);
        assert_eq!(got[dbias.clone()], [2.0, 3.0, 4.0]);
        assert_eq!(got[dweight.clone()], [3.0, 11.0, 11.0]);
        for (i, &value) in got.iter().enumerate() {
            assert!(value == 9.0 || dbias.contains(&i) || dweight.contains(&i), "{i}: {value}");
        }
        executor.release(id);
    });
}

#[test]
fn sections_run_apart_and_transient_memory_is_reused() {
    with_executors(|executor| {
        let mut plan = PlanBuilder::new("chain", "there");
        let (x, y) = (plan.kept("x", 3), plan.kept("y", 3));
        let (a, b, c) = (plan.transient("a", 3), plan.transient("b", 3), plan.transient("c", 3));
        relu_step(&mut plan, x, a);
        relu_step(&mut plan, a, b);
        relu_step(&mut plan, b, c);
        relu_step(&mut plan, c, y);
        plan.section("back");
        relu_step(&mut plan, y, x);
        let plan = plan.build();
        assert!(plan.slots.len() < 5, "transient buffers share slots");
        let id = executor.prepare(plan).expect("fits");
        write(executor, id, x.buffer, &[-1.0, 1.0, 2.0]);
        for _ in 0..20 {
            executor.run(id, "there").expect("runs");
        }
        assert_eq!(read(executor, id, x.buffer, 3), [-1.0, 1.0, 2.0]);
        assert_eq!(read(executor, id, y.buffer, 3), [0.0, 1.0, 2.0]);
        executor.run(id, "back").expect("runs");
        assert_eq!(read(executor, id, x.buffer, 3), [0.0, 1.0, 2.0]);

        let error = executor.run(id, "nowhere").expect_err("no such section").to_string();
        assert!(error.contains("nowhere") && error.contains("there, back"), "{error}");
        let error = executor.write(id, a.buffer, &[0]).expect_err("transient").to_string();
        assert!(error.contains("`a`"), "{error}");
        let error = executor.read(id, x.buffer, &mut [0; 4]).expect_err("too long").to_string();
        assert!(error.contains("`x`") && error.contains("holds 3"), "{error}");
        executor.release(id);
    });
}

#[test]
fn runs_repeat_bit_for_bit() {
    with_executors(|executor| {
        let p = batch_norm::Params { n: 3, c: 5, hw: 701, eps: 1e-5, momentum: 0.1 };
        let len = (p.n * p.c * p.hw) as usize;
        let mut plan = PlanBuilder::new("repeat", "run");
        let x = plan.kept("x", len);
        let outputs = ["mean", "rstd", "running_mean", "running_var"].map(|n| plan.kept(n, 5));
        plan.step(Call::BatchNormStatistics(p), &[x], &outputs);
        let id = executor.prepare(plan.build()).expect("fits");
        let data: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin()).collect();
        write(executor, id, x.buffer, &data);
        let run = |executor: &mut dyn Executor| {
            executor.run(id, "run").expect("runs");
            outputs[..2].iter().map(|o| read(executor, id, o.buffer, 5)).collect::<Vec<_>>()
        };
        let first = run(executor);
        for _ in 0..5 {
            assert_eq!(run(executor), first);
        }
        executor.release(id);
    });
}
