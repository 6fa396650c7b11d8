//! A device with its queue, and what went wrong on it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu::PollType;

use super::adapter::{self, Adapter};
use super::cache::{Cache, Kind};
use super::{Cores, spirv, trusted};
use crate::compute::precision::Precision;
use crate::error::{Error, Result};

/// An open device.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    pub(super) name: String,
    /// The side of the matrices that matrix units take, if they are in use.
    pub(super) side: Option<u32>,
    pub(super) cores: Cores,
    /// What earlier starts found out.
    pub(super) cache: Cache,
    /// Where the driver offers one.
    pub(super) pipeline_cache: Option<wgpu::PipelineCache>,
    /// The version in which modules for matrix units are translated here, if they are.
    pub(super) spirv: Option<spirv::Version>,
    /// How many of them were.
    pub(super) conforming_modules: AtomicUsize,
    faults: Arc<Faults>,
}

/// What the driver said outside of a call's return value. The next call reports it.
#[derive(Debug, Default)]
struct Faults {
    /// The first error since the last look.
    error: Mutex<Option<Fault>>,
    /// Why the device is gone; for good.
    lost: Mutex<Option<String>>,
}

/// An error that no call returned.
#[derive(Debug)]
enum Fault {
    OutOfMemory,
    Other(String),
}

fn checksum(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}

/// What `keep_pipelines` wrote, without its checksum; `None` if it is damaged.
fn checked(mut kept: Vec<u8>) -> Option<Vec<u8>> {
    let sum = kept.split_off(kept.len().checked_sub(8)?);
    (sum == checksum(&kept).to_le_bytes()).then_some(kept)
}

/// A fault's text is whole even if a thread that held the lock panicked.
fn lock<T>(fault: &Mutex<Option<T>>) -> std::sync::MutexGuard<'_, Option<T>> {
    fault.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Opens an adapter with all that it can hold.
    pub(super) fn open(adapter: &Adapter, precision: Precision) -> Result<Self> {
        adapter.check(precision)?;
        let limits = adapter.raw.limits();
        // What the f32 shaders need is in every adapter; times of single steps are a bonus.
        let mut bonus = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE;
        bonus &= adapter.raw.features();
        let spirv = spirv::version(adapter, precision)?;
        bonus.set(wgpu::Features::PASSTHROUGH_SHADERS, spirv.is_some());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("askem"),
            required_features: bonus | adapter::features_for(precision),
            required_limits: limits.clone(),
            experimental_features: match precision {
                Precision::Tensor => trusted::experimental_features(),
                Precision::F32 | Precision::F16 => wgpu::ExperimentalFeatures::disabled(),
            },
            ..Default::default()
        };
        // wgpu 30 panics where a driver offers what it then refuses.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            pollster::block_on(adapter.raw.request_device(&descriptor))
        }));
        let closed = |error: &dyn std::fmt::Display| {
            Error::Device(format!("{} does not open in {precision}: {error}", adapter.name()))
        };
        let opened = opened.map_err(|_| closed(&"the driver refuses what it offers"))?;
        let (device, queue) = opened.map_err(|error| closed(&error))?;
        let faults = Arc::new(Faults::default());
        let sink = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let fault = match error {
                wgpu::Error::OutOfMemory { .. } => Fault::OutOfMemory,
                error => Fault::Other(error.to_string()),
            };
            lock(&sink.error).get_or_insert(fault);
        }));
        let sink = Arc::clone(&faults);
        device.set_device_lost_callback(move |_, text| {
            lock(&sink.lost).get_or_insert(text);
        });
        let side = adapter.matrix_side().filter(|_| precision == Precision::Tensor);
        let (name, driver) = (adapter.name(), adapter.driver());
        let matrices = side.map(|side| format!(", matrices of {side}")).unwrap_or_default();
        let cache = Cache::of_device(format!("{name} in {precision}, {driver}{matrices}"));
        let has_cache = device.features().contains(wgpu::Features::PIPELINE_CACHE);
        let pipeline_cache = has_cache.then(|| {
            let kept = cache.read(Kind::Pipelines).and_then(checked);
            trusted::pipeline_cache(&device, kept.as_deref())
        });
        let (name, cores) = (name.into(), adapter.cores());
        let conforming_modules = AtomicUsize::new(0);
        Ok(Self {
            device,
            queue,
            limits,
            name,
            side,
            cores,
            cache,
            pipeline_cache,
            spirv,
            conforming_modules,
            faults,
        })
    }

    /// Keeps the pipelines that were compiled for later starts.
    pub(super) fn keep_pipelines(&self) {
        let data = self.pipeline_cache.as_ref().and_then(wgpu::PipelineCache::get_data);
        if let Some(mut data) = data {
            data.extend(checksum(&data).to_le_bytes());
            self.cache.write(Kind::Pipelines, &data);
        }
    }

    /// Reports what went wrong since the last look.
    pub(super) fn check(&self) -> Result<()> {
        let error = lock(&self.faults.error).take();
        if let Some(text) = &*lock(&self.faults.lost) {
            return Err(Error::Device(format!(
                "{}: the device is lost ({text}); start again, with --device cpu if it recurs",
                self.name
            )));
        }
        match error {
            Some(Fault::OutOfMemory) => Err(Error::TooLarge(format!(
                "{}: out of memory; a smaller batch or patch needs less",
                self.name
            ))),
            Some(Fault::Other(text)) => Err(Error::Device(format!("{}: {text}", self.name))),
            None => Ok(()),
        }
    }

    /// Waits for a submission, or for all.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let is_one = submission.is_some();
        let wait = PollType::Wait { submission_index: submission, timeout: None };
        // wgpu 30 panics where a device is lost while it is polled.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
        match polled {
            Ok(Ok(_)) => self.check(),
            Ok(Err(error)) => {
                // A submission to a lost device was none. Waiting for all says that it is lost.
                if is_one {
                    self.wait(None)?;
                }
                Err(Error::Device(format!("{}: {error}", self.name)))
            }
            Err(_) => {
                lock(&self.faults.lost).get_or_insert("while waiting for it".into());
                self.check()
            }
        }
    }
}
