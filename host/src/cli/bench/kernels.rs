//! `askem bench kernels`: which shaders take the time, and how near they come to what the GPU can do.

use askem_kernels::crop::Site;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::{NetArgs, at_least_one, random};
use crate::cli::table::Table;
use crate::cli::{Common, say, say_json};
use crate::compute::executor::Executor;
use crate::compute::gpu::{GpuExecutor, StepTime};
use crate::compute::plan::BufferId;
use crate::error::{Error, Result};
use crate::network::unet::{AdamOptions, Banks, Output, forward_plan, mc_plan, training_plan};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// What is run.
    #[arg(long, value_name = "NAME", default_value = "train")]
    work: Work,
    /// Patches in a batch.
    #[arg(long, value_name = "N", default_value_t = 4)]
    batch: usize,
    #[command(flatten)]
    net: NetArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Work {
    /// A training step.
    Train,
    /// Scores by entropy.
    Score,
    /// A pass under dropout.
    Bald,
}

/// All steps of one pass.
#[derive(Serialize)]
struct KernelResult<'a> {
    device: &'a str,
    kernel: &'static str,
    dispatches: usize,
    /// Median over the repeats of the sum over the dispatches.
    ms: f64,
    share_of_time: f64,
    gflop_per_second: f64,
    share_of_product: f64,
    gbyte_per_second: f64,
    share_of_copy: f64,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    at_least_one("--batch", args.batch)?;
    let net = args.net.net()?;
    net.validate_patch(args.net.patch)?;
    let Some(mut executor) = common.open_gpu()? else {
        return Err(Error::Usage(
            "bench kernels: times of single shaders are for a GPU; name one with --device".into(),
        ));
    };
    let (n, side) = (args.batch, args.net.patch);
    let (plan, section, x, keys, banks, training) = match args.work {
        Work::Train => {
            let p = training_plan(&net, n, side, side, AdamOptions::default());
            (p.plan, "step", p.images, p.keys, p.banks, Some((p.class_weights, p.step, p.sites)))
        }
        Work::Score => {
            let p = forward_plan(&net, n, side, side, &[Output::Entropy]);
            (p.plan, "forward", p.x, None, p.banks, None)
        }
        Work::Bald => {
            let p = mc_plan(&net, n, side, side, 10);
            (p.plan, "pass", p.x, p.keys, p.banks, None)
        }
    };
    let id = executor.prepare(plan)?;
    let floats = |executor: &mut GpuExecutor, buffer: BufferId, values: &[f32]| {
        executor.write(id, buffer, bytemuck::cast_slice(values))
    };
    let weights = net.init(0);
    let Banks { parameters, statistics, .. } = banks;
    floats(&mut executor, parameters, &weights.parameters)?;
    if let Some(buffer) = statistics {
        floats(&mut executor, buffer, &weights.statistics)?;
    }
    floats(&mut executor, x, &random(n * side * side))?;
    if let Some((class_weights, step, sites)) = training {
        floats(&mut executor, class_weights, &vec![1.0; net.classes])?;
        floats(&mut executor, step, &[1e-3, 1.0])?;
        let every = (0..n as u32).map(|z| Site { z, ..Site::default() });
        executor.write(id, sites, bytemuck::cast_slice(&every.collect::<Vec<_>>()))?;
    }
    if let Some(buffer) = keys {
        let keys: Vec<u32> = (0..2 * n as u32).collect();
        executor.write(id, buffer, &keys)?;
    }
    // Pipelines settle in the first run.
    executor.profile(id, section)?;
    let runs: Vec<Vec<StepTime>> = (0..args.net.repeats.max(1))
        .map(|_| executor.profile(id, section))
        .collect::<Result<_>>()?;
    let peaks = executor.peaks()?;
    let kernels = by_kernel(&runs);
    let total: f64 = kernels.iter().map(|kernel| kernel.seconds).sum();
    let device = executor.name();
    let mut table = Table::new(&[
        "kernel",
        "dispatches",
        "ms",
        "share",
        "GFLOP/s",
        "of widest",
        "GB/s",
        "of copy",
    ]);
    for kernel in &kernels {
        let rate = |amount: f64| if kernel.seconds > 0.0 { amount / kernel.seconds } else { 0.0 };
        let (flops, bytes) = (rate(kernel.flops), rate(kernel.bytes as f64));
        let result = KernelResult {
            device: &device,
            kernel: kernel.name,
            dispatches: kernel.dispatches,
            ms: 1e3 * kernel.seconds,
            share_of_time: if total > 0.0 { kernel.seconds / total } else { 0.0 },
            gflop_per_second: flops / 1e9,
            share_of_product: flops / peaks.flops_per_second,
            gbyte_per_second: bytes / 1e9,
            share_of_copy: bytes / peaks.bytes_per_second,
        };
        if common.json {
            say_json(&result)?;
        } else {
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            let or_dash = |text: String| if kernel.flops > 0.0 { text } else { "-".into() };
            table.row(vec![
                result.kernel.into(),
                result.dispatches.to_string(),
                format!("{:.3}", result.ms),
                percent(result.share_of_time),
                or_dash(format!("{:.1}", result.gflop_per_second)),
                or_dash(percent(result.share_of_product)),
                format!("{:.1}", result.gbyte_per_second),
                percent(result.share_of_copy),
            ]);
        }
    }
    if common.json {
        return Ok(());
    }
    say(format_args!("{device}\n{table}"))?;
    say(format_args!(
        "{} dispatches, {:.3} ms with the clock on; a wide convolution reaches {:.1} GFLOP/s here, a copy {:.1} GB/s (read and written)",
        kernels.iter().map(|kernel| kernel.dispatches).sum::<usize>(),
        1e3 * total,
        peaks.flops_per_second / 1e9,
        peaks.bytes_per_second / 1e9
    ))
}

