//! The shaders in the languages of machines that we do not have.
//!
//! - [`translate`]: every module in SPIR-V (Vulkan), MSL (Metal) and HLSL (Direct3D 12), by naga under wgpu's options;
//! - [`spirv_val`]: the SPIR-V is valid, says Khronos' validator;
//! - [`memory_model`]: the SPIR-V keeps to the memory model that it declares, after `askem_wgsl::memory_model`;
//! - [`dxc`]: the HLSL compiles, says Microsoft's compiler;
//! - [`radv`]: the SPIR-V fits the registers of an AMD card, says Mesa's compiler.
//!
//! A module is tested with what it needs of a device (f16, subgroups, cooperative matrices), which is read from the module:
//! a new shader or variant is covered because it is in `askem_wgsl::SHADERS`. The probes show that each need
//! is recognised and goes through the same checks. `./test.sh` installs the tools; without one its tests fail.

mod dxc;
mod memory_model;
mod modules;
mod radv;
mod spirv_val;
#[path = "../shared/tools.rs"]
mod tools;
mod translate;

use std::fs;
use std::path::{Path, PathBuf};

use naga::valid::Capabilities;

/// All WGSL files below a folder.
fn shader_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder of the shaders can be read") {
        let path = entry.expect("the folder of the shaders can be read").path();
        if path.is_dir() {
            shader_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "wgsl") {
            found.push(path);
        }
    }
}

/// No entry point stands in a file that the table leaves out.
#[test]
fn every_entry_point_is_in_the_table() {
    let mut files = Vec::new();
    shader_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("wgsl/shaders"), &mut files);
    let modules = modules::shaders();
    let mut entry_points = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a shader can be read");
        for entry_point in text.split("@compute").skip(1) {
            // Up to its body the text is in one module, word for word.
            let head = entry_point.split('{').next().expect("a split has one part");
            let plain = head.lines().filter(|line| !line.trim_start().starts_with("//!"));
            let plain = plain.collect::<Vec<_>>().join("\n");
            let holds = |module: &&modules::Candidate| module.source.contains(&plain);
            assert!(modules.iter().any(|m| holds(&m)), "{}: @compute{head}", file.display());
            entry_points += 1;
        }
    }
    assert!(entry_points > 0 && entry_points <= modules.len(), "{entry_points} entry points");
}

#[test]
fn needs_are_read_from_modules() {
    use Capabilities as Needs;
    let needs = |name: &str| {
        let found = modules::probes().into_iter().find(|probe| probe.name == name);
        found.expect("the probe is there").needs
    };
    assert_eq!(needs("probe f16"), Needs::SHADER_FLOAT16);
    assert_eq!(needs("probe subgroup"), Needs::SUBGROUP);
    assert_eq!(needs("probe matrix_f32"), Needs::COOPERATIVE_MATRIX);
    assert_eq!(needs("probe matrix_f16"), Needs::COOPERATIVE_MATRIX | Needs::SHADER_FLOAT16);
    // What every device can run is there for every pass.
    let portable = |op: &str, pass: &str| {
        let name = format!("{op}::{pass}");
        modules::shaders().iter().any(|m| m.name == name && m.needs.is_empty())
    };
    for signature in askem_kernels::SIGNATURES {
        assert!(portable(signature.op, signature.pass), "{} is not portable", signature.name);
    }
}
