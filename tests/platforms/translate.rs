//! naga's translations, under the options that wgpu 30 sets for a pipeline of `askem::compute::gpu`: modules without run-time
//! checks, workgroup memory without zeros, one bind group. Read in wgpu-hal's `vulkan/adapter.rs` and
//! `vulkan/device.rs`, `metal/device.rs`, `dx12/device.rs`.

use naga::back::{hlsl, msl, pipeline_constants, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::Capabilities;
use naga::{AddressSpace, CooperativeSize, ResourceBinding, ShaderStage, StorageAccess, TypeInner};

use crate::modules::{self, Candidate};

/// A version of Vulkan by the name that spirv-val gives it, with the SPIR-V version that wgpu writes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vulkan {
    pub(crate) name: &'static str,
    spirv: (u8, u8),
}

/// All versions that wgpu tells apart.
const VULKANS: [Vulkan; 4] = [
    Vulkan { name: "vulkan1.0", spirv: (1, 0) },
    Vulkan { name: "vulkan1.1", spirv: (1, 3) },
    Vulkan { name: "vulkan1.2", spirv: (1, 5) },
    Vulkan { name: "vulkan1.3", spirv: (1, 6) },
];

/// The shader models that wgpu compiles for with DXC: the least, and the newest that the compiler of the tests knows.
const SHADER_MODELS: [hlsl::ShaderModel; 3] =
    [hlsl::ShaderModel::V6_0, hlsl::ShaderModel::V6_2, hlsl::ShaderModel::V6_7];

/// Metal's languages from macOS 10.13 on.
const METALS: [(u8, u8); 5] = [(2, 0), (2, 3), (2, 4), (3, 1), (4, 0)];

const UNCHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Unchecked,
    buffer: BoundsCheckPolicy::Unchecked,
    image_load: BoundsCheckPolicy::Unchecked,
    binding_array: BoundsCheckPolicy::Unchecked,
};

/// Binding numbers in order, with the access to the buffer; `None` is the uniform one.
fn bindings(module: &naga::Module) -> Vec<(ResourceBinding, Option<StorageAccess>)> {
    let bound = module.global_variables.iter().filter_map(|(_, variable)| {
        let access = match variable.space {
            AddressSpace::Storage { access } => Some(access),
            _ => None,
        };
        Some((variable.binding?, access))
    });
    let mut bindings: Vec<_> = bound.collect();
    bindings.sort_by_key(|(binding, _)| *binding);
    bindings
}

/// The sizes of the cooperative matrices of a module.
fn matrices(module: &naga::Module) -> impl Iterator<Item = CooperativeSize> {
    module.types.iter().filter_map(|(_, ty)| match ty.inner {
        TypeInner::CooperativeMatrix { rows, .. } => Some(rows),
        _ => None,
    })
}

impl Candidate {
    /// The versions of Vulkan that can offer what the module needs.
    pub(crate) fn vulkans(&self) -> impl Iterator<Item = Vulkan> {
        let least = if self.needs(Capabilities::COOPERATIVE_MATRIX) {
            // Its memory model is a part of this version, and drivers with matrices have the next one too.
            (1, 5)
        } else if self.needs(Capabilities::SUBGROUP) {
            (1, 3)
        } else {
            (1, 0)
        };
        VULKANS.into_iter().filter(move |vulkan| vulkan.spirv >= least)
    }

    /// The shader models that can offer what the module needs.
    pub(crate) fn shader_models(&self) -> impl Iterator<Item = hlsl::ShaderModel> {
        let half = self.needs(Capabilities::SHADER_FLOAT16);
        let least = if half { hlsl::ShaderModel::V6_2 } else { hlsl::ShaderModel::V6_0 };
        // Direct3D has no cooperative matrices.
        let any = !self.needs(Capabilities::COOPERATIVE_MATRIX);
        SHADER_MODELS.into_iter().filter(move |&model| any && model >= least)
    }

    /// The versions of Metal's language that can offer what the module needs.
    pub(crate) fn metals(&self) -> impl Iterator<Item = (u8, u8)> {
        let matrix = self.needs(Capabilities::COOPERATIVE_MATRIX);
        let subgroup = self.needs(Capabilities::SUBGROUP);
        let least = if matrix || subgroup { (2, 3) } else { (2, 0) };
        // naga writes 16 x 16 without a word, but Metal has no such type.
        let any = matrices(&self.module).all(|size| size == CooperativeSize::Eight);
        METALS.into_iter().filter(move |&version| any && version >= least)
    }

