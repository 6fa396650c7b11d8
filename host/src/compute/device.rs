//! Which device computes.

pub(crate) mod checks;
pub mod self_test;
#[cfg(test)]
mod tests;
pub mod trial;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::compute::cpu::CpuExecutor;
use crate::compute::executor::Executor;
use crate::compute::gpu::{Adapter, GpuExecutor, adapters, check_environment};
use crate::compute::precision::{Precision, PrecisionChoice};
use crate::error::{Error, Result};

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
    /// One of the hardware GPUs, in the order of `askem devices`, from 0: `gpu:N`.
    GpuNumber(usize),
    /// All hardware GPUs, for work that several processes share; see [`expand`].
    All,
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
            "all" => Self::All,
            lower => match lower.strip_prefix("gpu:").and_then(|number| number.parse().ok()) {
                Some(number) => Self::GpuNumber(number),
                None => Self::Named(text.into()),
            },
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::GpuNumber(number) => write!(f, "gpu:{number}"),
            Self::All => f.write_str("all"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// The hardware GPUs among all adapters. One GPU is offered by several interfaces on some systems; that of the best one counts.
fn hardware(all: &[Adapter]) -> Vec<&Adapter> {
    let mut gpus: Vec<_> = all.iter().filter(|adapter| !adapter.is_software()).collect();
    if let Some(backend) = gpus.first().map(|best| best.backend()) {
        gpus.retain(|gpu| gpu.backend() == backend);
    }
    gpus
}

/// Puts the single GPUs in the place of [`DeviceChoice::All`].
///
/// # Errors
/// [`Error::Device`] where all GPUs are wanted and there is none.
pub fn expand(choices: &[DeviceChoice]) -> Result<Vec<DeviceChoice>> {
    let mut single = Vec::new();
    for choice in choices {
        if *choice == DeviceChoice::All {
            let all = adapters();
            let gpus = hardware(&all).len();
            if gpus == 0 {
                return Err(Error::Device(format!("no GPU on this machine; {}", known(&all))));
            }
            single.extend((0..gpus).map(DeviceChoice::GpuNumber));
        } else {
            single.push(choice.clone());
        }
    }
    Ok(single)
}

/// Whether a device computes in a precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrecisionState {
    /// It has what the precision needs, and passed the self-test.
    Works,
    /// It lacks what the precision needs, or is wrong in it: why.
    Refused(String),
    /// Nobody looked: why.
    NotTried(String),
}

/// The cores that a device is taken to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// How many.
    pub count: u32,
    /// How that is known.
    pub from: CoresFrom,
}

/// How a number of cores is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoresFrom {
    /// By the card's name.
    Card,
    /// As many as the processor has threads, which a software driver computes with.
    Processor,
    /// As most cards of its kind, of which this one is unknown.
    Guess,
}

impl fmt::Display for Cores {
    /// Such as `132 cores (known card)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.from {
            CoresFrom::Card => "known card",
            CoresFrom::Processor => "threads of the processor",
            CoresFrom::Guess => "a guess: unknown card",
        };
        write!(f, "{} cores ({from})", self.count)
    }
}

/// A form of a shader that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOutForm {
    /// `op::pass/form`.
    pub form: String,
    /// The fault, or whose wish it is.
    pub why: String,
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
    /// The cores that a GPU's work is cut for before anything was measured.
    pub cores: Option<Cores>,
    /// Features that matter for this project.
    pub features: Vec<String>,
    /// Those that the device has and that pass the self-test on it.
    pub precisions: Vec<Precision>,
    /// The same with reasons, for every precision.
    pub by_precision: Vec<(Precision, PrecisionState)>,
    /// Forms of shaders that are not in use in a precision that works, and why.
    pub left_out: Vec<(Precision, LeftOutForm)>,
    /// `ok`, or what failed.
    pub self_test: String,
    /// Whether `--device auto` takes it.
    pub auto: bool,
}

/// Who is told what does not stop the work and should be known, such as a form of a shader that is wrong.
pub type Warn = fn(String);

/// Opens the chosen device. `threads` counts for the CPU executor; `None` takes all.
///
/// # Errors
/// [`Error::Device`] where the choice names no device, or one that fails its self-test or has not the precision.
pub fn open(
    choice: &DeviceChoice,
    threads: Option<usize>,
    precision: PrecisionChoice,
) -> Result<Box<dyn Executor>> {
    open_with(choice, threads, precision, |_| {})
}

