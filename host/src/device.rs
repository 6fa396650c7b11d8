//! Which device computes.

pub(crate) mod checks;
#[cfg(test)]
mod tests;
pub mod trial;

use std::convert::Infallible;
use std::str::FromStr;

use crate::cpu::CpuExecutor;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::gpu::{Adapter, GpuExecutor, adapters, self_test};

/// What `--device` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best hardware GPU that passes its self-test, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The best hardware GPU; an error where there is none.
    Gpu,
    /// The best adapter whose name contains this, in any case. Software drivers only come this way.
    Named(String),
}

impl FromStr for DeviceChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text.to_lowercase().as_str() {
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "gpu" => Self::Gpu,
            _ => Self::Named(text.into()),
        })
    }
}

/// What is known of one device of this machine.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// The name that `--device` matches.
    pub name: String,
    /// The interface: `vulkan`, `metal`, `dx12`, or `native` for the CPU executor.
    pub backend: &'static str,
    /// `cpu`, `integrated`, `discrete`, `virtual` or `other`.
    pub kind: &'static str,
    /// Features that matter for this project.
    pub features: Vec<String>,
    /// `ok`, or what failed.
    pub self_test: String,
    /// Whether `--device auto` takes it.
    pub auto: bool,
}

/// Opens the chosen device. `threads` counts for the CPU executor; `None` takes all.
///
/// # Errors
/// [`Error::Device`] where the choice names no device, or one that fails its self-test.
pub fn open(choice: &DeviceChoice, threads: Option<usize>) -> Result<Box<dyn Executor>> {
    match choice {
        DeviceChoice::Cpu => Ok(Box::new(CpuExecutor::new(threads)?)),
        DeviceChoice::Auto => {
            let hardware = adapters().into_iter().filter(|adapter| !adapter.is_software());
            for adapter in hardware {
                // One that fails is passed over; `askem devices` says why.
                if let Ok(executor) = open_tested(&adapter) {
                    return Ok(Box::new(executor));
                }
            }
            Ok(Box::new(CpuExecutor::new(threads)?))
        }
        DeviceChoice::Gpu => {
            let all = adapters();
            match all.iter().find(|adapter| !adapter.is_software()) {
                Some(adapter) => Ok(Box::new(open_tested(adapter)?)),
                None => Err(Error::Device(format!("no GPU on this machine; {}", known(&all)))),
            }
        }
        DeviceChoice::Named(name) => {
            let all = adapters();
            let part = name.to_lowercase();
            let matches = |adapter: &&Adapter| adapter.name().to_lowercase().contains(&part);
            match all.iter().find(matches) {
                Some(adapter) => Ok(Box::new(open_tested(adapter)?)),
                None => {
                    Err(Error::Device(format!("no adapter is named `{name}`; {}", known(&all))))
                }
            }
        }
    }
}

/// All devices: adapters from the best to the worst, the CPU executor last.
///
/// Opens and tests every adapter, which takes a few seconds where a driver is slow to compile.
pub fn list() -> Vec<DeviceReport> {
    let mut auto_taken = false;
    let mut reports: Vec<DeviceReport> = adapters()
        .iter()
        .map(|adapter| {
            let tested = open_tested(adapter);
            let auto = tested.is_ok() && !adapter.is_software() && !auto_taken;
            auto_taken |= auto;
            DeviceReport {
                name: adapter.name().into(),
                backend: adapter.backend(),
                kind: adapter.kind(),
                features: adapter.features(),
                self_test: outcome(tested.map(drop)),
                auto,
            }
        })
        .collect();
    let cpu = CpuExecutor::new(None).and_then(|mut executor| {
        self_test::run(&mut executor)?;
        Ok(executor.name())
    });
    reports.push(DeviceReport {
        name: cpu.as_ref().map_or_else(|_| "cpu".into(), Clone::clone),
        backend: "native",
        kind: "cpu",
        features: Vec::new(),
        self_test: outcome(cpu.map(drop)),
        auto: !auto_taken,
    });
    reports
}

fn outcome(tested: Result<()>) -> String {
    tested.map_or_else(|error| error.to_string(), |()| "ok".into())
}

fn open_tested(adapter: &Adapter) -> Result<GpuExecutor> {
    let mut executor = GpuExecutor::new(adapter)?;
    self_test::run(&mut executor)?;
    Ok(executor)
}

/// What there is, for the message that something else is not.
fn known(all: &[Adapter]) -> String {
    if all.is_empty() {
        return "no driver offers an adapter; install your GPU's Vulkan driver, or take --device cpu"
            .into();
    }
    let names: Vec<_> =
        all.iter().map(|a| format!("{} ({}, {})", a.name(), a.backend(), a.kind())).collect();
    format!("there are: {}; or take --device cpu", names.join(", "))
}