    /// The module without overrides: a pipeline's constants all have defaults.
    fn resolved(
        &self,
    ) -> (std::borrow::Cow<'_, naga::Module>, std::borrow::Cow<'_, naga::valid::ModuleInfo>) {
        let entry = Some((ShaderStage::Compute, self.entry_point.as_str()));
        pipeline_constants::process_overrides(&self.module, &self.info, entry, &Default::default())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The numbers of its buffers in SPIR-V, and whether each is uniform.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = (u32, bool)> {
        let bound = bindings(&self.module).into_iter().zip(0..);
        bound.map(|((_, access), binding)| (binding, access.is_none()))
    }

    pub(crate) fn spirv(&self, vulkan: Vulkan) -> Vec<u32> {
        use spv::Capability::{
            CooperativeMatrixKHR, DerivativeControl, Float16, GroupNonUniform,
            GroupNonUniformArithmetic, GroupNonUniformBallot, GroupNonUniformQuad,
            GroupNonUniformShuffle, GroupNonUniformShuffleRelative, GroupNonUniformVote, Image1D,
            ImageQuery, Matrix, Sampled1D, Shader, StorageImageExtendedFormats, VulkanMemoryModel,
        };
        let mut capabilities = vec![Shader, Matrix, Sampled1D, Image1D, ImageQuery];
        capabilities.extend([DerivativeControl, StorageImageExtendedFormats]);
        if self.needs(Capabilities::SHADER_FLOAT16) {
            capabilities.push(Float16);
        }
        if self.needs(Capabilities::SUBGROUP) {
            capabilities.extend([GroupNonUniform, GroupNonUniformVote, GroupNonUniformArithmetic]);
            capabilities.extend([GroupNonUniformBallot, GroupNonUniformShuffle]);
            capabilities.extend([GroupNonUniformShuffleRelative, GroupNonUniformQuad]);
        }
        if self.needs(Capabilities::COOPERATIVE_MATRIX) {
            capabilities.extend([CooperativeMatrixKHR, VulkanMemoryModel]);
        }
        let binding_map = bindings(&self.module).into_iter().zip(0..).map(|((at, _), binding)| {
            (at, spv::BindingInfo { descriptor_set: at.group, binding, binding_array_size: None })
        });
        let options = spv::Options {
            lang_version: vulkan.spirv,
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            fake_missing_bindings: false,
            binding_map: binding_map.collect(),
            capabilities: Some(capabilities.into_iter().collect()),
            bounds_check_policies: UNCHECKED,
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
            shader_stage: ShaderStage::Compute,
            entry_point: self.entry_point.clone(),
        };
        let (module, info) = self.resolved();
        spv::write_vec(&module, &info, &options, Some(&pipeline))
            .unwrap_or_else(|error| panic!("{} for {}: {error}", self.name, vulkan.name))
    }

    /// The text, and what it calls the entry point.
    pub(crate) fn hlsl(&self, model: hlsl::ShaderModel) -> Result<(String, String), hlsl::Error> {
        let (mut constants, mut read, mut written) = (0, 0, 0);
        let binding_map = bindings(&self.module).into_iter().map(|(at, access)| {
            // b, t and u registers count apart.
            let next = match access {
                None => &mut constants,
                Some(access) if access.contains(StorageAccess::STORE) => &mut written,
                Some(_) => &mut read,
            };
            let register = *next;
            *next += 1;
            (at, hlsl::BindTarget { register, ..Default::default() })
        });
        let binding_map = binding_map.collect();
        let options = hlsl::Options {
            shader_model: model,
            binding_map,
            fake_missing_bindings: false,
            special_constants_binding: self.special_constants(constants),
            zero_initialize_workgroup_memory: false,
            restrict_indexing: false,
            force_loop_bounding: false,
            task_dispatch_limits: None,
            mesh_shader_primitive_indices_clamp: false,
            ray_query_initialization_tracking: false,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, self.entry_point.clone())),
        };
        let (module, info) = self.resolved();
        let mut text = String::new();
        let mut reflected =
            hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None)?;
        let entry_point = reflected.entry_point_names.pop().expect("there is one entry point");
        Ok((text, entry_point.unwrap_or_else(|error| panic!("{}: {error}", self.name))))
    }

    /// Where the number of workgroups comes from, for modules that ask for it.
    fn special_constants(&self, register: u32) -> Option<hlsl::BindTarget> {
        let arguments = &self.module.entry_points[0].function.arguments;
        let asks = arguments.iter().any(|argument| match &argument.binding {
            Some(naga::Binding::BuiltIn(builtin)) => *builtin == naga::BuiltIn::NumWorkGroups,
            None => matches!(
                &self.module.types[argument.ty].inner,
                TypeInner::Struct { members, .. } if members.iter().any(|m| m.binding
                    == Some(naga::Binding::BuiltIn(naga::BuiltIn::NumWorkGroups)))
            ),
            Some(_) => false,
        });
        asks.then(|| hlsl::BindTarget { register, ..Default::default() })
    }

    pub(crate) fn msl(&self, lang_version: (u8, u8)) -> String {
        let mut resources = msl::EntryPointResources::default();
        let bindings = bindings(&self.module);
        for (slot, (at, access)) in bindings.iter().enumerate() {
            let mutable = access.is_some_and(|access| access.contains(StorageAccess::STORE));
            let target =
                msl::BindTarget { buffer: Some(slot as u8), mutable, ..Default::default() };
            resources.resources.insert(*at, target);
        }
        // The lengths of the arrays follow the buffers.
        resources.sizes_buffer = Some(bindings.len() as u8);
        let options = msl::Options {
            lang_version,
            per_entry_point_map: [(self.entry_point.clone(), resources)].into(),
            inline_samplers: Vec::new(),
            spirv_cross_compatibility: false,
            fake_missing_bindings: false,
            bounds_check_policies: UNCHECKED,
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: false,
            task_dispatch_limits: None,
            mesh_shader_primitive_indices_clamp: false,
            emit_int_div_checks: false,
            ray_query_initialization_tracking: false,
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, self.entry_point.clone())),
            vertex_pulling_transform: true,
            ..Default::default()
        };
        let (module, info) = self.resolved();
        let (text, info) = msl::write_string(&module, &info, &options, &pipeline)
            .unwrap_or_else(|error| panic!("{} for Metal {lang_version:?}: {error}", self.name));
        let entry_point = info.entry_point_names[0].as_ref();
        let entry_point = entry_point.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(text.contains(&format!("kernel void {entry_point}(")), "{}", self.name);
        text
    }
}