/// The same, and gives `warn` a sentence for each GPU, precision or form of a shader that is passed over although the device offers
/// it, now or while the device is in use.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    choice: &DeviceChoice,
    threads: Option<usize>,
    precision: PrecisionChoice,
    warn: Warn,
) -> Result<Box<dyn Executor>> {
    match open_gpu_with(choice, precision, warn)? {
        Some(executor) => Ok(Box::new(executor)),
        None => Ok(Box::new(CpuExecutor::new(threads)?)),
    }
}

/// Opens the chosen device if it is a GPU, or a software driver; `None` where it is the processor.
///
/// # Errors
/// [`Error::Device`] where the choice names no device, or one that fails its self-test or has not the precision.
pub fn open_gpu(choice: &DeviceChoice, precision: PrecisionChoice) -> Result<Option<GpuExecutor>> {
    open_gpu_with(choice, precision, |_| {})
}

/// The same, and gives `warn` what [`open_with`] does.
///
/// # Errors
/// As [`open_gpu`].
pub fn open_gpu_with(
    choice: &DeviceChoice,
    precision: PrecisionChoice,
    warn: Warn,
) -> Result<Option<GpuExecutor>> {
    if *choice != DeviceChoice::Cpu {
        check_environment()?;
    }
    // Drivers are not touched where none is wanted.
    let all = if *choice == DeviceChoice::Cpu { Vec::new() } else { adapters() };
    let found = match choice {
        DeviceChoice::Cpu => return on_processor(precision),
        DeviceChoice::Auto => {
            for adapter in all.iter().filter(|adapter| !adapter.is_software()) {
                match open_tested(adapter, precision, warn) {
                    Ok(gpu) => return Ok(Some(gpu)),
                    Err(error) => warn(format!("{} is not used: {error}", adapter.name())),
                }
            }
            return on_processor(precision);
        }
        DeviceChoice::Gpu => all
            .iter()
            .find(|adapter| !adapter.is_software())
            .ok_or_else(|| "no GPU on this machine".to_owned()),
        DeviceChoice::GpuNumber(number) => hardware(&all)
            .get(*number)
            .copied()
            .ok_or_else(|| format!("no GPU has number {number}, counted from 0")),
        DeviceChoice::All => {
            return Err(Error::Device(
                "this work runs on one device; name it, such as gpu:0".into(),
            ));
        }
        DeviceChoice::Named(name) => {
            let part = name.to_lowercase();
            all.iter()
                .find(|adapter| adapter.name().to_lowercase().contains(&part))
                .ok_or_else(|| format!("no adapter is named `{name}`"))
        }
    };
    let adapter = found.map_err(|what| Error::Device(format!("{what}; {}", known(&all))))?;
    open_tested(adapter, precision, warn).map(Some)
}

/// The processor, which computes in f32.
fn on_processor(precision: PrecisionChoice) -> Result<Option<GpuExecutor>> {
    match precision {
        PrecisionChoice::Auto | PrecisionChoice::Only(Precision::F32) => Ok(None),
        PrecisionChoice::Only(other) => Err(Error::Device(format!(
            "--precision {other} is for GPUs, and the processor computes in f32; name a GPU with --device, or leave \
             --precision out"
        ))),
    }
}

/// All devices: adapters from the best to the worst, the CPU executor last.
///
/// Opens and tests every adapter anew, whatever earlier starts found, which takes a few seconds where a driver is slow to compile.
pub fn list() -> Vec<DeviceReport> {
    let mut auto_taken = false;
    let mut reports = Vec::new();
    for adapter in adapters() {
        let mut report = report(&adapter);
        report.auto &= !auto_taken;
        auto_taken |= report.auto;
        reports.push(report);
    }
    let cpu = CpuExecutor::new(None).and_then(|mut executor| {
        self_test::run(&mut executor)?;
        Ok(executor.name())
    });
    reports.push(DeviceReport {
        name: cpu.as_ref().map_or_else(|_| "cpu".into(), Clone::clone),
        backend: "native",
        kind: "cpu",
        cores: None,
        features: Vec::new(),
        precisions: if cpu.is_ok() { vec![Precision::F32] } else { Vec::new() },
        by_precision: Vec::from(Precision::ALL.map(|precision| {
            let state = match (precision, &cpu) {
                (Precision::F32, Ok(_)) => PrecisionState::Works,
                (Precision::F32, Err(error)) => PrecisionState::Refused(error.to_string()),
                _ => PrecisionState::Refused("the processor computes in f32".into()),
            };
            (precision, state)
        })),
        left_out: Vec::new(),
        self_test: outcome(cpu.map(drop)),
        auto: !auto_taken,
    });
    reports
}

