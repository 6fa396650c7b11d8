//! The adapters of this machine.

use wgpu::{Backend, Backends, DeviceType, Features, InstanceDescriptor, InstanceFlags};

use crate::compute::device::Cores;
use crate::compute::precision::Precision;
use crate::error::{Error, Result};

/// An adapter that a driver offers.
#[derive(Debug)]
pub struct Adapter {
    pub(super) raw: wgpu::Adapter,
    info: wgpu::AdapterInfo,
    assumed_side: Option<u32>,
}

/// Features that matter for this project's shaders, with the names that reports give them.
const FEATURES: &[(Features, &str)] = &[
    (Features::SHADER_F16, "f16"),
    (Features::SUBGROUP, "subgroup"),
    (Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative_matrix"),
    (Features::TIMESTAMP_QUERY, "timestamp"),
    (Features::PIPELINE_CACHE, "pipeline_cache"),
];

/// What shaders of a precision need beyond what every adapter has.
pub(super) fn features_for(precision: Precision) -> Features {
    match precision {
        Precision::F32 => Features::empty(),
        Precision::F16 => Features::SHADER_F16,
        Precision::Tensor => {
            Features::SHADER_F16 | Features::SUBGROUP | Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        }
    }
}

impl Adapter {
    /// The name that the driver gives, such as `NVIDIA H100` or `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The interface and the driver with its version, as the driver gives them.
    pub(super) fn driver(&self) -> String {
        format!("{} {} {}", self.backend(), self.info.driver, self.info.driver_info)
    }

    /// `vulkan`, `metal` or `dx12`.
    pub fn backend(&self) -> &'static str {
        match self.info.backend {
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Dx12 => "dx12",
            Backend::Gl => "gl",
            Backend::BrowserWebGpu => "webgpu",
            Backend::Noop => "noop",
        }
    }

    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub fn kind(&self) -> &'static str {
        match self.info.device_type {
            _ if self.is_software() => "cpu",
            DeviceType::DiscreteGpu => "discrete",
            DeviceType::IntegratedGpu => "integrated",
            DeviceType::VirtualGpu => "virtual",
            DeviceType::Cpu => "cpu",
            DeviceType::Other => "other",
        }
    }

    /// The cores that it is taken to have.
    pub fn cores(&self) -> Cores {
        Cores::of(self.name(), self.kind())
    }

    /// Whether the driver computes on the processor, which the CPU executor does far better.
    pub fn is_software(&self) -> bool {
        const NAMES: [&str; 5] =
            ["llvmpipe", "lavapipe", "swiftshader", "microsoft basic render", "warp"];
        let name = self.info.name.to_lowercase();
        self.info.device_type == DeviceType::Cpu || NAMES.iter().any(|n| name.contains(n))
    }

    /// What the adapter offers of the features that matter here.
    pub fn features(&self) -> Vec<String> {
        let features = self.raw.features();
        let offered = FEATURES.iter().filter(|(feature, _)| features.contains(*feature));
        offered.map(|&(_, name)| name.into()).collect()
    }

    /// From now on the matrix units are taken to multiply matrices of this side, 8 or 16, whatever the driver lists.
    ///
    /// For tests: Mesa's software driver lists 8 and computes 16 as well, which is what most hardware has.
    pub fn assume_matrix_side(&mut self, side: u32) {
        self.assumed_side = Some(side);
    }

    /// The side of the square matrices whose product the adapter's matrix units sum in f32: the largest that there are shaders for.
    pub(super) fn matrix_side(&self) -> Option<u32> {
        if self.assumed_side.is_some() {
            return self.assumed_side;
        }
        let all = self.raw.cooperative_matrix_properties();
        let fits = |p: &&wgpu::CooperativeMatrixProperties| {
            let is_square = p.m_size == p.n_size && p.n_size == p.k_size;
            let (f16, f32) = (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
            is_square && matches!(p.m_size, 8 | 16) && p.ab_type == f16 && p.cr_type == f32
        };
        all.iter().filter(fits).map(|p| p.m_size).max()
    }

    /// Refuses a precision that the adapter does not have.
    pub(crate) fn check(&self, precision: Precision) -> Result<()> {
        let missing = features_for(precision) - self.raw.features();
        let named = FEATURES.iter().filter(|(feature, _)| missing.contains(*feature));
        let mut missing: Vec<_> = named.map(|&(_, name)| name).collect();
        if precision == Precision::Tensor && missing.is_empty() {
            if self.matrix_side().is_none() {
                missing.push("products of f16 matrices of 16 or 8 rows with sums of f32");
            } else if self.raw.limits().max_compute_workgroup_storage_size < 32768 {
                missing.push("32 KiB of workgroup memory");
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::Device(format!(
            "{} has no {}, which --precision {precision} needs; take --precision f32",
            self.name(),
            missing.join(" and no ")
        )))
    }

    /// Smaller is better: discrete before integrated, and of one GPU's drivers Vulkan first.
    fn rank(&self) -> (bool, usize, usize) {
        let kind = match self.info.device_type {
            DeviceType::DiscreteGpu => 0,
            DeviceType::IntegratedGpu => 1,
            DeviceType::VirtualGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        };
        let backend = match self.info.backend {
            Backend::Vulkan => 0,
            Backend::Metal => 1,
            _ => 2,
        };
        (self.is_software(), kind, backend)
    }
}

/// All adapters, the best first and software drivers last. Empty where there is no driver.
pub fn adapters() -> Vec<Adapter> {
    let instance = wgpu::Instance::new(InstanceDescriptor {
        backends: Backends::VULKAN | Backends::METAL | Backends::DX12,
        flags: InstanceFlags::empty(),
        ..InstanceDescriptor::new_without_display_handle()
    });
    let found = pollster::block_on(instance.enumerate_adapters(Backends::all()));
    let mut adapters: Vec<Adapter> = found
        .into_iter()
        .map(|raw| {
            let info = raw.get_info();
            Adapter { raw, info, assumed_side: None }
        })
        .collect();
    adapters.sort_by_key(Adapter::rank);
    adapters
}
