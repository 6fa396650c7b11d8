//! Mesa's compiler for AMD's cards on the SPIR-V. It needs no card: RADV takes one to be there if told so.
//!
//! A compiler of real hardware goes through every shader for f32 and f16, and says how many registers each takes and how much memory of a
//! workgroup. What it says is not a time.

#![allow(unsafe_code)]

use std::env;
use std::process::Command;

use ash::{khr, vk};
use naga::valid::Capabilities;

use crate::modules::{self, Candidate};
use crate::tools::tool;

/// Set for the process that compiles.
const FAMILY: &str = "RADV_FORCE_FAMILY";
/// RDNA 2: the RX 6800 and 6900.
const CARD: &str = "navi21";

/// A device of the driver, which compiles and computes nothing.
struct Compiler {
    device: ash::Device,
    statistics: khr::pipeline_executable_properties::Device,
    // They last as long as the process.
    _entry: ash::Entry,
    _instance: ash::Instance,
}

impl Compiler {
    fn open() -> Self {
        // SAFETY: the structures that are passed live until the calls return, and the features and the extension are those of every
        // card of this driver, else no device opens.
        unsafe {
            let entry = ash::Entry::load().expect("there is a Vulkan loader");
            let about = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let about = vk::InstanceCreateInfo::default().application_info(&about);
            let instance = entry.create_instance(&about, None).expect("an instance opens");
            let cards = instance.enumerate_physical_devices().expect("cards are listed");
            let [card] = cards[..] else { panic!("{} cards where one is forced", cards.len()) };
            let name = instance.get_physical_device_properties(card);
            let name =
                name.device_name_as_c_str().expect("a name").to_string_lossy().to_lowercase();
            assert!(name.contains("radv") && name.contains(CARD), "{name}");
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let extensions = [khr::pipeline_executable_properties::NAME.as_ptr()];
            let mut sizes =
                vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
            let mut types = vk::PhysicalDeviceVulkan12Features::default().shader_float16(true);
            let mut says = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                .pipeline_executable_info(true);
            let about = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut sizes)
                .push_next(&mut types)
                .push_next(&mut says);
            let device = instance.create_device(card, &about, None).expect("a device opens");
            let statistics = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Self { device, statistics, _entry: entry, _instance: instance }
        }
    }

    /// What the driver says of a module's pipeline, by name.
    fn compile(&self, candidate: &Candidate) -> Result<Vec<(String, u64)>, vk::Result> {
        let device = &self.device;
        let vulkan = candidate.vulkans().last().expect("some version can run it");
        let words = candidate.spirv(vulkan);
        let name = std::ffi::CString::new(candidate.entry_point.clone()).expect("no zeros");
        let layout: Vec<_> = candidate
            .buffers()
            .map(|(binding, is_uniform)| {
                let kind = if is_uniform {
                    vk::DescriptorType::UNIFORM_BUFFER
                } else {
                    vk::DescriptorType::STORAGE_BUFFER
                };
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        // SAFETY: all handles are of this device and not destroyed, and the structures that are passed live until the calls return. The
        // module is valid, says naga, and uses the buffers of its layout.
        unsafe {
            let module = vk::ShaderModuleCreateInfo::default().code(&words);
            let module = device.create_shader_module(&module, None)?;
            let layout = vk::DescriptorSetLayoutCreateInfo::default().bindings(&layout);
            let layouts = [device.create_descriptor_set_layout(&layout, None)?];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts);
            let layout = device.create_pipeline_layout(&layout, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&name);
            let pipeline = vk::ComputePipelineCreateInfo::default()
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
                .stage(stage)
                .layout(layout);
            let made =
                device.create_compute_pipelines(vk::PipelineCache::null(), &[pipeline], None);
            let pipeline = made.map_err(|(_, error)| error)?[0];
            let of = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let statistics = self.statistics.get_pipeline_executable_statistics(&of)?;
            let pairs = statistics.iter().map(|one| {
                let name = one.name_as_c_str().expect("a name").to_string_lossy().into_owned();
                assert_eq!(one.format, vk::PipelineExecutableStatisticFormatKHR::UINT64, "{name}");
                (name, one.value.u64)
            });
            Ok(pairs.collect())
        }
    }
}

/// More numbers than a lane has registers for, in an order that only the data know.
const TOO_MUCH: &str = "
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) at: vec3u) {
    var held: array<f32, 1024>;
    for (var i = 0u; i < 1024u; i++) { held[(i * at.x) & 1023u] += y[i]; }
    y[at.x] = held[u32(y[0]) & 1023u];
}";

/// One of the statistics that every pipeline has.
fn find(statistics: &[(String, u64)], name: &str) -> u64 {
    let found = statistics.iter().find(|(other, _)| other == name);
    found.unwrap_or_else(|| panic!("no {name} among {statistics:?}")).1
}

/// What of a module's numbers does not fit the registers.
fn spilled(statistics: &[(String, u64)]) -> Vec<String> {
    let all = ["Spilled VGPRs", "Spilled SGPRs", "Scratch size"]
        .map(|what| (what, find(statistics, what)));
    all.iter()
        .filter(|(_, value)| *value > 0)
        .map(|(what, value)| format!("{what}: {value}"))
        .collect()
}

/// Compiles everything, prints a line for each module, and fails where registers do not suffice.
fn compile_all() {
    let compiler = Compiler::open();
    let is_plain = |candidate: &Candidate| !candidate.needs(Capabilities::COOPERATIVE_MATRIX);
    let too_much = compiler.compile(&Candidate::new("too much".into(), TOO_MUCH.into()));
    assert!(!spilled(&too_much.expect("it compiles")).is_empty(), "spilling is not seen");
    let mut failed = Vec::new();
    println!("{:60} registers  workgroup bytes  instructions", "module");
    for candidate in modules::all().iter().filter(|candidate| is_plain(candidate)) {
        let name = &candidate.name;
        let statistics = match compiler.compile(candidate) {
            Ok(statistics) => statistics,
            Err(error) => {
                failed.push(format!("{name}: {error}"));
                continue;
            }
        };
        let [registers, lds, instructions] =
            ["VGPRs", "LDS size", "Instructions"].map(|what| find(&statistics, what));
        println!("{name:60} {registers:9}  {lds:15}  {instructions:12}");
        failed.extend(spilled(&statistics).iter().map(|what| format!("{name}: {what}")));
        if registers == 0 || instructions == 0 {
            failed.push(format!("{name}: {statistics:?}"));
        }
    }
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_module_fits_the_registers_of_an_amd_card() {
    if env::var(FAMILY).is_ok_and(|card| card == CARD) {
        return compile_all();
    }
    // The loader and the driver read the environment of their process.
    let output = Command::new(env::current_exe().expect("a path"))
        .args(["radv::every_module_fits_the_registers_of_an_amd_card", "--exact", "--nocapture"])
        .env(FAMILY, CARD)
        .env("RADV_DEBUG", "nocache")
        .envs(["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, tool("radeon.json"))))
        .output()
        .expect("the test starts");
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let compiled =
        text.lines().filter(|line| line.contains("::") && !line.contains("test ")).count();
    assert!(compiled >= askem_kernels::SIGNATURES.len(), "only {compiled} modules");
}
