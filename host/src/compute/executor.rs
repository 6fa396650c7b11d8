//! Who computes plans.

use crate::compute::plan::{BufferId, Memory, Plan};
use crate::compute::precision::Precision;
use crate::error::Result;

/// A plan that an executor has prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanId(pub(crate) usize);

impl PlanId {
    /// A name for a plan. An executor gives each of its plans another number.
    pub fn new(number: usize) -> Self {
        Self(number)
    }

    /// The number.
    pub fn number(self) -> usize {
        self.0
    }
}

/// Patches per batch when scoring and predicting that keep a processor busy.
pub const SCORE_BATCH: usize = 16;

/// The start of a buffer on its way to the host; see [`Executor::start_read`].
#[derive(Debug)]
pub struct Reading {
    /// What has come.
    pub(crate) words: Vec<u32>,
    /// What the executor calls the rest, if there is any.
    #[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "processors read at once"))]
    pub(crate) number: Option<u64>,
}

impl Reading {
    /// One that has come whole.
    pub fn done(words: Vec<u32>) -> Self {
        Self { words, number: None }
    }
}

/// Runs plans on one device.
///
/// Shared buffers live in the executor by name; each prepared plan has its own slots.
/// The same plan with the same inputs gives the same bits on the same device.
pub trait Executor: Send {
    /// What it computes on, such as `cpu (2 threads)` or an adapter's name.
    fn name(&self) -> String;

    /// In what numbers it computes.
    fn precision(&self) -> Precision {
        Precision::F32
    }

    /// Bytes that a plan would need here, known before anything is allocated. An executor that fuses steps needs other room than
    /// the plan as it is written.
    fn memory(&self, plan: &Plan) -> Memory {
        plan.memory()
    }

    /// Allocates a plan's memory and makes its steps ready.
    ///
    /// # Errors
    /// If the device cannot hold the plan, saying what would fit.
    fn prepare(&mut self, plan: Plan) -> Result<PlanId>;

    /// The plan behind an id.
    fn plan(&self, id: PlanId) -> &Plan;

    /// Gives a plan's memory back, with that of shared buffers which no other plan names.
    fn release(&mut self, id: PlanId);

    /// Fills the start of a shared or kept buffer; elements are four-byte words
    /// (`bytemuck::cast_slice` of `f32` or `u32`).
    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()>;

    /// Reads the start of a shared or kept buffer into `data`, after all that was run before.
    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()>;

    /// Starts to read the start of a shared or kept buffer, `len` elements, as it is after all that was run before: what runs later does
    /// not change what is read. So a device may compute while earlier results are on their way.
    fn start_read(&mut self, id: PlanId, buffer: BufferId, len: usize) -> Result<Reading> {
        let mut words = vec![0; len];
        self.read(id, buffer, &mut words)?;
        Ok(Reading::done(words))
    }

    /// Waits for what [`start_read`](Self::start_read) reads.
    fn finish_read(&mut self, reading: Reading) -> Result<Vec<u32>> {
        Ok(reading.words)
    }

    /// Fills a shared or kept buffer with zeros.
    fn clear(&mut self, id: PlanId, buffer: BufferId) -> Result<()> {
        let len = self.plan(id).buffers[buffer.index()].len;
        self.write(id, buffer, &vec![0; len])
    }

    /// Patches per batch that keep the device busy when scoring and predicting.
    fn score_batch(&self) -> usize {
        SCORE_BATCH
    }

    /// Threads that may read patches while it computes: one where computing takes the processor.
    fn reading_threads(&self) -> usize {
        1
    }

    /// Whether passes under dropout are faster as one larger batch than one after another.
    fn stacks_passes(&self) -> bool {
        false
    }

    /// Runs the named section.
    fn run(&mut self, id: PlanId, section: &str) -> Result<()>;

    /// The threads of an executor that computes on the host's processor and in its memory.
    ///
    /// Algorithms that suit a processor better than plans do run on them, on the data where it lies.
    fn threads(&self) -> Option<&rayon::ThreadPool> {
        None
    }
}
