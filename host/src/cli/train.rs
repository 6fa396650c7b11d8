//! `askem train`: fully supervised training, as a run of the strategy `full`.

use super::Common;
use super::run::Job;
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    job: Job,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let mut job = args.job.clone();
    if !job.names_data() {
        return Err(Error::Usage(
            "train needs --raw and --labels, or --phantom-shape to train on the phantom".into(),
        ));
    }
    // A training that goes on has its settings in its directory.
    if !job.only_resumes() {
        job.experiment.strategy = Some("full".into());
        job.experiment.full_epochs = Some(job.experiment.epochs.unwrap_or(DEFAULT_EPOCHS));
    }
    job.execute(common)
}

/// Epochs over the pool when `--epochs` is not given.
const DEFAULT_EPOCHS: usize = 50;
