//! Makes WGSL modules of every pass, checks them, and writes the table `SHADERS`.
//!
//! `shaders/OP.wgsl` is cut at lines `//!pass NAME`: what stands above the first is the op's head (`Params`,
//! functions that touch no binding) and belongs to every pass. A module is the head and one pass, so a buffer
//! has the name that `askem_kernels::call` gives it, in every pass and at any binding number; only where that
//! is the pass's own name, an underscore follows it. Other directives:
//!
//! - `//!include shared/FILE.wgsl` splices a file in, once a module;
//! - `//!const NAME 32 16` is a constant with one value for each shape of the pass's tiles; a pass has as many forms;
//! - `//!stored NAME` declares the type `stored_NAME` of the buffer `NAME`, which is f32 or, where the host asks for it, f16, and
//!   `as_NAME`, which turns a number into it;
//! - `//!tensor TEXT` is there only in forms for matrix units. A pass has those where `shared/tensor` has a file of the same
//!   name as one that it includes, which then takes its place; `{SIDE}` in it is the side of the matrices. In the same way it has
//!   forms by Winograd's algorithm where `shared/winograd` has such a file;
//! - `//!with shared/FILE.wgsl TEXT` is there only where that file is already included.
//!
//! An error names the file and line that it stands in, and stops the build.

#[path = "build/source.rs"]
mod source;
#[path = "src/stored.rs"]
mod stored;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, Scalar, ScalarKind, ShaderStage, StorageAccess, TypeInner};
use source::{Form, Source, Way, passes};

/// What every WebGPU device offers, and so the most that a shader may ask for.
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16384;
const MAX_STORAGE_BUFFERS: usize = 8;
/// What devices with matrix units offer.
const MAX_TENSOR_WORKGROUP_BYTES: u32 = 32768;
/// More would be too many modules: every combination of types is checked.
const MAX_STORED: usize = 3;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=shaders");
    println!("cargo::rerun-if-changed=src/stored.rs");
    let mut paths: Vec<PathBuf> = fs::read_dir("shaders")
        .expect("wgsl/shaders is readable")
        .map(|entry| entry.expect("wgsl/shaders is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"))
        .collect();
    paths.sort();

    let mut table = String::from("/// Every op's shader, ordered by the op's name.\n");
    table.push_str("pub static SHADERS: &[Shader] = &[\n");
    let mut errors = Vec::new();
    for path in &paths {
        match shader(path) {
            Ok(row) => table.push_str(&row),
            Err(error) => errors.push(error),
        }
    }
    table.push_str("];\n");
    // One mistake in an include shows in every shader that includes it.
    errors.dedup();
    if !errors.is_empty() {
        for error in errors {
            println!("cargo::error={error}");
            eprintln!("error: {error}");
        }
        process::exit(1);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("shaders.rs"), table).expect("OUT_DIR is writable");
}

/// The table's row for one op.
fn shader(path: &Path) -> Result<String, String> {
    let op =
        path.file_stem().and_then(|stem| stem.to_str()).ok_or("a shader's name is not UTF-8")?;
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut params = None;
    let mut entries = String::new();
    for (number, (pass, plain)) in passes(path, &text, Form::default())?.into_iter().enumerate() {
        let mut forms = vec![plain.clone()];
        let mut add = |form: Form| -> Result<usize, String> {
            // The same pass, all of whose files this form reads.
            let (_, source) = passes(path, &text, form)?.swap_remove(number);
            let shapes = source.shapes.max(1);
            forms.push(source);
            Ok(shapes)
        };
        for shape in 1..plain.shapes {
            add(Form { shape, ..Form::default() })?;
        }
        for way in Way::OTHERS.into_iter().filter(|way| plain.ways.contains(way)) {
            let shapes = add(Form { shape: 0, way })?;
            for shape in 1..shapes {
                add(Form { shape, way })?;
            }
        }
        let mut head = None;
        let mut rows = String::new();
        for source in &forms {
            let (module, info) = parse(source)?;
            let layout = params_of(&module, source)?;
            if params.get_or_insert_with(|| layout.clone()) != &layout {
                return Err(
                    source.error(1, "`Params` belongs into the head: it is the op's, not a pass's")
                );
            }
            let (bindings, row) = entry(pass, source, &module, &info)?;
            if head.get_or_insert_with(|| bindings.clone()) != &bindings {
                return Err(source.error(1, "all forms of a pass have the same bindings"));
            }
            rows.push_str(&row);
        }
        let _ = write!(
            entries,
            "        Entry {{ pass: {pass:?}, bindings: &[\n{}        ], forms: &[\n{rows}        ] }},\n",
            head.expect("there is a form")
        );
    }
    let (members, size) = params.expect("there is a pass");
    let mut row = format!("    Shader {{ op: {op:?}, params_size: {size}, params: &[\n");
    for (name, offset, element, len) in members {
        let _ = writeln!(
            row,
            "        Member {{ name: {name:?}, offset: {offset}, element: Element::{element}, len: {len:?} }},"
        );
    }
    let _ = write!(row, "    ], entries: &[\n{entries}    ] }},\n");
    Ok(row)
}

