//! `askem report`: the page of a run or a comparison.

use std::path::PathBuf;

use super::say;
use crate::error::Result;
use crate::results::report::write_page_of;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's or a comparison's directory; the page goes there.
    #[arg(value_name = "DIR")]
    path: PathBuf,
}

pub(super) fn execute(args: &Args) -> Result<()> {
    write_page_of(&args.path)?;
    say(args.path.join("report.html").display())
}
