//! Makes one WGSL module of every pass, checks it, and writes the table `SHADERS`.
//!
//! `shaders/OP.wgsl` is cut at lines `//!pass NAME`: what stands above the first is the op's head (`Params`,
//! functions that touch no binding) and belongs to every pass. A module is the head and one pass, so a buffer
//! has the name that `askem_kernels::call` gives it, in every pass and at any binding number; only where that
//! is the pass's own name, an underscore follows it. A line `//!include shared/FILE.wgsl` splices a file in, once a
//! module.
//!
//! An error names the file and line that it stands in, and stops the build.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, Scalar, ScalarKind, ShaderStage, StorageAccess, TypeInner};

/// What every WebGPU device offers, and so the most that a shader may ask for.
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16384;
const MAX_STORAGE_BUFFERS: usize = 8;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shaders");
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

/// A module's text, and where each of its lines comes from.
#[derive(Clone, Default)]
struct Source {
    text: String,
    lines: Vec<(PathBuf, usize)>,
    included: Vec<PathBuf>,
}

impl Source {
    fn push(&mut self, line: &str, path: &Path, number: usize) -> Result<(), String> {
        let Some(include) = line.strip_prefix("//!include ") else {
            self.text.push_str(line);
            self.text.push('\n');
            self.lines.push((path.to_owned(), number));
            return Ok(());
        };
        let file = Path::new("shaders").join(include.trim());
        if self.included.contains(&file) {
            return Ok(());
        }
        self.included.push(file.clone());
        let text = fs::read_to_string(&file).map_err(|error| {
            format!("wgsl/{}:{number}: {}: {error}", path.display(), file.display())
        })?;
        for (i, line) in text.lines().enumerate() {
            self.push(line, &file, i + 1)?;
        }
        Ok(())
    }

    /// A message with the file and line that a line of the module comes from.
    fn error(&self, line: usize, message: &str) -> String {
        let (path, number) =
            self.lines.get(line.saturating_sub(1)).or(self.lines.last()).expect("a pass has lines");
        format!("wgsl/{}:{number}: {message}", path.display())
    }

    /// The line that declares or first mentions `what`; the module's last line if none does.
    fn line_of(&self, what: &str) -> usize {
        self.text.lines().position(|line| line.contains(what)).map_or(self.lines.len(), |i| i + 1)
    }
}

/// The table's row for one op.
fn shader(path: &Path) -> Result<String, String> {
    let op =
        path.file_stem().and_then(|stem| stem.to_str()).ok_or("a shader's name is not UTF-8")?;
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut head = Source::default();
    let mut passes: Vec<(&str, Source)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("//!pass ") {
            passes.push((name.trim(), head.clone()));
        } else if line.starts_with("//!") && !line.starts_with("//!include ") {
            return Err(format!("wgsl/{}:{}: no such directive", path.display(), i + 1));
        } else {
            let source = passes.last_mut().map_or(&mut head, |(_, source)| source);
            source.push(line, path, i + 1)?;
        }
    }
    if passes.is_empty() {
        return Err(format!("wgsl/{}:1: no line `//!pass NAME`", path.display()));
    }

    let mut params = None;
    let mut entries = String::new();
    for (pass, source) in &passes {
        let (module, info) = parse(source)?;
        let layout = params_of(&module, source)?;
        if params.get_or_insert_with(|| layout.clone()) != &layout {
            return Err(
                source.error(1, "`Params` belongs into the head: it is the op's, not a pass's")
            );
        }
        entries.push_str(&entry(pass, source, &module, &info)?);
    }
    let (members, size) = params.expect("there is a pass");
    let mut row = format!("    Shader {{ op: {op:?}, params_size: {size}, params: &[\n");
    for (name, offset, element) in members {
        let _ = writeln!(
            row,
            "        Member {{ name: {name:?}, offset: {offset}, element: Element::{element} }},"
        );
    }
    let _ = write!(row, "    ], entries: &[\n{entries}    ] }},\n");
    Ok(row)
}

fn parse(source: &Source) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(&source.text).map_err(|error| {
        let line = error.location(&source.text).map_or(0, |at| at.line_number as usize);
        let labels: Vec<&str> = error.labels().map(|(_, label)| label).collect();
        source.error(line, &format!("{} ({})", error.message(), labels.join("; ")))
    })?;
    // No capability beyond what every WebGPU device has.
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| {
            let line = error.location(&source.text).map_or(0, |at| at.line_number as usize);
            let mut message = error.as_inner().to_string();
            let mut cause = std::error::Error::source(error.as_inner());
            while let Some(inner) = cause {
                let _ = write!(message, ": {inner}");
                cause = inner.source();
            }
            source.error(line, &message)
        })?;
    Ok((module, info))
}

/// Name, offset and element of each member of `Params`, and its size.
type Layout = (Vec<(String, u32, &'static str)>, u32);

/// The layout of the pass's `Params`.
fn params_of(module: &Module, source: &Source) -> Result<Layout, String> {
    let wrong = |what: &str| source.error(source.line_of("struct Params"), what);
    let found = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Params"));
    let Some((_, naga::Type { inner: TypeInner::Struct { members, span }, .. })) = found else {
        return Err(wrong("no struct `Params`"));
    };
    let mut layout = Vec::new();
    for member in members {
        let Some(element) = element(module, member.ty) else {
            return Err(wrong("a member of `Params` is neither u32 nor f32"));
        };
        layout.push((member.name.clone().unwrap_or_default(), member.offset, element));
    }
    Ok((layout, *span))
}

fn element(module: &Module, ty: naga::Handle<naga::Type>) -> Option<&'static str> {
    match module.types[ty].inner {
        TypeInner::Scalar(Scalar { kind: ScalarKind::Float, width: 4 }) => Some("Float"),
        TypeInner::Scalar(Scalar { kind: ScalarKind::Uint, width: 4 }) => Some("Uint"),
        _ => None,
    }
}

/// The table's row for one pass.
fn entry(
    pass: &str,
    source: &Source,
    module: &Module,
    info: &ModuleInfo,
) -> Result<String, String> {
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
    if workgroup_bytes > MAX_WORKGROUP_BYTES {
        return wrong(
            "var<workgroup>",
            format!("{workgroup_bytes} bytes of workgroup memory, over {MAX_WORKGROUP_BYTES}"),
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

    let mut row = String::new();
    let _ = writeln!(
        row,
        "        Entry {{ pass: {pass:?}, workgroup_size: {:?}, bindings: &[",
        entry.workgroup_size
    );
    for (binding, name, writable, element) in bindings {
        let _ = writeln!(
            row,
            "            Binding {{ binding: {binding}, name: {name:?}, writable: {writable}, element: Element::{element} }},"
        );
    }
    let _ = writeln!(
        row,
        "        ], constants: &{:?}, source: {:?} }},",
        constants(module),
        source.text
    );
    Ok(row)
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
