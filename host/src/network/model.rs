//! A network on a device: its values and its prepared plans.

mod statistics;
mod training;
mod windows;

use std::collections::HashMap;

use askem_kernels::crop::Site;

use crate::compute::executor::{Executor, PlanId, Reading, SCORE_BATCH};
use crate::compute::plan::{BufferId, PlanBuilder};
use crate::error::{Error, Result};
pub use windows::{longest_window, window_bytes};

use crate::network::unet::{
    ForwardPlan, McPlan, Output, TrainingPlan, UNet, Weights, forward_plan, mc_plan_of,
};

/// Adam's memory of past gradients, laid out as the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Decayed mean of the gradients.
    pub first: Vec<f32>,
    /// Decayed mean of their squares.
    pub second: Vec<f32>,
}

/// A network on a device.
pub struct Model {
    executor: Box<dyn Executor>,
    net: UNet,
    patch: usize,
    state: PlanId,
    parameters: BufferId,
    statistics: Option<BufferId>,
    moments: (BufferId, BufferId),
    sizes: (usize, usize),
    /// Whether there are weights, without which a network says something all the same.
    has_weights: bool,
    /// Patches that forward plans and those under dropout take at a time.
    score_batch: usize,
    /// Where labelled patches lie.
    labelled: Option<Labelled>,
    /// By batch, and whether they warp; they cut their patches out of `labelled`.
    training: HashMap<(usize, bool), (PlanId, TrainingPlan)>,
    /// The plan of the last step.
    last_step: (usize, bool),
    /// By outputs and batch.
    forward: HashMap<(Vec<Output>, usize), (PlanId, ForwardPlan)>,
    /// Of the windows that were segmented last.
    window: Option<windows::WindowPlan>,
    /// Once it was asked for.
    longest_window: Option<usize>,
    /// By passes, those of them that run at once, and batch.
    mc: HashMap<(usize, usize, usize), (PlanId, McPlan)>,
    /// Measure batch norm's statistics.
    measuring: statistics::Plans,
}

/// Room for labelled patches on the device.
#[derive(Clone, Copy, Debug)]
struct Labelled {
    id: PlanId,
    patches: usize,
    images: BufferId,
    labels: BufferId,
}

/// Work that runs on the device; [`Model::finish`] waits for its results.
#[derive(Debug)]
#[must_use]
pub struct Started {
    outputs: usize,
    /// The outputs of the first batch, of the second, and so on.
    readings: Vec<Reading>,
}

/// Scores of one batch under dropout, each the sum over a patch, in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct McScores {
    /// Entropy of the mean prediction.
    pub entropy: Vec<f32>,
    /// What of it comes from disagreement between passes.
    pub mutual_information: Vec<f32>,
}

impl Model {
    /// Puts a network for square patches on a device. All values are zero until
    /// [`set_weights`](Self::set_weights).
    ///
    /// # Errors
    /// If the sizes make no network, or the device refuses.
    pub fn new(mut executor: Box<dyn Executor>, net: UNet, patch: usize) -> Result<Self> {
        net.validate()?;
        net.validate_patch(patch)?;
        let sizes = (net.parameters().len, net.statistics().len);
        let mut b = PlanBuilder::new("state", "none");
        let parameters = b.shared("parameters", sizes.0).buffer;
        let statistics = (sizes.1 > 0).then(|| b.shared("statistics", sizes.1).buffer);
        let first = b.shared("first moment", sizes.0).buffer;
        let second = b.shared("second moment", sizes.0).buffer;
        let state = executor.prepare(b.build())?;
        let score_batch = executor.score_batch();
        Ok(Self {
            executor,
            net,
            patch,
            state,
            parameters,
            statistics,
            moments: (first, second),
            sizes,
            has_weights: false,
            score_batch,
            labelled: None,
            training: HashMap::new(),
            last_step: (0, false),
            forward: HashMap::new(),
            window: None,
            longest_window: None,
            mc: HashMap::new(),
            measuring: statistics::Plans::new(),
        })
    }

    /// The network.
    pub fn net(&self) -> &UNet {
        &self.net
    }

    /// The side of a patch in pixels.
    pub fn patch(&self) -> usize {
        self.patch
    }

