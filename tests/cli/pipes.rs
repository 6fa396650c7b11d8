//! A reader that goes away stops the printing, not the work.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::program::{binary, not_run};
use crate::results::{TINY, assert_complete, assert_same_results, tiny_phantom};

/// The experiment takes its time, so that the pipe is closed long before its end.
fn long(out: &std::path::Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("run").args(TINY).args(["--phantom-shape", "2x96x96", "--out"]).arg(out);
    command.stdin(Stdio::null());
    command
}

#[test]
fn a_closed_pipe_does_not_end_a_run() {
    let folder = tempdir().unwrap();
    let whole = folder.path().join("whole");
    tiny_phantom(&whole).succeed();
    // `| head -1`
    let out = folder.path().join("out");
    let mut child = long(&out).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("iteration"), "{line}");
    assert!(child.wait().unwrap().success());
    assert_same_results(&whole, &out);
    assert_complete(&out);
    // `2>&1 | head -1`: both go into one pipe.
    if !cfg!(unix) {
        return not_run("a_closed_pipe_does_not_end_a_run", "needs a shell");
    }
    let out = folder.path().join("both");
    let text = format!(
        "{} run {} --phantom-shape 2x96x96 --out {} 2>&1 | head -1; wait",
        binary().display(),
        TINY.join(" "),
        out.display()
    );
    // The shell ends with head; what went before it in the pipe is waited for by its output.
    let script = format!("set -o pipefail; {text}");
    let said = Command::new("bash").args(["-c", &script]).output();
    let Ok(said) = said else { return not_run("a_closed_pipe_does_not_end_a_run", "needs bash") };
    assert!(said.status.success(), "{said:?}");
    assert_eq!(said.stdout.iter().filter(|&&b| b == b'\n').count(), 1, "{said:?}");
    assert_same_results(&whole, &out);
    assert_complete(&out);
}
