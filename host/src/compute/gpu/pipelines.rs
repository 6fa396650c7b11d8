//! One compute pipeline per form of a pass, and per sizes where it is specialised; made when a plan first needs it.

use std::collections::HashMap;

use askem_kernels::Call;
use askem_wgsl::entry_of;
use rayon::prelude::*;
use wgpu::{BindGroupLayoutEntry, BindingType, BufferBindingType, ShaderStages};

use super::connection::Connection;
use super::{left_out, trusted};
use crate::error::{Error, Result};

/// A pass that is ready to be bound and dispatched.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// What a pipeline is for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) call: Call,
    /// The number of the form.
    pub(super) form: usize,
    /// Whether it is for the call's sizes alone, or for all.
    pub(super) is_specialised: bool,
    /// The buffers of f16.
    pub(super) halves: Vec<&'static str>,
}

/// `op::pass`, the form, the buffers of f16, and what are constants of a specialised module.
type Key = (&'static str, usize, Vec<&'static str>, Option<Vec<u8>>);

impl Wanted {
    fn key(&self) -> Key {
        let constants = || entry_of(&self.call).0.constants(self.call.params());
        let constants = self.is_specialised.then(constants);
        (self.call.signature().name, self.form, self.halves.clone(), constants)
    }
}

/// The pipelines of a device.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    /// Ready, or what the driver said of it.
    passes: HashMap<Key, std::result::Result<Pass, String>>,
}

impl Pipelines {
    /// Compiles those of the wanted pipelines that are new, by all threads of the processor.
    ///
    /// One that the driver refuses is no error before it is [taken](Self::get).
    pub(super) fn compile(&mut self, on: &Connection, wanted: &[Wanted]) -> Result<()> {
        let is_new = |(key, _): &(Key, &Wanted)| !self.passes.contains_key(key);
        let new = wanted.iter().map(|wanted| (wanted.key(), wanted)).filter(is_new);
        let new: HashMap<Key, &Wanted> = new.collect();
        let made: Vec<_> =
            new.into_par_iter().map(|(key, wanted)| (key, Pass::new(on, wanted))).collect();
        on.check()?;
        self.passes.extend(made);
        Ok(())
    }

    /// The pipelines that are wanted, in their order.
    pub(super) fn get(&mut self, on: &Connection, wanted: &[Wanted]) -> Result<Vec<Pass>> {
        self.compile(on, wanted)?;
        let pass = |wanted: &Wanted| {
            let made = self.passes[&wanted.key()].clone();
            let (_, entry) = entry_of(&wanted.call);
            made.map_err(|what| {
                let name = left_out::name(wanted.call.signature().name, entry, wanted.form);
                Error::Device(format!("{}: {name} does not compile: {what}", on.name))
            })
        };
        wanted.iter().map(pass).collect()
    }

    /// How many were compiled, or refused.
    pub(super) fn count(&self) -> usize {
        self.passes.len()
    }
}

impl Pass {
    /// Compiles a pipeline; the driver's words where it refuses.
    fn new(on: &Connection, wanted: &Wanted) -> std::result::Result<Self, String> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};

        // Errors of this thread alone, so that each has its pipeline.
        let scopes = [Internal, OutOfMemory, Validation].map(|of| on.device.push_error_scope(of));
        let made = Self::new_unchecked(on, wanted);
        let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop()));
        // All have to be popped.
        let errors: Vec<wgpu::Error> = errors.collect::<Vec<_>>().into_iter().flatten().collect();
        match errors.first() {
            Some(error) => Err(error.to_string()),
            None => made.map_err(|error| error.to_string()),
        }
    }

    fn new_unchecked(on: &Connection, wanted: &Wanted) -> Result<Self> {
        let device = &on.device;
        let (_, entry) = entry_of(&wanted.call);
        let label = Some(wanted.call.signature().name);
        let module = trusted::shader_module(on, wanted)?;
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
            module: &module,
            entry_point: Some(entry.pass),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // The shaders fill workgroup memory themselves.
                zero_initialize_workgroup_memory: false,
            },
            cache: on.pipeline_cache.as_ref(),
        });
        Ok(Self { pipeline, layout })
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
