//! `askem bench start`: how long it takes until a GPU is ready for work, and what it compiles until then.

use std::time::Instant;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::{NetArgs, at_least_one};
use crate::cli::table::Table;
use crate::cli::{Common, say, say_json};
use crate::compute::executor::Executor;
use crate::error::{Error, Result};
use crate::network::unet::{AdamOptions, Output, forward_plan, training_plan};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Batch size of training.
    #[arg(long, value_name = "N", default_value_t = 4)]
    batch: usize,
    /// Measure the forms of shaders on a software driver too, as a hardware GPU does by itself.
    #[arg(long)]
    tune: bool,
    #[command(flatten)]
    net: NetArgs,
}

#[derive(Serialize)]
struct StartResult<'a> {
    device: &'a str,
    /// `open`: the device is opened, and tested where no earlier start did; `train` and `score`: the plan of a training step, or of
    /// entropy scores, is made ready, and its forms are measured where no earlier start did.
    phase: &'a str,
    seconds: f64,
    /// Compiled in this phase.
    pipelines: usize,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    at_least_one("--batch", args.batch)?;
    let net = args.net.net()?;
    net.validate_patch(args.net.patch)?;
    let clock = Instant::now();
    let Some(mut executor) = common.open_gpu()? else {
        return Err(Error::Usage(
            "bench start: the processor needs no start; name a GPU with --device".into(),
        ));
    };
    if args.tune {
        executor.tune();
    }
    let mut phases = vec![("open", clock.elapsed().as_secs_f64(), executor.pipelines())];
    let (side, scored) = (args.net.patch, executor.score_batch());
    let plans = [
        ("train", training_plan(&net, args.batch, side, side, AdamOptions::default()).plan),
        ("score", forward_plan(&net, scored, side, side, &[Output::Entropy]).plan),
    ];
    for (phase, plan) in plans {
        let (clock, before) = (Instant::now(), executor.pipelines());
        let id = executor.prepare(plan)?;
        phases.push((phase, clock.elapsed().as_secs_f64(), executor.pipelines() - before));
        executor.release(id);
    }
    let device = executor.name();
    let mut table = Table::new(&["phase", "seconds", "pipelines compiled"]);
    for (phase, seconds, pipelines) in phases {
        if common.json {
            say_json(&StartResult { device: &device, phase, seconds, pipelines })?;
        } else {
            table.row(vec![phase.into(), format!("{seconds:.2}"), pipelines.to_string()]);
        }
    }
    if common.json { Ok(()) } else { say(format_args!("{device}\n{table}")) }
}