    /// Values of a sample: `patch^2` for each section that the network sees.
    pub fn sample_len(&self) -> usize {
        self.net.sections() * self.patch * self.patch
    }

    /// The device.
    pub fn executor(&mut self) -> &mut dyn Executor {
        &mut *self.executor
    }

    /// What the network runs on.
    pub fn device_name(&self) -> String {
        self.executor.name()
    }

    fn get(&mut self, plan: PlanId, buffer: BufferId, len: usize) -> Result<Vec<f32>> {
        let mut out = vec![0.0_f32; len];
        self.executor.read(plan, buffer, bytemuck::cast_slice_mut(&mut out))?;
        Ok(out)
    }

    fn put(&mut self, plan: PlanId, buffer: BufferId, values: &[f32]) -> Result<()> {
        self.executor.write(plan, buffer, bytemuck::cast_slice(values))
    }

    /// Copies the values from the device.
    pub fn weights(&mut self) -> Result<Weights> {
        let parameters = self.get(self.state, self.parameters, self.sizes.0)?;
        let statistics = match self.statistics {
            Some(buffer) => self.get(self.state, buffer, self.sizes.1)?,
            None => Vec::new(),
        };
        Ok(Weights { parameters, statistics })
    }

    /// Copies values to the device.
    ///
    /// # Errors
    /// [`Error::Input`] if they are those of another network; what the device says.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        let found = (weights.parameters.len(), weights.statistics.len());
        if found != self.sizes {
            return Err(Error::Input(format!(
                "{} parameters and {} statistics are not those of this network, which has {} and {}",
                found.0, found.1, self.sizes.0, self.sizes.1
            )));
        }
        self.has_weights = true;
        self.put(self.state, self.parameters, &weights.parameters)?;
        match self.statistics {
            Some(buffer) => self.put(self.state, buffer, &weights.statistics),
            None => Ok(()),
        }
    }

    /// Copies Adam's moments from the device.
    pub fn moments(&mut self) -> Result<Moments> {
        let first = self.get(self.state, self.moments.0, self.sizes.0)?;
        let second = self.get(self.state, self.moments.1, self.sizes.0)?;
        Ok(Moments { first, second })
    }

    /// Copies Adam's moments to the device.
    pub fn set_moments(&mut self, moments: &Moments) -> Result<()> {
        self.put(self.state, self.moments.0, &moments.first)?;
        self.put(self.state, self.moments.1, &moments.second)
    }

    /// Forgets all past gradients, as at the start of a training.
    pub fn clear_moments(&mut self) -> Result<()> {
        let zeros = vec![0.0; self.sizes.0];
        self.put(self.state, self.moments.0, &zeros)?;
        self.put(self.state, self.moments.1, &zeros)
    }

    /// Patches that keep the device busy when scoring and predicting, and that it can hold: so many at a time are fastest. More
    /// are done in several batches.
    pub fn score_batch(&self) -> usize {
        self.score_batch
    }

    /// Threads that may read patches while the device computes.
    pub fn reading_threads(&self) -> usize {
        self.executor.reading_threads()
    }

    /// The batch of the plan for so many patches: a device that likes many has another plan for few.
    fn batch_for(&self, patches: usize) -> usize {
        if patches <= SCORE_BATCH { self.score_batch.min(SCORE_BATCH) } else { self.score_batch }
    }

    /// The number of whole patches that so many values are, for a network that has weights.
    fn patches_of(&self, x: &[f32]) -> Result<usize> {
        self.require_weights()?;
        let sample = self.sample_len();
        if x.is_empty() || !x.len().is_multiple_of(sample) {
            return Err(Error::Input(format!(
                "{} values are no whole patches: the network takes {sample} for each, {} section(s) \
                 of {} x {}",
                x.len(),
                self.net.sections(),
                self.patch,
                self.patch
            )));
        }
        Ok(x.len() / sample)
    }

    fn require_weights(&self) -> Result<()> {
        match self.has_weights {
            true => Ok(()),
            false => Err(Error::Input(
                "the network has no weights yet; set_weights gives it some".into(),
            )),
        }
    }

    /// A forward pass without dropout; one vector per wanted output, for the given patches only.
    ///
    /// # Errors
    /// [`Error::Input`] if the values are no whole patches; what the device says, [`Error::TooLarge`] if it
    /// can't hold a single patch.
    pub fn forward(&mut self, x: &[f32], outputs: &[Output]) -> Result<Vec<Vec<f32>>> {
        let started = self.start_forward(x, outputs)?;
        self.finish(started)
    }

    /// Starts [`forward`](Self::forward), so that the device computes while the host does other things.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn start_forward(&mut self, x: &[f32], outputs: &[Output]) -> Result<Started> {
        let (pixels, patches) = (self.sample_len(), self.patches_of(x)?);
        self.prepare_fitting(|model| model.prepare_forward(outputs, patches))?;
        let mut started = Started { outputs: outputs.len(), readings: Vec::new() };
        for x in x.chunks(self.score_batch * pixels) {
            let count = x.len() / pixels;
            let batch = self.prepare_forward(outputs, count)?;
            let (id, plan) = &self.forward[&(outputs.to_vec(), batch)];
            let len = |b: BufferId| plan.plan.buffers[b.index()].len / batch * count;
            let executor = &mut *self.executor;
            executor.write(*id, plan.x, bytemuck::cast_slice(x))?;
            executor.run(*id, "forward")?;
            for &(_, buffer) in &plan.outputs {
                started.readings.push(executor.start_read(*id, buffer, len(buffer))?);
            }
        }
        Ok(started)
    }

    /// Waits for what was started: one vector per output.
    ///
    /// # Errors
    /// What the device says.
    pub fn finish(&mut self, started: Started) -> Result<Vec<Vec<f32>>> {
        let mut found = vec![Vec::new(); started.outputs];
        for (i, reading) in started.readings.into_iter().enumerate() {
            let words = self.executor.finish_read(reading)?;
            found[i % started.outputs].extend(words.into_iter().map(f32::from_bits));
        }
        Ok(found)
    }

    /// Prepares the plan for so many patches; returns its batch.
    fn prepare_forward(&mut self, outputs: &[Output], patches: usize) -> Result<usize> {
        let batch = self.batch_for(patches);
        let key = (outputs.to_vec(), batch);
        if !self.forward.contains_key(&key) {
            let plan = forward_plan(&self.net, batch, self.patch, self.patch, outputs);
            let id = self.executor.prepare(plan.plan.clone())?;
            self.forward.insert(key, (id, plan));
        }
        Ok(batch)
    }

    /// Passes under dropout: `keys[t]` holds the samples' dropout keys of pass `t`.
    ///
    /// # Errors
    /// [`Error::Input`] if the values are no whole patches or a pass has not a key for each; what the device says, [`Error::TooLarge`] if it can't hold a single patch.
    pub fn mc_dropout(&mut self, x: &[f32], keys: &[Vec<u64>]) -> Result<McScores> {
        let started = self.start_mc_dropout(x, keys)?;
        let mut found = self.finish(started)?;
        let mutual_information = found.pop().unwrap_or_default();
        Ok(McScores { entropy: found.pop().unwrap_or_default(), mutual_information })
    }

    /// Starts [`mc_dropout`](Self::mc_dropout): what [`finish`](Self::finish) then returns are the entropies and the mutual informations.
    ///
    /// # Errors
    /// As [`mc_dropout`](Self::mc_dropout).
    pub fn start_mc_dropout(&mut self, x: &[f32], keys: &[Vec<u64>]) -> Result<Started> {
        let passes = keys.len();
        let (pixels, patches) = (self.sample_len(), self.patches_of(x)?);
        if let Some(pass) = keys.iter().find(|pass| pass.len() != patches) {
            return Err(Error::Input(format!(
                "a pass has {} dropout keys for {patches} patches; give one for each",
                pass.len()
            )));
        }
        self.prepare_fitting(|model| model.prepare_mc(passes, patches))?;
        let mut started = Started { outputs: 2, readings: Vec::new() };
        let mut first = 0;
        while first < patches {
            let [stacked, most] = self.prepare_mc(passes, patches - first)?;
            let batch = first..patches.min(first + most);
            let (id, plan) = &self.mc[&(passes, stacked, most)];
            let executor = &mut *self.executor;
            executor.clear(*id, plan.sum_p)?;
            executor.clear(*id, plan.sum_entropy)?;
            let x = &x[batch.start * pixels..batch.end * pixels];
            executor.write(*id, plan.x, bytemuck::cast_slice(x))?;
            for passes in keys.chunks(stacked) {
                if let Some(buffer) = plan.keys {
                    // What is beyond the last patch draws the masks of the first one.
                    let of_pass = |pass: &Vec<u64>| {
                        let mut keys = vec![pass[batch.start]; most];
                        keys[..batch.len()].copy_from_slice(&pass[batch.clone()]);
                        keys
                    };
                    let keys: Vec<u64> = passes.iter().flat_map(of_pass).collect();
                    executor.write(*id, buffer, &words(&keys))?;
                }
                executor.run(*id, "pass")?;
            }
            executor.run(*id, "finish")?;
            for buffer in [plan.entropy, plan.mutual_information] {
                started.readings.push(executor.start_read(*id, buffer, batch.len())?);
            }
            first = batch.end;
        }
        Ok(started)
    }

    /// Prepares the plan for so many patches; returns how many passes run at once, and its batch of patches.
    fn prepare_mc(&mut self, passes: usize, patches: usize) -> Result<[usize; 2]> {
        let at_once = if self.executor.stacks_passes() { passes } else { 1 };
        let samples = self.batch_for(patches * at_once);
        let [stacked, n] = mc_batch(&*self.executor, passes, samples);
        let key = (passes, stacked, n);
        if !self.mc.contains_key(&key) {
            let plan = mc_plan_of(&self.net, stacked, [n, self.patch, self.patch], passes);
            let id = self.executor.prepare(plan.plan.clone())?;
            if let Some(buffer) = plan.sites {
                let site = |i: usize| Site { z: (i % n) as u32, ..Site::default() };
                let sites: Vec<Site> = (0..stacked * n).map(site).collect();
                let sites = each_section(&self.net, &sites);
                self.executor.write(id, buffer, bytemuck::cast_slice(&sites))?;
            }
            self.mc.insert(key, (id, plan));
        }
        Ok([stacked, n])
    }

    /// Prepares a plan for scores, with fewer patches at a time as long as it doesn't fit.
    fn prepare_fitting<T>(&mut self, prepare: impl Fn(&mut Self) -> Result<T>) -> Result<T> {
        loop {
            match prepare(self) {
                Err(Error::TooLarge(_)) if self.score_batch > 1 => {
                    self.score_batch /= 2;
                    let forward = self.forward.drain().map(|(_, (id, _))| id);
                    let mc = self.mc.drain().map(|(_, (id, _))| id);
                    for id in forward.chain(mc) {
                        self.executor.release(id);
                    }
                }
                other => return other,
            }
        }
    }
}

/// How many passes under dropout a device runs at once and on how many patches, where about so many samples are fastest: on some
/// the passes as one larger batch, as many as possible and the same number each time, on others one after another.
pub fn mc_batch(executor: &dyn Executor, passes: usize, samples: usize) -> [usize; 2] {
    if !executor.stacks_passes() {
        return [1, samples];
    }
    let divides = |&stacked: &usize| passes.is_multiple_of(stacked);
    let stacked = (1..=passes.min(samples)).rev().find(divides).unwrap_or(1);
    // Batches of patches are powers of two.
    [stacked, (samples / stacked).next_power_of_two()]
}

/// The sites of all sections of samples whose `z` counts samples.
fn each_section(net: &UNet, sites: &[Site]) -> Vec<Site> {
    let sections = net.sections() as u32;
    let of = |site: &Site| {
        let site = *site;
        (0..sections).map(move |section| Site { z: site.z * sections + section, ..site })
    };
    sites.iter().flat_map(of).collect()
}

/// 64-bit keys as a device reads them: the low word first.
fn words(keys: &[u64]) -> Vec<u32> {
    keys.iter().flat_map(|&k| [k as u32, (k >> 32) as u32]).collect()
}

#[cfg(test)]
mod tests;
