//! Results on their way to the host.

use std::sync::mpsc::{Receiver, channel};

use wgpu::{BufferAsyncError, BufferUsages, MapMode, SubmissionIndex};

use super::GpuExecutor;
use crate::error::{Error, Result};

/// A copy that was started.
#[derive(Debug)]
pub(super) struct Copy {
    staging: wgpu::Buffer,
    bytes: u64,
    mapped: Receiver<std::result::Result<(), BufferAsyncError>>,
    submission: SubmissionIndex,
}

impl GpuExecutor {
    /// Copies the start of a buffer, after all that was submitted before.
    pub(super) fn start_copy(&mut self, memory: &wgpu::Buffer, words: usize) -> Result<Copy> {
        self.start_copy_from(memory, 0, words)
    }

    fn start_copy_from(
        &mut self,
        memory: &wgpu::Buffer,
        first: usize,
        words: usize,
    ) -> Result<Copy> {
        let bytes = words as u64 * 4;
        let staging = match self.staging.iter().position(|buffer| buffer.size() >= bytes) {
            Some(free) => self.staging.swap_remove(free),
            None => {
                self.new_buffer("staging", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)
            }
        };
        let mut encoder = self.connection.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(memory, first as u64 * 4, &staging, 0, bytes);
        let submission = self.connection.queue.submit([encoder.finish()]);
        // Refused commands leave the buffer as it was: say so before its bytes are taken for data.
        self.connection.check()?;
        let (send, mapped) = channel();
        staging.slice(..bytes).map_async(MapMode::Read, move |outcome| {
            // The receiver is gone only if nobody wants the copy any more.
            let _ = send.send(outcome);
        });
        Ok(Copy { staging, bytes, mapped, submission })
    }

    /// Waits for a copy.
    pub(super) fn finish_copy(&mut self, copy: Copy) -> Result<Vec<u32>> {
        let Copy { staging, bytes, mapped, submission } = copy;
        self.connection.wait(Some(submission))?;
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::Device(format!("{}: cannot read results: {error}", self.connection.name))
        };
        mapped.recv().map_err(|e| unreadable(&e))?.map_err(|e| unreadable(&e))?;
        let view = staging.slice(..bytes).get_mapped_range().map_err(|e| unreadable(&e))?;
        let words = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        self.staging.push(staging);
        self.connection.check()?;
        Ok(words)
    }

    /// Reads words of a buffer from `first` on, after all that was submitted before.
    pub(super) fn fetch(
        &mut self,
        memory: &wgpu::Buffer,
        first: usize,
        words: usize,
    ) -> Result<Vec<u32>> {
        let copy = self.start_copy_from(memory, first, words)?;
        self.finish_copy(copy)
    }
}
