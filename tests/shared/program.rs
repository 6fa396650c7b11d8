//! Starts the program and waits for it, but not for ever.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// No call of these tests comes near it; a hang ends in a failure that says so.
const LIMIT: Duration = Duration::from_secs(240);

/// How often files and processes are looked at.
const POLL: Duration = Duration::from_millis(2);

/// Where the program is.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = env::var_os("ASKEM_BIN") {
        return path.into();
    }
    let test = env::current_exe().expect("a test knows its path");
    let target = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/cli-HASH");
    let path = target.join(format!("askem{}", env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is not there: run `cargo build --release -p askem` first, or name the program in ASKEM_BIN",
        path.display()
    );
    path
}

/// A call of the program that can be started.
pub(crate) struct Call(Command);

/// The program with these arguments.
pub(crate) fn askem<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Call {
    let mut command = Command::new(binary());
    command.args(args).stdin(Stdio::null());
    Call(command)
}

impl Call {
    /// Adds arguments.
    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.0.args(args);
        self
    }

    /// Adds an option with a path.
    pub(crate) fn path(mut self, option: &str, path: &Path) -> Self {
        self.0.arg(option).arg(path);
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Hides all Vulkan drivers from the program.
    pub(crate) fn without_drivers(mut self) -> Self {
        for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            self.0.env(name, "/nonexistent");
        }
        self.0.env_remove("VK_ADD_DRIVER_FILES");
        self
    }

    /// What was typed, for messages.
    fn text(&self) -> String {
        let words: Vec<OsString> = self.0.get_args().map(OsStr::to_owned).collect();
        format!("askem {}", words.join(OsStr::new(" ")).to_string_lossy())
    }

    /// Starts the program.
    pub(crate) fn start(mut self) -> Running {
        let text = self.text();
        let piped = self.0.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|e| panic!("{text}: {e}"));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        Running { child, text, output: Some((stdout, stderr)) }
    }

    /// Starts the program and waits for its end.
    pub(crate) fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Runs the program, which must succeed.
    pub(crate) fn succeed(self) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        outcome
    }
}

/// Reads to the end beside the program, so that a full pipe doesn't stop it.
fn collect(mut from: impl Read + Send + 'static) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let target = Arc::clone(&bytes);
    let reader = spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match from.read(&mut buffer).expect("a pipe can be read") {
                0 => break,
                n => target.lock().expect("nobody panics with it").extend(&buffer[..n]),
            }
        }
    });
    Collected { bytes, reader }
}

/// What a process has written so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("nobody panics with it")).into_owned()
    }

    /// All of it, when the process has ended.
    fn all(self) -> String {
        self.reader.join().expect("the pipe was read");
        let bytes = std::mem::take(&mut *self.bytes.lock().expect("nobody panics with it"));
        String::from_utf8(bytes).expect("output is UTF-8")
    }
}

/// The program at work; ended with the test if nobody waits for it.
pub(crate) struct Running {
    child: Child,
    text: String,
    output: Option<(Collected, Collected)>,
}

impl Running {
    /// Waits until the program ends.
    pub(crate) fn wait(mut self) -> Outcome {
        let clock = Instant::now();
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(clock.elapsed() < LIMIT, "{} does not end", self.text);
            sleep(POLL);
        };
        let (stdout, stderr) = self.output.take().expect("nobody waited before");
        Outcome {
            call: self.text.clone(),
            code: status.code(),
            stdout: stdout.all(),
            stderr: stderr.all(),
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// What it has written to standard error.
    fn stderr_so_far(&self) -> String {
        self.output.as_ref().map_or_else(String::new, |(_, stderr)| stderr.so_far())
    }

    /// Waits until it has written `text` to standard error or has ended; says which.
    pub(crate) fn until_said(&mut self, text: &str) -> bool {
        self.wait_for(|running| running.stderr_so_far().contains(text))
    }

    /// Waits until `there` is true or the program has ended; says which.
    pub(crate) fn until(&mut self, mut there: impl FnMut() -> bool) -> bool {
        self.wait_for(|_| there())
    }

    fn wait_for(&mut self, mut there: impl FnMut(&Self) -> bool) -> bool {
        let clock = Instant::now();
        while !there(self) {
            if self.ended().is_some() {
                return false;
            }
            assert!(clock.elapsed() < LIMIT, "{}: what is awaited does not come", self.text);
            sleep(POLL);
        }
        true
    }

    /// Ends the program as `kill -9` does.
    pub(crate) fn kill(mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.wait();
    }

    /// Sends what Ctrl-C sends.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Sends what `kill` and schedulers send, to this process alone.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    #[cfg(unix)]
    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("`kill` is there");
        assert!(sent.success(), "{}: no signal could be sent", self.text);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    call: String,
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Each line of standard output as JSON.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}: {line}", self.call))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The only line of standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines.remove(0)
    }

    /// The program refused with this exit code and one sentence that contains all `parts`.
    pub(crate) fn refuses(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let [line] = lines[..] else { panic!("one line is due: {self:#?}") };
        let sentence = line.strip_prefix("askem: ").unwrap_or_else(|| panic!("{self:#?}"));
        assert!(sentence.len() > 10 && !sentence.contains("panicked"), "{self:#?}");
        for part in parts {
            assert!(sentence.contains(part), "`{part}` is missing: {self:#?}");
        }
    }
}

/// Says past the harness, which swallows what a passing test prints, that a test can't be run here.
pub(crate) fn not_run(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test} ({why})");
}