fn outcome(tested: Result<()>) -> String {
    tested.map_or_else(|error| error.to_string(), |()| "ok".into())
}

/// Tests an adapter in all precisions.
fn report(adapter: &Adapter) -> DeviceReport {
    let mut by_precision = Vec::new();
    let mut left_out = Vec::new();
    let mut f32_outcome = Ok(());
    for precision in Precision::ALL {
        if let (true, Err(error)) = (precision != Precision::F32, &f32_outcome) {
            let why = format!("it fails in f32: {error}");
            by_precision.push((precision, PrecisionState::NotTried(why)));
            continue;
        }
        let tested = tested(adapter, precision, true);
        by_precision.push((
            precision,
            match &tested {
                Ok(_) => PrecisionState::Works,
                Err(error) => PrecisionState::Refused(error.to_string()),
            },
        ));
        let forms = tested.as_ref().map_or(Vec::new(), GpuExecutor::left_out);
        left_out.extend(forms.into_iter().map(|form| (precision, form)));
        if precision == Precision::F32 {
            f32_outcome = tested.map(drop);
        }
    }
    let works = |(precision, state): &(Precision, PrecisionState)| {
        (*state == PrecisionState::Works).then_some(*precision)
    };
    DeviceReport {
        name: adapter.name().into(),
        backend: adapter.backend(),
        kind: adapter.kind(),
        cores: Some(adapter.cores()),
        features: adapter.features(),
        precisions: by_precision.iter().filter_map(works).collect(),
        by_precision,
        left_out,
        auto: f32_outcome.is_ok() && !adapter.is_software(),
        self_test: outcome(f32_outcome),
    }
}

/// Opens an adapter and tests it, unless that was done at an earlier start and is not to be done `again`.
fn tested(adapter: &Adapter, precision: Precision, again: bool) -> Result<GpuExecutor> {
    let mut executor = GpuExecutor::new(adapter, precision)?;
    executor.self_test(again)?;
    Ok(executor)
}

/// Opens an adapter that passes the self-test, in the fastest precision where none is asked for.
fn open_tested(adapter: &Adapter, precision: PrecisionChoice, warn: Warn) -> Result<GpuExecutor> {
    let precisions = match precision {
        PrecisionChoice::Only(precision) => vec![precision],
        // What saves a GPU time costs a processor more.
        PrecisionChoice::Auto if adapter.is_software() => vec![Precision::F32],
        PrecisionChoice::Auto => vec![Precision::Tensor, Precision::F16, Precision::F32],
    };
    let (last, faster) = precisions.split_last().expect("there is one");
    let mut found = None;
    for &precision in faster {
        match tested(adapter, precision, false) {
            Ok(executor) => {
                found = Some(executor);
                break;
            }
            // What it never had is no news.
            Err(_) if adapter.check(precision).is_err() => {}
            Err(error) => warn(format!("{} is not used in {precision}: {error}", adapter.name())),
        }
    }
    let mut executor = match found {
        Some(executor) => executor,
        None => tested(adapter, *last, false)?,
    };
    executor.warn_with(warn);
    if !adapter.is_software() {
        executor.tune();
    }
    Ok(executor)
}

/// Why there may be no adapter, and what to do.
#[cfg(feature = "gpu")]
const NO_ADAPTER: &str =
    "no driver offers an adapter; install your GPU's Vulkan driver, or take --device cpu";
#[cfg(not(feature = "gpu"))]
const NO_ADAPTER: &str = "this program was built without GPUs (the feature gpu); build it with its \
    default features, or take --device cpu";

/// What there is, for the message that something else is not.
fn known(all: &[Adapter]) -> String {
    if all.is_empty() {
        return NO_ADAPTER.into();
    }
    let names: Vec<_> =
        all.iter().map(|a| format!("{} ({}, {})", a.name(), a.backend(), a.kind())).collect();
    format!("there are: {}; or take --device cpu", names.join(", "))
}