#[test]
fn every_module_translates_to_spirv() {
    for candidate in modules::all() {
        let mut versions = 0;
        for vulkan in candidate.vulkans() {
            let words = candidate.spirv(vulkan);
            let (major, minor) = vulkan.spirv;
            assert_eq!(words[0], 0x0723_0203, "{}", candidate.name);
            assert_eq!(words[1], u32::from(major) << 16 | u32::from(minor) << 8);
            versions += 1;
        }
        assert!(versions > 0, "{}: no version of Vulkan", candidate.name);
    }
}

#[test]
fn every_module_translates_to_msl() {
    let mut vulkan_only = Vec::new();
    for candidate in modules::all() {
        let texts: Vec<_> = candidate.metals().map(|version| candidate.msl(version)).collect();
        if texts.is_empty() {
            vulkan_only.push(candidate.name);
        }
    }
    // Nothing but the products that Metal's matrix units are too small for.
    assert_eq!(vulkan_only.iter().filter(|name| name.starts_with("probe")).count(), 1);
    assert!(vulkan_only.contains(&"probe matrix_f16".to_owned()), "{vulkan_only:?}");
}

#[test]
fn every_module_translates_to_hlsl() {
    for candidate in modules::all() {
        let name = &candidate.name;
        for model in candidate.shader_models() {
            let (text, entry_point) =
                candidate.hlsl(model).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(text.contains(&format!("void {entry_point}(")), "{name}");
        }
        if candidate.needs(Capabilities::COOPERATIVE_MATRIX) {
            assert!(candidate.hlsl(hlsl::ShaderModel::V6_7).is_err(), "{name}: HLSL has matrices");
        } else if candidate.needs.is_empty() {
            // Without DXC wgpu takes the older compiler and its model.
            candidate.hlsl(hlsl::ShaderModel::V5_1).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
