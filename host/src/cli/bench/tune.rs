//! `askem bench tune`: which form of each shader is the fastest on a GPU, measured now and kept for later runs.

use askem_wgsl::{Form, find};
use clap::Args as ClapArgs;
use serde::Serialize;

use super::{NetArgs, at_least_one};
use crate::cli::table::Table;
use crate::cli::{Common, say, say_json};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::gpu::Choice;
use crate::model::mc_batch;
use crate::plan::Plan;
use crate::unet::{AdamOptions, Output, UNet, forward_plan, mc_plan_of, training_plan};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Batch sizes of training.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "4,20")]
    batch: Vec<usize>,
    /// Train only, without scores and dropout passes.
    #[arg(long)]
    train_only: bool,
    #[command(flatten)]
    net: NetArgs,
}

#[derive(Serialize)]
struct TuneResult<'a> {
    device: &'a str,
    kernel: &'a str,
    call: &'a str,
    /// The fastest form.
    form: usize,
    /// Milliseconds of each form; null where its results were wrong.
    ms: Vec<(usize, Option<f64>)>,
}

fn plans(args: &Args, net: &UNet, executor: &dyn Executor) -> Vec<Plan> {
    const MC_PASSES: usize = 10;
    let (side, score_batch) = (args.net.patch, executor.score_batch());
    let train = |&n: &usize| training_plan(net, n, side, side, AdamOptions::default()).plan;
    let mut plans: Vec<Plan> = args.batch.iter().map(train).collect();
    if !args.train_only {
        plans.push(forward_plan(net, score_batch, side, side, &[Output::Entropy]).plan);
        let [stacked, n] = mc_batch(executor, MC_PASSES, score_batch);
        plans.push(mc_plan_of(net, stacked, [n, side, side], MC_PASSES).plan);
    }
    plans
}

/// Such as `tile 16` or `matrix 16 x 16, tile 32`.
fn named(pass: &str, number: usize) -> String {
    let form =
        |(op, pass): (&str, &str)| -> Option<&'static Form> { find(op, pass)?.1.forms.get(number) };
    let Some(form) = pass.split_once("::").and_then(form) else { return number.to_string() };
    let tile = form.constant("TILE_OUT");
    match form.side {
        Some(side) => format!("matrix {side} x {side}, tile {tile}"),
        None => format!("tile {tile}"),
    }
}

/// The sizes of a call without the names of types.
fn sizes(choice: &Choice) -> &str {
    choice.call.split_once("Params { ").map_or(&*choice.call, |(_, sizes)| sizes)
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    for &batch in &args.batch {
        at_least_one("--batch", batch)?;
    }
    let net = args.net.net()?;
    net.validate_patch(args.net.patch)?;
    let Some(mut executor) = common.open_gpu()? else {
        return Err(Error::Usage(
            "bench tune: forms of shaders are for a GPU; name one with --device".into(),
        ));
    };
    executor.tune();
    for plan in plans(args, &net, &executor) {
        let id = executor.prepare(plan)?;
        executor.release(id);
    }
    let device = executor.name();
    let tuning = executor.tuning().expect("it was turned on");
    let mut table = Table::new(&["kernel", "sizes", "fastest", "times faster than the slowest"]);
    let (mut slowest_total, mut fastest_total) = (0.0, 0.0);
    for choice in tuning.choices() {
        let finite = |&(form, s): &(usize, f64)| (form, s.is_finite().then_some(1e3 * s));
        let result = TuneResult {
            device: &device,
            kernel: &choice.pass,
            call: &choice.call,
            form: choice.form(),
            ms: choice.seconds.iter().map(finite).collect(),
        };
        if common.json {
            say_json(&result)?;
            continue;
        }
        let right = || choice.seconds.iter().map(|&(_, s)| s).filter(|s| s.is_finite());
        let (fastest, slowest) =
            (right().fold(f64::INFINITY, f64::min), right().fold(0.0, f64::max));
        fastest_total += fastest;
        slowest_total += slowest;
        table.row(vec![
            choice.pass.clone(),
            sizes(choice).trim_end_matches([' ', '}', ')']).replace(" })", ";"),
            named(&choice.pass, result.form),
            format!("{:.2}", slowest / fastest),
        ]);
    }
    if common.json {
        return Ok(());
    }
    say(format_args!("{device}\n{table}"))?;
    let kept = tuning.file().map_or("not kept: there is no folder for caches".into(), |file| {
        format!("kept in {}", file.display())
    });
    say(format_args!(
        "{:.3} ms in the fastest forms, {:.3} ms in the slowest; {kept}",
        1e3 * fastest_total,
        1e3 * slowest_total
    ))
}
