//! `askem completions` and `askem man`: what shells and manuals know of the commands.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Common, say};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

const COMPLETIONS: &str = "Examples:
  askem completions bash > ~/.local/share/bash-completion/completions/askem
  askem completions zsh > ~/.zfunc/_askem    (a folder of $fpath)
  askem completions fish > ~/.config/fish/completions/askem.fish";

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// A folder for the pages, such as ~/.local/share/man/man1; made where it is missing.
    dir: PathBuf,
}

/// Refuses `--json`, which scripts and manual pages would ignore.
fn refuse_json(common: &Common, what: &str) -> Result<()> {
    match common.json {
        true => Err(Error::Usage(format!("--json: {what}, and has no JSON; leave it out"))),
        false => Ok(()),
    }
}

/// Prints a shell's completions.
pub(super) fn completions(args: &CompletionsArgs, common: &Common) -> Result<()> {
    refuse_json(common, "askem completions prints a script for a shell")?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "askem", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io(Path::new("standard output"), "can't write", e))
        }
        _ => Ok(()),
    }
}

/// Writes a page for the program and one for each of its commands.
pub(super) fn man(args: &ManArgs, common: &Common) -> Result<()> {
    refuse_json(common, "askem man writes pages for people")?;
    let dir = &args.dir;
    fs::create_dir_all(dir).map_err(|e| Error::io(dir, "can't make the folder", e))?;
    clap_mangen::generate_to(Cli::command(), dir)
        .map_err(|e| Error::io(dir, "can't write the pages", e))?;
    say(format_args!(
        "wrote the manual pages into {0}; read one with: man -l {0}/askem.1",
        dir.display()
    ))
}
