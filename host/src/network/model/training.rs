//! Training steps of a model, and the labelled patches that they take.

use askem_kernels::crop::Site;
use askem_kernels::warp::Transform;

use super::{Labelled, Model, each_section, words};
use crate::compute::plan::PlanBuilder;
use crate::error::{Error, Result};
use crate::network::unet::{AdamOptions, labelled_patches, training_plan_of};

impl Model {
    /// Makes room on the device for labelled patches and for training steps, warped or not, that take `wanted` of them, or half as many, or a quarter,
    /// if the device can't hold that. Returns how many a step takes, and whether all the patches have room: where they don't, those
    /// of a step have. The same device gives the same answer, so that a training goes on as it began.
    ///
    /// # Errors
    /// What the device says, [`Error::TooLarge`] if it can't hold a step of one patch.
    pub fn prepare_training(
        &mut self,
        patches: usize,
        wanted: usize,
        warped: bool,
    ) -> Result<(usize, bool)> {
        let mut batch = wanted.clamp(1, patches.max(1));
        loop {
            // Doubled, so that a set that grows by and by seldom needs other room.
            for room in [patches.next_power_of_two(), patches, batch] {
                match self.make_room(room).and_then(|()| self.prepare_step(batch, warped)) {
                    Err(Error::TooLarge(_)) if room > batch || batch > 1 => {}
                    other => return other.map(|()| (batch, room >= patches)),
                }
            }
            batch = batch.div_ceil(2);
        }
    }

    /// Gives labelled patches, and the training steps that take some of them, other room.
    fn make_room(&mut self, patches: usize) -> Result<()> {
        if self.labelled.is_some_and(|labelled| labelled.patches == patches) {
            return Ok(());
        }
        let steps = self.training.drain().map(|(_, (id, _))| id);
        for id in steps.chain(self.labelled.take().map(|labelled| labelled.id)) {
            self.executor.release(id);
        }
        let mut b = PlanBuilder::new(format!("{patches} labelled patches"), "none");
        let [images, labels] =
            labelled_patches(&mut b, &self.net, [patches, self.patch, self.patch]);
        let id = self.executor.prepare(b.build())?;
        let (images, labels) = (images.buffer, labels.buffer);
        self.labelled = Some(Labelled { id, patches, images, labels });
        Ok(())
    }

    /// Prepares the plan of a step.
    fn prepare_step(&mut self, n: usize, warped: bool) -> Result<()> {
        if !self.training.contains_key(&(n, warped)) {
            let room = self.labelled.map_or(n, |labelled| labelled.patches);
            let sizes = [n, self.patch, self.patch];
            let adam = AdamOptions::default();
            let plan = training_plan_of(&self.net, room, sizes, adam, warped);
            let id = self.executor.prepare(plan.plan.clone())?;
            self.training.insert((n, warped), (id, plan));
        }
        Ok(())
    }

    /// Puts labelled patches on the device in place of those that were there: `patch^2` normalised grey values each, and as many classes,
    /// of which [`IGNORE_LABEL`](crate::network::unet::IGNORE_LABEL) is ignored.
    ///
    /// # Errors
    /// What the device says; [`Error::Device`] if they are more than [`prepare_training`](Self::prepare_training) made room for.
    ///
    /// # Panics
    /// If it was not called before.
    pub fn load_patches(&mut self, x: &[f32], labels: &[u8]) -> Result<()> {
        let to = self.labelled.expect("there is room for labelled patches");
        self.executor.write(to.id, to.images, bytemuck::cast_slice(x))?;
        let word =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        let packed: Vec<u32> = labels.chunks(4).map(word).collect();
        self.executor.write(to.id, to.labels, &packed)
    }

    /// One optimiser step on the patches that `sites` cut out of those that were loaded: `z` counts patches. `keys` are the samples'
    /// dropout keys and `adam_step` is Adam's `[step size, second-moment correction]`. With `transforms`, one for each sample, they are
    /// warped.
    pub fn train_step(
        &mut self,
        sites: &[Site],
        transforms: Option<&[Transform]>,
        keys: &[u64],
        class_weights: &[f32],
        adam_step: [f32; 2],
    ) -> Result<()> {
        let n = sites.len();
        let warped = transforms.is_some();
        self.prepare_step(n, warped)?;
        self.last_step = (n, warped);
        let (id, plan) = &self.training[&(n, warped)];
        let executor = &mut *self.executor;
        executor.write(*id, plan.sites, bytemuck::cast_slice(sites))?;
        if let Some(buffer) = plan.section_sites {
            let sites = each_section(&self.net, sites);
            executor.write(*id, buffer, bytemuck::cast_slice(&sites))?;
        }
        if let (Some(buffer), Some(transforms)) = (plan.transforms, transforms) {
            executor.write(*id, buffer, bytemuck::cast_slice(transforms))?;
        }
        executor.write(*id, plan.class_weights, bytemuck::cast_slice(class_weights))?;
        executor.write(*id, plan.step, bytemuck::cast_slice(&adam_step))?;
        if let Some(buffer) = plan.keys {
            executor.write(*id, buffer, &words(keys))?;
        }
        executor.run(*id, "step")
    }

    /// The mean loss of the last training step.
    ///
    /// # Errors
    /// What the device says.
    ///
    /// # Panics
    /// If there was none.
    pub fn loss(&mut self) -> Result<f32> {
        let (id, buffer) = {
            let (id, plan) = &self.training[&self.last_step];
            (*id, plan.loss)
        };
        Ok(self.get(id, buffer, 1)?[0])
    }
}
