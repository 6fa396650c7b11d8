//! What stands for GPUs in a program that is built without the feature `gpu`: types of which there
//! is no value, so that what would be done with a GPU is never done.

use crate::compute::device::{Cores, LeftOutForm, Warn};
use crate::compute::executor::{Executor, PlanId};
use crate::compute::plan::{BufferId, Plan};
use crate::compute::precision::Precision;
use crate::error::Result;

/// A GPU or a software driver that was found: none is.
#[derive(Clone, Debug)]
pub enum Adapter {}

/// The adapters of this machine, none of which this program can use.
pub fn adapters() -> Vec<Adapter> {
    Vec::new()
}

/// There is nothing to refuse.
pub(crate) fn check_environment() -> Result<()> {
    Ok(())
}

impl Adapter {
    /// The name that its driver gives.
    pub fn name(&self) -> &str {
        match *self {}
    }

    /// The interface.
    pub fn backend(&self) -> &'static str {
        match *self {}
    }

    /// `cpu`, `integrated`, `discrete`, `virtual` or `other`.
    pub fn kind(&self) -> &'static str {
        match *self {}
    }

    /// The cores that work is cut for.
    pub fn cores(&self) -> Cores {
        match *self {}
    }

    /// Whether a processor computes.
    pub fn is_software(&self) -> bool {
        match *self {}
    }

    /// Features that matter for this project.
    pub fn features(&self) -> Vec<String> {
        match *self {}
    }

    /// Whether it has what a precision needs.
    ///
    /// # Errors
    /// None: there is no adapter.
    pub fn check(&self, _: Precision) -> Result<()> {
        match *self {}
    }
}

/// An executor that computes on a GPU: there is none.
#[derive(Debug)]
pub enum GpuExecutor {}

impl GpuExecutor {
    /// Opens an adapter.
    ///
    /// # Errors
    /// None: there is no adapter.
    pub fn new(adapter: &Adapter, _: Precision) -> Result<Self> {
        match *adapter {}
    }

    /// Tests every form of every pass.
    ///
    /// # Errors
    /// None: there is no executor.
    pub fn self_test(&mut self, _: bool) -> Result<()> {
        match *self {}
    }

    /// Measures which forms are fastest.
    pub fn tune(&mut self) {
        match *self {}
    }

    /// The forms that are not in use.
    pub fn left_out(&self) -> Vec<LeftOutForm> {
        match *self {}
    }

    /// Who is told of faults.
    pub fn warn_with(&mut self, _: Warn) {
        match *self {}
    }
}

impl Executor for GpuExecutor {
    fn name(&self) -> String {
        match *self {}
    }

    fn prepare(&mut self, _: Plan) -> Result<PlanId> {
        match *self {}
    }

    fn plan(&self, _: PlanId) -> &Plan {
        match *self {}
    }

    fn release(&mut self, _: PlanId) {
        match *self {}
    }

    fn write(&mut self, _: PlanId, _: BufferId, _: &[u32]) -> Result<()> {
        match *self {}
    }

    fn read(&mut self, _: PlanId, _: BufferId, _: &mut [u32]) -> Result<()> {
        match *self {}
    }

    fn run(&mut self, _: PlanId, _: &str) -> Result<()> {
        match *self {}
    }
}
