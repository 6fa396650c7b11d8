//! `askem bench tune`: which form of each shader is the fastest on a GPU, measured now and kept for later runs.

use askem_wgsl::{Form, find};
use clap::Args as ClapArgs;
use serde::Serialize;

use super::{NetArgs, at_least_one};
use crate::cli::table::Table;
use crate::cli::{Common, say, say_json};
use crate::compute::executor::Executor;
use crate::compute::gpu::{Choice, SlicesChoice};
use crate::compute::plan::Plan;
use crate::error::{Error, Result};
use crate::network::model::mc_batch;
use crate::network::unet::{AdamOptions, Output, UNet, forward_plan, mc_plan_of, training_plan};

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
    /// The name of the fastest form.
    name: String,
    /// Milliseconds of each form that is right.
    ms: Vec<(usize, f64)>,
    /// Milliseconds of the fastest form in a module that has the sizes as constants; null where its results were wrong, or it was not
    /// tried, since no plan does this call.
    specialised_ms: Option<f64>,
}

#[derive(Serialize)]
struct SlicesResult<'a> {
    device: &'a str,
    kernel: &'a str,
    call: String,
    /// The fastest number of slices.
    slices: u32,
    /// Milliseconds in each number of slices.
    ms: Vec<(u32, f64)>,
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

/// The name of a form by its number.
fn named(pass: &str, number: usize) -> String {
    let (op, pass) = pass.split_once("::").expect("a pass is named after its operation");
    let form = find(op, pass).and_then(|(_, entry)| entry.forms.get(number));
    form.map_or_else(|| number.to_string(), Form::name)
}

/// The sizes of a call without the names of types.
fn sizes(call: &str) -> String {
    let sizes = call.split_once("Params { ").map_or(call, |(_, sizes)| sizes);
    sizes.trim_end_matches([' ', '}', ')']).replace(" })", ";")
}

/// Rows of a table of choices among several, each with its fastest and slowest seconds.
#[derive(Default)]
struct Rows {
    fastest: f64,
    slowest: f64,
}

impl Rows {
    fn add(
        &mut self,
        table: &mut Table,
        [kernel, sizes, chosen]: [String; 3],
        seconds: impl Iterator<Item = f64> + Clone,
    ) {
        let fastest = seconds.clone().fold(f64::INFINITY, f64::min);
        let slowest = seconds.fold(0.0, f64::max);
        self.fastest += fastest;
        self.slowest += slowest;
        table.row(vec![kernel, sizes, chosen, format!("{:.2}", slowest / fastest)]);
    }

    fn total(&self) -> String {
        format!("{:.3} ms as chosen, {:.3} ms at the worst", 1e3 * self.fastest, 1e3 * self.slowest)
    }
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
    let plans = plans(args, &net, &executor);
    for plan in &plans {
        let id = executor.prepare(plan.clone())?;
        executor.release(id);
    }
    let (device, cores) = (executor.name(), executor.cores());
    let tuning = executor.tuning().expect("it was turned on");
    let has_choice =
        |choice: &&Choice| choice.seconds.len() > 1 || choice.specialised_seconds.is_some();
    let with_choice: Vec<&Choice> = tuning.choices().filter(has_choice).collect();
    let mut cut: Vec<SlicesChoice> = Vec::new();
    for choice in plans.iter().flat_map(|plan| executor.slices_choices(plan)) {
        if !cut.contains(&choice) {
            cut.push(choice);
        }
    }
    if common.json {
        for choice in with_choice {
            let ms = |s: f64| s.is_finite().then_some(1e3 * s);
            say_json(&TuneResult {
                device: &device,
                kernel: &choice.pass,
                call: &choice.call,
                form: choice.form(),
                name: named(&choice.pass, choice.form()),
                ms: choice.seconds.iter().map(|&(form, s)| (form, 1e3 * s)).collect(),
                specialised_ms: choice.specialised_seconds.and_then(ms),
            })?;
        }
        for choice in cut {
            say_json(&SlicesResult {
                device: &device,
                kernel: choice.whole.signature().name,
                call: format!("{:?}", choice.whole),
                slices: choice.slices(),
                ms: choice.seconds.iter().map(|&(slices, s)| (slices, 1e3 * s)).collect(),
            })?;
        }
        return Ok(());
    }
    let columns =
        |chosen| Table::new(&["kernel", "sizes", chosen, "times faster than the slowest"]);
    let (mut table, mut rows) = (columns("fastest"), Rows::default());
    for choice in with_choice {
        let seconds = choice.seconds.iter().map(|&(_, s)| s).chain(choice.specialised_seconds);
        let right = seconds.filter(|s| s.is_finite());
        let mut named = named(&choice.pass, choice.form());
        if choice.is_specialised() {
            named += ", specialised";
        }
        rows.add(&mut table, [choice.pass.clone(), sizes(&choice.call), named], right);
    }
    say(format_args!("{device}\nBefore it is measured: {cores}\n{table}\n{}", rows.total()))?;
    let (mut table, mut rows) = (columns("slices"), Rows::default());
    for choice in &cut {
        let (whole, seconds) = (choice.whole, choice.seconds.iter().map(|&(_, s)| s));
        let name = whole.signature().name.to_string();
        let sizes = sizes(&format!("{whole:?}"));
        let sizes = sizes.trim_end_matches(", slices: 1").to_string();
        let cells = [name, sizes, choice.slices().to_string()];
        rows.add(&mut table, cells, seconds);
    }
    say(format_args!("\nSums, whole (1) or in slices that are joined\n{table}\n{}", rows.total()))?;
    for form in executor.left_out() {
        say(format_args!("Without {}: {}", form.form, form.why))?;
    }
    let kept = tuning.file().map_or("Not kept: there is no folder for caches".into(), |file| {
        format!("Kept in {}", file.display())
    });
    say(format_args!("{kept}"))
}