/// The module of a form whose buffers hold f32, and that of every other combination of types checked.
fn parse(source: &Source) -> Result<(Module, ModuleInfo), String> {
    if source.stored.len() > MAX_STORED {
        return Err(source.error(1, &format!("over {MAX_STORED} buffers may hold f16")));
    }
    let mut plain = None;
    for set in 0..1_usize << source.stored.len() {
        let chosen = source.stored.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
        let halves: Vec<&str> = chosen.map(|(_, name)| &name[..]).collect();
        let text = stored::module(&source.text, source.form.way.side(), &halves);
        let parsed = parse_text(source, &text, !halves.is_empty())?;
        plain.get_or_insert(parsed);
    }
    Ok(plain.expect("the empty set is one"))
}

fn parse_text(
    source: &Source,
    text: &str,
    has_halves: bool,
) -> Result<(Module, ModuleInfo), String> {
    // Lines above the file's own.
    let enables = text.lines().take_while(|line| line.starts_with("enable ")).count();
    let module = naga::front::wgsl::parse_str(text).map_err(|error| {
        let line = error.location(text).map_or(0, |at| at.line_number as usize);
        let labels: Vec<&str> = error.labels().map(|(_, label)| label).collect();
        let message = format!("{} ({})", error.message(), labels.join("; "));
        source.error(line.saturating_sub(enables), &message)
    })?;
    // No capability beyond what every WebGPU device has, but for what a form is made for.
    let mut capabilities = Capabilities::empty();
    if has_halves {
        capabilities |= Capabilities::SHADER_FLOAT16;
    }
    if source.form.way.side().is_some() {
        capabilities |= Capabilities::SHADER_FLOAT16
            | Capabilities::SUBGROUP
            | Capabilities::COOPERATIVE_MATRIX;
    }
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module).map_err(
        |error| {
            let line = error.location(text).map_or(0, |at| at.line_number as usize);
            let mut message = error.as_inner().to_string();
            let mut cause = std::error::Error::source(error.as_inner());
            while let Some(inner) = cause {
                let _ = write!(message, ": {inner}");
                cause = inner.source();
            }
            source.error(line.saturating_sub(enables), &message)
        },
    )?;
    Ok((module, info))
}

/// Name, offset, element and, of an array, length of each member of `Params`, and its size.
type Layout = (Vec<(String, u32, &'static str, Option<u32>)>, u32);

/// The layout of the pass's `Params`.
fn params_of(module: &Module, source: &Source) -> Result<Layout, String> {
    let wrong = |what: &str| source.error(source.line_of("struct Params"), what);
    let found = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Params"));
    let Some((_, naga::Type { inner: TypeInner::Struct { members, span }, .. })) = found else {
        return Err(wrong("no struct `Params`"));
    };
    let mut layout = Vec::new();
    for member in members {
        let found = element(module, member.ty).map(|element| (element, None));
        let Some((element, len)) = found.or_else(|| array_of_vectors(module, member.ty)) else {
            return Err(wrong(
                "a member of `Params` is neither u32, f32 nor an array of vec4 of them",
            ));
        };
        layout.push((member.name.clone().unwrap_or_default(), member.offset, element, len));
    }
    Ok((layout, *span))
}

/// The element, and how many, of an array of vectors of four, which in a uniform lies as the array of its elements would in Rust.
fn array_of_vectors(
    module: &Module,
    ty: naga::Handle<naga::Type>,
) -> Option<(&'static str, Option<u32>)> {
    let TypeInner::Array { base, size: naga::ArraySize::Constant(vectors), .. } =
        module.types[ty].inner
    else {
        return None;
    };
    let TypeInner::Vector { size: naga::VectorSize::Quad, scalar } = module.types[base].inner
    else {
        return None;
    };
    Some((element_of(scalar)?, Some(4 * vectors.get())))
}

fn element(module: &Module, ty: naga::Handle<naga::Type>) -> Option<&'static str> {
    let TypeInner::Scalar(scalar) = module.types[ty].inner else { return None };
    element_of(scalar)
}

fn element_of(scalar: Scalar) -> Option<&'static str> {
    match scalar {
        Scalar { kind: ScalarKind::Float, width: 4 } => Some("Float"),
        Scalar { kind: ScalarKind::Uint, width: 4 } => Some("Uint"),
        _ => None,
    }
}

