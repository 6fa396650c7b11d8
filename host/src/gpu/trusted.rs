//! Compute pipelines without run-time checks, and experimental features: the one unsafe corner of the host.
//!
//! By default wgpu clamps every index, bounds every loop and guards every integer division of a
//! shader. That is right for shaders from strangers and costs much in the inner loops of ours.
//!
//! Why ours may go without:
//! - the text is compiled into this program (`askem-wgsl`), and naga validates it when that crate is built, and again with sizes as
//!   constants;
//! - [`PlanBuilder::step`](crate::plan::PlanBuilder::step) refuses a call unless every buffer has exactly the
//!   length that its parameters imply and no size is zero, so that no index computed from the
//!   parameters leaves a buffer and no divisor is zero;
//! - every loop counts to a constant or a parameter, so that it ends;
//! - indices that come from data (labels, assignments, picks, positions of maxima) are compared
//!   with their bound in the shaders, as the references do;
//! - parity tests run every pass on awkward shapes between guards that it can reach (see
//!   [`set_slack`](super::GpuExecutor::set_slack)), and each device runs a
//!   [self-test](super::self_test) before it is used.
#![allow(unsafe_code)]

use askem_wgsl::entry_of;

use super::pipelines::Wanted;

/// The shader module of a pipeline, with the checks left out.
pub(super) fn shader_module(device: &wgpu::Device, wanted: &Wanted) -> wgpu::ShaderModule {
    let Wanted { call, form, is_specialised, halves } = wanted;
    let (shader, entry) = entry_of(call);
    let form = &entry.forms[*form];
    let source = if *is_specialised {
        form.specialised_source(shader, call.params(), halves)
    } else {
        form.source(halves)
    };
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(call.signature().name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    };
    // SAFETY: the source comes from `askem-wgsl` alone, where numbers may take the place of parameters, and the module's text above
    // says why its shaders stay within their buffers, end their loops and never divide by zero.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
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
