//! The adapters of this machine.

use wgpu::{Backend, Backends, DeviceType, Features, InstanceDescriptor, InstanceFlags};

/// An adapter that a driver offers.
#[derive(Debug)]
pub struct Adapter {
    pub(super) raw: wgpu::Adapter,
    info: wgpu::AdapterInfo,
}

/// Features that matter for this project's shaders, with the names that reports give them.
const FEATURES: &[(Features, &str)] = &[
    (Features::SHADER_F16, "f16"),
    (Features::SUBGROUP, "subgroup"),
    (Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative_matrix"),
    (Features::TIMESTAMP_QUERY, "timestamp"),
    (Features::PIPELINE_CACHE, "pipeline_cache"),
];

impl Adapter {
    /// The name that the driver gives, such as `NVIDIA H100` or `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub fn name(&self) -> &str {
        &self.info.name
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
            Adapter { raw, info }
        })
        .collect();
    adapters.sort_by_key(Adapter::rank);
    adapters
}