/// The table's rows for the bindings of a pass and for one form of it.
fn entry(
    pass: &str,
    source: &Source,
    module: &Module,
    info: &ModuleInfo,
) -> Result<(String, String), String> {
    let [entry] = &module.entry_points[..] else {
        return Err(source.error(source.line_of("@compute"), "a pass has one entry point"));
    };
    let wrong = |at: &str, what: String| {
        Err(source.error(source.line_of(at), &format!("pass `{pass}`: {what}")))
    };
    if entry.name != pass || entry.stage != ShaderStage::Compute {
        return wrong("@compute", format!("its entry point is `{}`", entry.name));
    }
    if entry.workgroup_size_overrides.is_some() || module.overrides.iter().next().is_some() {
        return wrong("override", "overrides are not in use: the table holds plain numbers".into());
    }
    let invocations: u32 = entry.workgroup_size.iter().product();
    if invocations > MAX_INVOCATIONS {
        return wrong("@compute", format!("{invocations} invocations, over {MAX_INVOCATIONS}"));
    }

    let uses = info.get_entry_point(0);
    let mut bindings: Vec<(u32, &str, bool, &str)> = Vec::new();
    let mut workgroup_bytes = 0;
    let mut has_params = false;
    for (handle, global) in module.global_variables.iter() {
        let name = global.name.as_deref().unwrap_or_default();
        let declared = format!("{name}:");
        if global.space == AddressSpace::WorkGroup {
            workgroup_bytes += module.types[global.ty].inner.size(module.to_ctx());
        }
        let Some(binding) = global.binding else { continue };
        if binding.group != 0 {
            return wrong(&declared, format!("`{name}` is not in group 0"));
        }
        if uses[handle].is_empty() {
            return wrong(&declared, format!("`{name}` is never used"));
        }
        match global.space {
            AddressSpace::Uniform => {
                has_params = name == "params"
                    && binding.binding == 0
                    && module.types[global.ty].name.as_deref() == Some("Params");
                if !has_params {
                    return wrong(&declared, "the uniform is `params: Params` at binding 0".into());
                }
            }
            AddressSpace::Storage { access } => {
                let TypeInner::Array { base, size: naga::ArraySize::Dynamic, .. } =
                    module.types[global.ty].inner
                else {
                    return wrong(&declared, format!("`{name}` is not a run-time array"));
                };
                let Some(element) = element(module, base) else {
                    return wrong(&declared, format!("`{name}` holds neither f32 nor u32"));
                };
                let writable = access.contains(StorageAccess::STORE);
                if writable != uses[handle].contains(GlobalUse::WRITE) {
                    return wrong(&declared, format!("`{name}` is writable and never written"));
                }
                let name = name.strip_suffix('_').filter(|name| *name == pass).unwrap_or(name);
                bindings.push((binding.binding, name, writable, element));
            }
            _ => return wrong(&declared, format!("`{name}` is neither uniform nor storage")),
        }
    }
    if !has_params {
        return wrong("@compute", "no uniform `params` at binding 0".into());
    }
    let most = match source.form.way.side() {
        Some(_) => MAX_TENSOR_WORKGROUP_BYTES,
        None => MAX_WORKGROUP_BYTES,
    };
    if workgroup_bytes > most {
        return wrong(
            "var<workgroup>",
            format!("{workgroup_bytes} bytes of workgroup memory, over {most}"),
        );
    }
    if bindings.len() > MAX_STORAGE_BUFFERS {
        return wrong(
            "@compute",
            format!("{} storage buffers, over {MAX_STORAGE_BUFFERS}", bindings.len()),
        );
    }
    bindings.sort();
    for (i, &(binding, name, writable, _)) in bindings.iter().enumerate() {
        if binding as usize != i + 1 {
            return wrong(
                &format!("{name}:"),
                format!("`{name}` is at binding {binding}, expected {}", i + 1),
            );
        }
        if i > 0 && bindings[i - 1].2 && !writable {
            return wrong(
                &format!("{name}:"),
                format!("`{name}` is read and stands after a write"),
            );
        }
    }

    for stored in &source.stored {
        if !bindings.iter().any(|(_, name, ..)| name == stored) {
            return wrong(stored, format!("no buffer is named `{stored}`"));
        }
    }

    let mut rows = String::new();
    for (binding, name, writable, element) in bindings {
        let stored = source.stored.iter().any(|stored| stored == name);
        let _ = writeln!(
            rows,
            "            Binding {{ binding: {binding}, name: {name:?}, writable: {writable}, element: Element::{element}, may_hold_f16: {stored} }},"
        );
    }
    let row = format!(
        "            Form {{ side: {:?}, is_winograd: {}, workgroup_size: {:?}, constants: &{:?}, text: {:?} }},\n",
        source.form.way.side(),
        source.form.way == Way::Winograd,
        entry.workgroup_size,
        constants(module),
        source.text
    );
    Ok((rows, row))
}

/// The module's named `const`s of type u32, such as the sizes of tiles.
fn constants(module: &Module) -> Vec<(&str, u32)> {
    let value = |constant: &naga::Constant| match module.global_expressions[constant.init] {
        naga::Expression::Literal(naga::Literal::U32(value)) => Some(value),
        _ => None,
    };
    module
        .constants
        .iter()
        .filter_map(|(_, constant)| Some((constant.name.as_deref()?, value(constant)?)))
        .collect()
}
