//! Modules for matrix units, translated here and not by wgpu, where their driver is one for Vulkan.
//!
//! wgpu's translation declares Vulkan's memory model and does not keep to it; see
//! [`askem_wgsl::memory_model`]. So such modules are translated with the options that wgpu would
//! set, are made to conform, and go past wgpu to the driver. The environment variable
//! `ASKEM_MEMORY_MODEL=plain` leaves them to wgpu, so that both can be tried on a device;
//! `patched` is the default. Metal has its own language, whose barriers say what they do.

use std::ffi::OsString;

use askem_wgsl::memory_model;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpu::Features;

use super::adapter::Adapter;
use super::trusted;
use crate::compute::precision::Precision;
use crate::error::{Error, Result};

const VARIABLE: &str = "ASKEM_MEMORY_MODEL";

/// A version of SPIR-V.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(u8, u8);

impl Version {
    /// The newest that a version of Vulkan takes, which is what wgpu writes for it.
    fn of_vulkan(version: u32) -> Self {
        // 7 bits of a major version above 10 of a minor one and 12 of a patch.
        match (version >> 22 & 0x7f, version >> 12 & 0x3ff) {
            (0, _) | (1, 0) => Self(1, 0),
            (1, 1) => Self(1, 3),
            (1, 2) => Self(1, 5),
            _ => Self(1, 6),
        }
    }
}

/// Whether modules are to be translated here where that can be done.
pub(super) fn is_wanted() -> Result<bool> {
    is_patched(std::env::var_os(VARIABLE))
}

/// The version in which modules for matrix units are translated here; `None` where wgpu does it.
pub(super) fn version(adapter: &Adapter, precision: Precision) -> Result<Option<Version>> {
    let wants = is_wanted()?;
    let offers = adapter.raw.features().contains(Features::PASSTHROUGH_SHADERS);
    if precision != Precision::Tensor || !wants || !offers {
        return Ok(None);
    }
    Ok(trusted::vulkan_version(&adapter.raw).map(Version::of_vulkan))
}

/// What the variable says.
fn is_patched(value: Option<OsString>) -> Result<bool> {
    match value.as_deref().map(|value| value.to_str()) {
        None | Some(Some("patched")) => Ok(true),
        Some(Some("plain")) => Ok(false),
        Some(_) => Err(Error::Usage(format!(
            "{VARIABLE}={}: give patched or plain",
            value.unwrap_or_default().display()
        ))),
    }
}

/// A module of ours in SPIR-V that conforms to its memory model, without run-time checks.
pub(super) fn translate(
    name: &str,
    source: &str,
    entry_point: &str,
    version: Version,
) -> Result<Vec<u32>> {
    let wrong = |what: &dyn std::fmt::Display| {
        Error::Device(format!(
            "{name}: no SPIR-V for matrix units: {what}; {VARIABLE}=plain leaves it to wgpu"
        ))
    };
    let module = naga::front::wgsl::parse_str(source).map_err(|error| wrong(&error))?;
    let capabilities =
        Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP | Capabilities::COOPERATIVE_MATRIX;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| wrong(&error.into_inner()))?;
    // wgpu numbers bindings by their order in the layout, and ours have no gaps.
    let bindings = module.global_variables.iter().filter_map(|(_, variable)| {
        let at = variable.binding?;
        let (descriptor_set, binding) = (at.group, at.binding);
        Some((at, spv::BindingInfo { descriptor_set, binding, binding_array_size: None }))
    });
    let options = spv::Options {
        lang_version: (version.0, version.1),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        fake_missing_bindings: false,
        binding_map: bindings.collect(),
        // What the device must offer was asked when it was opened.
        capabilities: None,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Unchecked,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        // The shaders fill workgroup memory themselves.
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ray_query_initialization_tracking: false,
        trace_ray_argument_validation: true,
        use_storage_input_output_16: false,
        debug_info: None,
        task_dispatch_limits: None,
        mesh_shader_primitive_indices_clamp: false,
        emit_int_div_checks: false,
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: entry_point.into(),
    };
    let words = spv::write_vec(&module, &info, &options, Some(&pipeline));
    memory_model::conform(&words.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read() {
        for (value, expected) in [(None, true), (Some("patched"), true), (Some("plain"), false)] {
            let got = is_patched(value.map(OsString::from)).expect("it is known");
            assert_eq!(got, expected, "{value:?}");
        }
        for value in ["", "Plain", "1"] {
            let error = is_patched(Some(value.into())).expect_err("it is unknown").to_string();
            assert!(error.starts_with(&format!("ASKEM_MEMORY_MODEL={value}: ")), "{error}");
        }
    }

    #[test]
    fn versions_are_those_of_wgpu() {
        let vulkan = |major: u32, minor: u32| Version::of_vulkan(major << 22 | minor << 12 | 305);
        assert_eq!([vulkan(1, 0), vulkan(1, 1)], [Version(1, 0), Version(1, 3)]);
        assert_eq!([vulkan(1, 2), vulkan(1, 3)], [Version(1, 5), Version(1, 6)]);
        assert_eq!([vulkan(1, 4), vulkan(2, 0)], [Version(1, 6); 2]);
    }

    /// In both memory layouts; what is in them is judged in `tests/platforms`.
    #[test]
    fn every_form_for_matrix_units_is_translated() {
        let mut translated = 0;
        for entry in askem_wgsl::SHADERS.iter().flat_map(|shader| shader.entries) {
            for form in entry.forms.iter().filter(|form| form.side.is_some()) {
                let stored: Vec<_> = entry.stored().collect();
                for halves in [&[][..], &stored] {
                    let source = form.source(halves);
                    let words = translate(entry.pass, &source, entry.pass, Version(1, 6));
                    let words = words.unwrap_or_else(|error| panic!("{error}"));
                    assert_eq!(words[..2], [0x0723_0203, 0x0001_0600], "{}", entry.pass);
                    assert_eq!(memory_model::conform(&words), Ok(words), "{}", entry.pass);
                    translated += 1;
                }
            }
        }
        assert!(translated > 0);
    }

    #[test]
    fn what_cannot_be_translated_is_an_error() {
        let error = translate("op::forward", "fn f() { x }", "forward", Version(1, 6));
        let error = error.expect_err("no WGSL");
        assert!(error.to_string().starts_with("op::forward: no SPIR-V"), "{error}");
        // An atomic in Vulkan's memory model.
        let source = "enable f16; enable wgpu_cooperative_matrix;
            var<workgroup> count: atomic<u32>;
            var<workgroup> tile: array<f32, 64>;
            @compute @workgroup_size(32) fn forward() {
                var sum = coop_mat8x8<f32, C>();
                coopStoreT(sum, &tile[0], 8u);
                atomicAdd(&count, 1u);
            }";
        let error = translate("op::forward", source, "forward", Version(1, 6));
        let error = error.expect_err("an atomic");
        assert!(error.to_string().contains("is not understood"), "{error}");
    }
}
