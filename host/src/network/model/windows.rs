//! Windows of any size, which a network sees one at a time.

use super::{Model, Started};
use crate::compute::executor::{Executor, PlanId};
use crate::error::{Error, Result};
use crate::network::unet::{ForwardPlan, Output, PATCH_MULTIPLE, UNet, forward_plan};

/// Bytes that the plan of a window may need.
const MOST_BYTES: usize = 768 << 20;

/// Bytes of the largest map: what every device lets a shader see of a buffer.
const MOST_BYTES_OF_MAP: usize = 128 << 20;

/// No window needs to be smaller, whatever the device.
const LEAST: usize = 256;

/// The plan of the windows that were seen last.
pub(super) struct WindowPlan {
    shape: [usize; 2],
    id: PlanId,
    forward: ForwardPlan,
}

fn plan_of(net: &UNet, [height, width]: [usize; 2]) -> ForwardPlan {
    forward_plan(net, 1, height, width, &[Output::Probabilities])
}

/// Bytes that a device needs for windows of rows and columns.
pub fn window_bytes(executor: &dyn Executor, net: &UNet, shape: [usize; 2]) -> usize {
    executor.memory(&plan_of(net, shape).plan).own
}

/// The longest side of a square window that a device should be given, a multiple of [`PATCH_MULTIPLE`].
pub fn longest_window(executor: &dyn Executor, net: &UNet) -> usize {
    let bytes_per_pixel = window_bytes(executor, net, [LEAST; 2]).div_ceil(LEAST * LEAST);
    let pixels = (MOST_BYTES / bytes_per_pixel).min(MOST_BYTES_OF_MAP / 4 / net.width);
    (pixels.isqrt() / PATCH_MULTIPLE * PATCH_MULTIPLE).max(LEAST)
}

impl Model {
    /// The longest side of a window, a multiple of [`PATCH_MULTIPLE`]: larger ones need more memory and save little.
    pub fn longest_window(&mut self) -> usize {
        match self.longest_window {
            Some(side) => side,
            None => {
                let side = longest_window(&*self.executor, &self.net);
                *self.longest_window.insert(side)
            }
        }
    }

    /// Makes ready for windows of rows and columns, each a multiple of [`PATCH_MULTIPLE`].
    ///
    /// # Errors
    /// What the device says. Where it can't hold so large a window and smaller ones are left,
    /// [`longest_window`](Self::longest_window) is less from then on, and the answer is false.
    pub fn prepare_window(&mut self, shape: [usize; 2]) -> Result<bool> {
        if self.window.as_ref().is_some_and(|window| window.shape == shape) {
            return Ok(true);
        }
        if let Some(before) = self.window.take() {
            self.executor.release(before.id);
        }
        let forward = plan_of(&self.net, shape);
        match self.executor.prepare(forward.plan.clone()) {
            Ok(id) => {
                self.window = Some(WindowPlan { shape, id, forward });
                Ok(true)
            }
            Err(Error::TooLarge(_)) if self.longest_window() > LEAST => {
                let half = self.longest_window() / 2 / PATCH_MULTIPLE * PATCH_MULTIPLE;
                self.longest_window = Some(half.max(LEAST));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a forward pass without dropout on one window of the rows and columns that were made
    /// ready for: `x` are its pixels in each section that the network sees. What
    /// [`finish`](Self::finish) then returns are the probabilities of each class.
    ///
    /// # Errors
    /// [`Error::Input`] if the values are no such window; what the device says.
    pub fn start_window(&mut self, x: &[f32]) -> Result<Started> {
        self.require_weights()?;
        let sections = self.net.sections();
        let Some(WindowPlan { shape: [height, width], id, forward }) = &self.window else {
            return Err(Error::Input("no window was made ready for; call prepare_window".into()));
        };
        if x.len() != sections * height * width {
            return Err(Error::Input(format!(
                "{} values are no window of {height} x {width} in {sections} section(s)",
                x.len()
            )));
        }
        self.executor.write(*id, forward.x, bytemuck::cast_slice(x))?;
        self.executor.run(*id, "forward")?;
        let (_, probabilities) = forward.outputs[0];
        let len = forward.plan.buffers[probabilities.index()].len;
        let reading = self.executor.start_read(*id, probabilities, len)?;
        Ok(Started { outputs: 1, readings: vec![reading] })
    }
}
