//! `askem train`: a network from all labels that are given, as a run of the strategy `full`.

use std::path::PathBuf;

use clap::Arg;

use super::Common;
use super::run::{Job, in_short_help};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
#[command(mut_args(of_training))]
pub(super) struct Args {
    #[command(flatten)]
    job: Job,
    /// Begin with the weights of a network, whose settings hold then: weights.safetensors of a run, or one of its
    /// weights/NNN.safetensors.
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    weights: Option<PathBuf>,
}

/// An option as it is meant here, which for some is not as in a run.
fn of_training(arg: Arg) -> Arg {
    let id = arg.get_id().as_str().to_owned();
    let arg = in_short_help(arg).hide(ASKING.contains(&&*id));
    let help = match &*id {
        "pool" => {
            "Of the patches that cover the labels, take so many by chance [default: all of them]"
        }
        "holdout" => {
            "Share of the labelled rows, the last ones, that judges and does not train [default: 0, \
             unless --split or --test-raw say what judges]"
        }
        "epochs" => {
            "Epochs [default: as many as fit five times --max-steps, at most 400; paper: 50]"
        }
        _ => return arg,
    };
    arg.help(help).long_help(help)
}

/// Options of experiments that a training on all labels has no use for, and refuses.
const ASKING: [&str; 11] = [
    "initial",
    "initial_strategy",
    "query",
    "iterations",
    "label_share",
    "finetune_epochs",
    "mc_passes",
    "bald",
    "min_distance",
    "min_distance_z",
    "embedding",
];

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let mut job = args.job.clone();
    if !job.names_data() {
        return Err(Error::Usage(
            "train needs --raw and --labels, or --phantom-shape to train on the phantom".into(),
        ));
    }
    job.data.weights.clone_from(&args.weights);
    // A training that goes on has its settings in its directory.
    if !job.only_resumes() {
        job.train_on_all()?;
    }
    job.execute(common)
}
