//! The `askem` program; see [`askem::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    askem::cli::main()
}
