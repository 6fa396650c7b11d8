//! Batch norm's statistics, measured anew on patches that need no label.

use super::{Model, words};
use crate::compute::executor::PlanId;
use crate::compute::plan::BufferId;
use crate::error::{Error, Result};
use crate::network::unet::{StatisticsPlan, statistics_plan};

/// Patches that are normalised together. The same on all devices, so that all measure the same.
const BATCH: usize = 16;

/// Plans by their batch, and whether dropout is on.
pub(super) type Plans = std::collections::HashMap<(usize, bool), (PlanId, StatisticsPlan)>;

impl Model {
    /// Batch norm's running statistics; empty with instance norm.
    ///
    /// # Errors
    /// What the device says.
    pub fn statistics(&mut self) -> Result<Vec<f32>> {
        match self.statistics {
            Some(buffer) => self.get(self.state, buffer, self.sizes.1),
            None => Ok(Vec::new()),
        }
    }

    /// Puts batch norm's running statistics on the device.
    ///
    /// # Errors
    /// What the device says.
    pub fn set_statistics(&mut self, statistics: &[f32]) -> Result<()> {
        match self.statistics {
            Some(buffer) => self.put(self.state, buffer, statistics),
            None => Ok(()),
        }
    }

    /// Replaces batch norm's running statistics by those of patches, without dropout or, with a
    /// key for each patch, under it. Does nothing with instance norm, or without a patch.
    ///
    /// Patches are normalised 16 at a time; the mean and the second moment of each map are then
    /// averaged over all patches, in `f64`. Training does not depend on the running statistics.
    ///
    /// `x` holds [`sample_len`](Self::sample_len) normalised grey values for each patch.
    ///
    /// # Errors
    /// What the device says, [`Error::TooLarge`] if it can't hold a single patch.
    pub fn measure_statistics(&mut self, x: &[f32], keys: Option<&[u64]>) -> Result<()> {
        let pixels = self.sample_len();
        if self.statistics.is_none() || x.is_empty() {
            return Ok(());
        }
        let mut batch = BATCH.min(x.len() / pixels);
        while let Err(error) = self.prepare_statistics(batch, keys.is_some()) {
            match error {
                Error::TooLarge(_) if batch > 1 => batch /= 2,
                other => return Err(other),
            }
        }
        let entries = self.net.statistics().entries;
        let mut sums = vec![0.0_f64; self.sizes.1];
        for (first, x) in x.chunks(batch * pixels).enumerate() {
            let n = x.len() / pixels;
            let (id, at, to) = self.prepare_statistics(n, keys.is_some())?;
            self.executor.write(id, at, bytemuck::cast_slice(x))?;
            if let (Some(keys), Some(buffer)) = (keys, to) {
                let keys = &keys[first * batch..][..n];
                self.executor.write(id, buffer, &words(keys))?;
            }
            self.executor.run(id, "statistics")?;
            let found = self.statistics()?;
            // Means and variances take turns in the bank.
            for pair in entries.chunks(2) {
                for i in 0..pair[0].len() {
                    let [mean, var] = [0, 1].map(|k| f64::from(found[pair[k].offset + i]));
                    sums[pair[0].offset + i] += n as f64 * mean;
                    sums[pair[1].offset + i] += n as f64 * (var + mean * mean);
                }
            }
        }
        let patches = (x.len() / pixels) as f64;
        let mut measured = vec![0.0; self.sizes.1];
        for pair in entries.chunks(2) {
            for i in 0..pair[0].len() {
                let [mean, second] = [0, 1].map(|k| sums[pair[k].offset + i] / patches);
                measured[pair[0].offset + i] = mean as f32;
                measured[pair[1].offset + i] = (second - mean * mean).max(0.0) as f32;
            }
        }
        self.set_statistics(&measured)
    }

    /// Prepares the plan for so many patches; gives it with its inputs, patches and keys.
    fn prepare_statistics(
        &mut self,
        n: usize,
        dropout: bool,
    ) -> Result<(PlanId, BufferId, Option<BufferId>)> {
        if !self.measuring.contains_key(&(n, dropout)) {
            let plan = statistics_plan(&self.net, [n, self.patch, self.patch], dropout);
            let id = self.executor.prepare(plan.plan.clone())?;
            self.measuring.insert((n, dropout), (id, plan));
        }
        let (id, plan) = &self.measuring[&(n, dropout)];
        Ok((*id, plan.x, plan.keys))
    }
}
