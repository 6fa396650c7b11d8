//! The modules to translate, and what each needs of a device.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// A module with one entry point.
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) entry_point: String,
    pub(crate) module: naga::Module,
    pub(crate) info: ModuleInfo,
    /// The least that a device must offer beyond what all do.
    pub(crate) needs: Capabilities,
}

/// Features that variants of shaders may ask for.
const OPTIONAL: [Capabilities; 4] = [
    Capabilities::SHADER_FLOAT16,
    Capabilities::SUBGROUP,
    Capabilities::SUBGROUP_BARRIER,
    Capabilities::COOPERATIVE_MATRIX,
];

impl Candidate {
    pub(crate) fn new(name: String, source: String) -> Self {
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&source)));
        let [entry_point] = &module.entry_points[..] else {
            panic!("{name} has {} entry points", module.entry_points.len());
        };
        let entry_point = entry_point.name.clone();
        let mut sets: Vec<Capabilities> = (0..1usize << OPTIONAL.len())
            .map(|set| OPTIONAL.iter().enumerate().filter(move |(i, _)| set >> i & 1 == 1))
            .map(|chosen| chosen.fold(Capabilities::empty(), |all, (_, &one)| all | one))
            .collect();
        // Fewest first.
        sets.sort_by_key(|set| set.bits().count_ones());
        let validate = |needs: Capabilities| {
            let validated = Validator::new(ValidationFlags::all(), needs).validate(&module);
            validated.map_err(|error| format!("{name}: {:?}", error.into_inner()))
        };
        let found = sets.into_iter().find_map(|needs| Some((needs, validate(needs).ok()?)));
        let Some((needs, info)) = found else {
            panic!("{}", validate(Capabilities::all()).err().unwrap_or_default());
        };
        Self { name, source, entry_point, module, info, needs }
    }

    pub(crate) fn needs(&self, what: Capabilities) -> bool {
        self.needs.intersects(what)
    }
}

/// Every form of every pass that the program holds, with f32 and with all that may be f16 in f16.
///
/// The first form in f32 has the pass's name alone.
pub(crate) fn shaders() -> Vec<Candidate> {
    let mut modules = Vec::new();
    for shader in askem_wgsl::SHADERS {
        for entry in shader.entries {
            for (number, form) in entry.forms.iter().enumerate() {
                let mut name = format!("{}::{}", shader.op, entry.pass);
                if number > 0 {
                    name = format!("{name} form {number}");
                }
                modules.push(Candidate::new(name.clone(), form.source(&[])));
                let stored: Vec<_> = entry.stored().collect();
                if !stored.is_empty() {
                    modules.push(Candidate::new(format!("{name} f16"), form.source(&stored)));
                }
            }
        }
    }
    modules
}

/// One small module for each feature that a variant may need.
pub(crate) fn probes() -> Vec<Candidate> {
    let probes = [
        ("probe f16", include_str!("probes/f16.wgsl")),
        ("probe subgroup", include_str!("probes/subgroup.wgsl")),
        ("probe matrix_f16", include_str!("probes/matrix_f16.wgsl")),
        ("probe matrix_f32", include_str!("probes/matrix_f32.wgsl")),
    ];
    probes.map(|(name, source)| Candidate::new(name.into(), source.into())).into()
}

/// Both.
pub(crate) fn all() -> Vec<Candidate> {
    let mut all = shaders();
    all.extend(probes());
    all
}
