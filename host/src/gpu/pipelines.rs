//! One compute pipeline per form of a pass, and per sizes where it is specialised; made when a plan first needs it.

use std::collections::HashMap;

use askem_kernels::{Call, Signature};
use askem_wgsl::{Entry, entry_of};
use wgpu::{BindGroupLayoutEntry, BindingType, BufferBindingType, ShaderStages};

use super::connection::Connection;
use super::trusted;
use crate::error::{Error, Result};

/// A pass that is ready to be bound and dispatched.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// `op::pass`, the form, the buffers of f16, and what are constants of a specialised module.
type Key = (&'static str, usize, Vec<&'static str>, Option<Vec<u8>>);

/// The pipelines of a device.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    passes: HashMap<Key, Pass>,
}

impl Pipelines {
    /// The pipeline of a call's pass in a form, for its sizes alone or for all, with these buffers of f16.
    pub(super) fn get(
        &mut self,
        on: &Connection,
        call: &Call,
        (form, is_specialised): (usize, bool),
        halves: &[&'static str],
    ) -> Result<Pass> {
        let signature = call.signature();
        let (shader, entry) = entry_of(call);
        let constants = is_specialised.then(|| shader.constants(call.params()));
        let key = (signature.name, form, halves.to_vec(), constants);
        if let Some(pass) = self.passes.get(&key) {
            return Ok(pass.clone());
        }
        let module = trusted::shader_module(&on.device, call, (form, is_specialised), halves);
        let pass = Pass::new(&on.device, signature, entry, &module);
        on.check().map_err(|error| Error::Device(format!("{}: {error}", signature.name)))?;
        self.passes.insert(key, pass.clone());
        Ok(pass)
    }
}

impl Pass {
    fn new(
        device: &wgpu::Device,
        signature: &Signature,
        entry: &Entry,
        module: &wgpu::ShaderModule,
    ) -> Self {
        let label = Some(signature.name);
        let storage = entry.bindings.iter().map(|binding| {
            let ty = BufferBindingType::Storage { read_only: !binding.writable };
            layout_entry(binding.binding, ty)
        });
        let entries: Vec<_> =
            std::iter::once(layout_entry(0, BufferBindingType::Uniform)).chain(storage).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label,
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module,
            entry_point: Some(entry.pass),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // The shaders fill workgroup memory themselves.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Self { pipeline, layout }
    }
}

fn layout_entry(binding: u32, ty: BufferBindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
