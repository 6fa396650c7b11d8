//! Compute pipelines without run-time checks, modules past wgpu, and experimental features: the one
//! unsafe corner of the host.
//!
//! By default wgpu clamps every index, bounds every loop and guards every integer division of a
//! shader. That is right for shaders from strangers and costs much in the inner loops of ours.
//!
//! Why ours may go without:
//! - the text is compiled into this program (`askem-wgsl`), and naga validates it when that crate is built, and again with sizes as
//!   constants;
//! - [`PlanBuilder::step`](crate::compute::plan::PlanBuilder::step) refuses a call unless every buffer has exactly the
//!   length that its parameters imply and no size is zero, so that no index computed from the
//!   parameters leaves a buffer and no divisor is zero;
//! - every loop counts to a constant or a parameter, so that it ends;
//! - indices that come from data (labels, assignments, picks, positions of maxima) are compared
//!   with their bound in the shaders, as the references do;
//! - parity tests run every pass on awkward shapes between guards that it can reach (see
//!   [`set_slack`](super::GpuExecutor::set_slack)), and each device runs a
//!   [self-test](super::self_test) before it is used.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering;

use askem_wgsl::entry_of;

use super::connection::Connection;
use super::pipelines::Wanted;
use super::spirv;
use crate::error::Result;

/// The shader module of a pipeline, with the checks left out.
pub(super) fn shader_module(on: &Connection, wanted: &Wanted) -> Result<wgpu::ShaderModule> {
    let Wanted { call, form, is_specialised, halves } = wanted;
    let (shader, entry) = entry_of(call);
    let form = &entry.forms[*form];
    let source = if *is_specialised {
        form.specialised_source(shader, call.params(), halves)
    } else {
        form.source(halves)
    };
    let label = Some(call.signature().name);
    if let Some(version) = on.spirv.filter(|_| form.side.is_some()) {
        let words = spirv::translate(call.signature().name, &source, entry.pass, version)?;
        on.conforming_modules.fetch_add(1, Ordering::Relaxed);
        let [x, y, z] = form.workgroup_size;
        let entry_point = wgpu::PassthroughShaderEntryPoint {
            name: entry.pass.into(),
            workgroup_size: (x, y, z),
        };
        let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
            label,
            entry_points: vec![entry_point].into(),
            spirv: Some(words.into()),
            ..Default::default()
        };
        // SAFETY: beside what holds for each of our modules (see the next block), this one has to be
        // valid SPIR-V for the device. naga has validated and translated it for the version of Vulkan
        // that the device has and with features that it was opened with, what was added to it is
        // judged by spirv-val in `tests/platforms`, and its bindings are those of the layout that
        // `pipelines` makes out of the same table.
        return Ok(unsafe { on.device.create_shader_module_passthrough(descriptor) });
    }
    let descriptor =
        wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(source.into()) };
    // SAFETY: the source comes from `askem-wgsl` alone, where numbers may take the place of parameters, and the module's text above
    // says why its shaders stay within their buffers, end their loops and never divide by zero.
    Ok(unsafe {
        on.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    })
}

/// The device's cache of pipelines, which begins with what an earlier one kept, if that is given.
pub(super) fn pipeline_cache(device: &wgpu::Device, kept: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some("askem"),
        data: kept,
        // What another driver left is not used.
        fallback: true,
    };
    // SAFETY: wgpu asks that the data come from `PipelineCache::get_data`. They come from a file in the user's own cache folder
    // that `keep_pipelines` wrote with a checksum, which was compared; wgpu compares the adapter and the driver's version besides.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// The leave to use cooperative matrices, which wgpu calls experimental.
pub(super) fn experimental_features() -> wgpu::ExperimentalFeatures {
    // SAFETY: wgpu asks that whoever uses experimental features knows that they may have bugs, up to undefined behaviour. The
    // matrices are used in shaders of ours alone, only where the user asks for that precision, and only on a device on which
    // every such shader has computed right numbers in the self-test.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// The version of Vulkan that an adapter has, as Vulkan writes it; `None` for other backends.
pub(super) fn vulkan_version(adapter: &wgpu::Adapter) -> Option<u32> {
    // Where wgpu has Vulkan.
    #[cfg(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        // SAFETY: nothing but a property is read, while the adapter lives.
        let hal = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
        Some(hal.physical_device_capabilities().properties().api_version)
    }
    #[cfg(not(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let _ = adapter;
        None
    }
}
