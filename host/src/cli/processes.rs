//! Work on several devices of one machine: a process for each, which computes a part of this process's part.
//!
//! The first device's process is the one that was started; when it has checked everything and made the store, it starts the
//! others with the same arguments. They learn their device and part from two variables of the environment.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::Common;
use super::progress::request_stop;
use crate::compute::device::{self, DeviceChoice};
use crate::compute::executor::Executor;
use crate::error::{Error, Result};
use crate::pools::shard::Shard;

const DEVICE: &str = "ASKEM_PROCESS_DEVICE";
const SHARD: &str = "ASKEM_PROCESS_SHARD";

/// Set for processes that another one has started; their standard input ends when that one does.
const CHILD: &str = "ASKEM_PROCESS_CHILD";

/// How this process was started.
static STARTED: OnceLock<Started> = OnceLock::new();

struct Started {
    /// Its arguments, the name of the program first.
    arguments: Vec<OsString>,
    /// What starts the program, where that is not the file that this process runs.
    again: Option<Vec<OsString>>,
}

/// Keeps how this process was started, for those that it starts itself.
pub(super) fn remember(arguments: Vec<OsString>, again: Option<Vec<OsString>>) {
    let _ = STARTED.set(Started { arguments, again });
}

/// A call of this program, without arguments.
pub(super) fn this_program() -> std::io::Result<Command> {
    let again = STARTED.get().and_then(|started| started.again.as_deref());
    let Some([program, first @ ..]) = again else {
        return Ok(Command::new(env::current_exe()?));
    };
    let mut command = Command::new(program);
    command.args(first);
    Ok(command)
}

/// Starts a process that ends with this one, however this one ends: it saves what it has when its standard input ends.
pub(super) fn start_child(command: &mut Command) -> std::io::Result<Child> {
    command.env(CHILD, "1").stdin(Stdio::piped()).spawn()
}

/// Asks for a stop when the process that has started this one is gone, if one has; says whether one has.
pub(super) fn stop_with_parent() -> bool {
    let is_child = env::var_os(CHILD).is_some();
    if is_child {
        std::thread::spawn(|| {
            let mut buffer = [0; 64];
            // Nothing is ever written.
            while std::io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
            request_stop();
        });
    }
    is_child
}

/// Bytes that processes can still take without swapping, where the system says so as Linux does.
pub(super) fn available_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}

/// What this process computes, and what it leaves to others.
#[derive(Debug)]
pub(super) struct Share {
    device: DeviceChoice,
    /// This process's part.
    pub(super) shard: Shard,
    /// The part of all processes together.
    pub(super) whole: Shard,
    others: Vec<(DeviceChoice, Shard)>,
    /// Whether another process has made everything ready and started this one.
    pub(super) is_helper: bool,
}

impl Share {
    /// Divides a part among the devices of `--device`.
    pub(super) fn of(whole: Shard, common: &Common) -> Result<Self> {
        if let (Ok(device), Ok(shard)) = (env::var(DEVICE), env::var(SHARD)) {
            stop_with_parent();
            let Ok(shard) = Shard::parse(&shard) else {
                return Err(Error::Usage(format!("{SHARD}={shard}: unset this variable")));
            };
            let Ok(device) = device.parse();
            return Ok(Self { device, shard, whole: shard, others: Vec::new(), is_helper: true });
        }
        let devices = device::expand(&common.device)?;
        let parts = devices.len() as u64;
        let Some(count) = whole.count.checked_mul(parts) else {
            return Err(Error::Usage(format!("--shard: {} parts are too many", whole.count)));
        };
        let shards = (0..parts).map(|i| Shard { index: whole.index * parts + i, count });
        let mut pairs = devices.into_iter().zip(shards);
        let (device, shard) = pairs.next().expect("--device has a default");
        Ok(Self { device, shard, whole, others: pairs.collect(), is_helper: false })
    }

    /// Devices that compute side by side.
    pub(super) fn devices(&self) -> usize {
        1 + self.others.len()
    }

    /// Opens this process's device.
    pub(super) fn open_device(&self, common: &Common) -> Result<Box<dyn Executor>> {
        common.validate()?;
        device::open_with(&self.device, common.threads, common.precision, super::warn)
    }

    /// Starts the processes of the other devices.
    pub(super) fn start_others(&self, common: &Common) -> Result<Others> {
        let failed = |e| Error::io("askem".as_ref(), "starting a process for another device", e);
        let mut others = Others { running: Vec::new() };
        if self.others.is_empty() {
            return Ok(others);
        }
        let arguments = STARTED.get().map_or(&[][..], |started| &started.arguments);
        for (device, shard) in &self.others {
            let mut command = this_program().map_err(failed)?;
            command.args(arguments.iter().skip(1));
            if !common.json {
                command.arg("--json");
            }
            let text = device.to_string();
            command.env(DEVICE, &text).env(SHARD, format!("{}/{}", shard.index, shard.count));
            let child = start_child(command.stdout(Stdio::piped()));
            others.running.push((text, child.map_err(failed)?));
        }
        Ok(others)
    }
}

/// Processes that compute on other devices. Killed if this one fails.
#[derive(Debug)]
pub(super) struct Others {
    running: Vec<(String, Child)>,
}

impl Others {
    /// Waits for all of them; gives the line of JSON that each of them said.
    pub(super) fn wait(mut self) -> Result<Vec<Value>> {
        let mut said = Vec::new();
        for (device, child) in &mut self.running {
            let failed = |e| Error::io("askem".as_ref(), "waiting for another device", e);
            let mut text = String::new();
            if let Some(mut stdout) = child.stdout.take() {
                stdout.read_to_string(&mut text).map_err(failed)?;
            }
            let status = child.wait().map_err(failed)?;
            match status.code() {
                Some(0) => said.extend(text.lines().filter_map(|l| serde_json::from_str(l).ok())),
                Some(130) => return Err(Error::Interrupted("interrupted".into())),
                _ => {
                    return Err(Error::Device(format!(
                        "the process on device {device} failed ({status}), as it says above; what is done is kept"
                    )));
                }
            }
        }
        self.running.clear();
        Ok(said)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_what_is_free() {
        assert!(super::available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
