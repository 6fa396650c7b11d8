//! `askem report`: the page of a run or a comparison.

use std::path::PathBuf;

use serde_json::json;

use super::{Common, say, say_json};
use crate::error::Result;
use crate::results::report::write_page_of;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A run's or a comparison's directory; the page goes there.
    #[arg(value_name = "DIR")]
    path: PathBuf,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    write_page_of(&args.path)?;
    let page = args.path.join("report.html");
    if common.json {
        return say_json(&json!({ "report": page }));
    }
    say(page.display())
}
