//! One compute pipeline per pass, made when a plan first needs it.

use std::collections::HashMap;

use askem_kernels::{Call, Signature};
use askem_wgsl::{Entry, launch};
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

/// Pipelines by `op::pass`.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    passes: HashMap<&'static str, Pass>,
}

impl Pipelines {
    /// The pipeline of a call's pass, and how many workgroups the call needs.
    pub(super) fn get(&mut self, on: &Connection, call: &Call) -> Result<(Pass, [u32; 3])> {
        let launch = launch(call);
        let signature = call.signature();
        if let Some(pass) = self.passes.get(signature.name) {
            return Ok((pass.clone(), launch.workgroups));
        }
        let pass = Pass::new(&on.device, signature, launch.entry);
        on.check().map_err(|error| Error::Device(format!("{}: {error}", signature.name)))?;
        self.passes.insert(signature.name, pass.clone());
        Ok((pass, launch.workgroups))
    }
}

impl Pass {
    fn new(device: &wgpu::Device, signature: &Signature, entry: &Entry) -> Self {
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
        let module = trusted::shader_module(device, signature.name, entry);
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
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