#[derive(Clone, Debug, PartialEq)]
struct Kernel {
    name: &'static str,
    dispatches: usize,
    seconds: f64,
    flops: f64,
    bytes: usize,
}

/// The steps of each kernel taken together, the slowest first; times are medians over the runs.
fn by_kernel(runs: &[Vec<StepTime>]) -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    for step in &runs[0] {
        match kernels.iter_mut().find(|kernel| kernel.name == step.name) {
            Some(kernel) => {
                kernel.dispatches += 1;
                kernel.flops += step.flops;
                kernel.bytes += step.bytes;
            }
            None => kernels.push(Kernel {
                name: step.name,
                dispatches: 1,
                seconds: 0.0,
                flops: step.flops,
                bytes: step.bytes,
            }),
        }
    }
    for kernel in &mut kernels {
        let sum = |run: &Vec<StepTime>| -> f64 {
            run.iter().filter(|step| step.name == kernel.name).map(|step| step.seconds).sum()
        };
        let mut sums: Vec<f64> = runs.iter().map(sum).collect();
        sums.sort_by(f64::total_cmp);
        kernel.seconds = sums[sums.len() / 2];
    }
    kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_kernel_are_summed_and_runs_compared_by_the_median() {
        let step = |name, seconds| StepTime { name, seconds, flops: 2.0, bytes: 8 };
        let run = |a, b, c| vec![step("a", a), step("b", b), step("a", c)];
        let kernels = by_kernel(&[run(1.0, 9.0, 2.0), run(5.0, 8.0, 5.0), run(1.0, 1.0, 1.0)]);
        let kernel = |name, dispatches, seconds, flops, bytes| Kernel {
            name,
            dispatches,
            seconds,
            flops,
            bytes,
        };
        assert_eq!(kernels, [kernel("b", 1, 8.0, 2.0, 8), kernel("a", 2, 3.0, 4.0, 16)]);
    }
}
