//! The text of a module: a pass in one form, with what it includes. The directives are listed in build.rs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stored;

/// Sides of square matrices that matrix units multiply: most Vulkan drivers' and Metal's.
const SIDES: [u32; 2] = [16, 8];

/// Which form of a pass: the shape of its tiles, and how it computes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Form {
    pub(crate) shape: usize,
    pub(crate) way: Way,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Way {
    #[default]
    Plain,
    Winograd,
    /// By matrix units, with the side of their matrices.
    Tensor(u32),
}

impl Way {
    /// All but the plain one.
    pub(crate) const OTHERS: [Self; 3] =
        [Self::Winograd, Self::Tensor(SIDES[0]), Self::Tensor(SIDES[1])];

    /// Where files lie that take the place of others.
    fn folder(self) -> &'static str {
        match self {
            Self::Plain => "shared/",
            Self::Winograd => "shared/winograd/",
            Self::Tensor(_) => "shared/tensor/",
        }
    }

    pub(crate) fn side(self) -> Option<u32> {
        match self {
            Self::Tensor(side) => Some(side),
            _ => None,
        }
    }
}

/// A module's text, and where each of its lines comes from.
#[derive(Clone, Default)]
pub(crate) struct Source {
    pub(crate) form: Form,
    pub(crate) text: String,
    lines: Vec<(PathBuf, usize)>,
    included: Vec<PathBuf>,
    /// Buffers that may hold f16.
    pub(crate) stored: Vec<String>,
    /// How many shapes of tiles the constants have; 0 where there are no such constants.
    pub(crate) shapes: usize,
    /// In which ways a file would take the place of another.
    pub(crate) ways: Vec<Way>,
}

impl Source {
    fn push(&mut self, line: &str, path: &Path, number: usize) -> Result<(), String> {
        let at = |what: &str| format!("wgsl/{}:{number}: {what}", path.display());
        let Some(directive) = line.trim_start().strip_prefix("//!") else {
            let text = match self.form.way.side() {
                Some(side) => line.replace("{SIDE}", &side.to_string()),
                None => line.into(),
            };
            self.push_text(&text, path, number);
            return Ok(());
        };
        let (what, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match what {
            "include" => self.include(rest.trim(), path, number),
            "const" => {
                let mut words = rest.split_whitespace();
                let name = words.next().ok_or_else(|| at("a constant has a name"))?;
                let values: Vec<&str> = words.collect();
                if values.is_empty() || ![0, values.len()].contains(&self.shapes) {
                    return Err(at("a value for each shape, as many as other constants have"));
                }
                self.shapes = values.len();
                let text = format!("const {name}: u32 = {}u;", values[self.form.shape]);
                self.push_text(&text, path, number);
                Ok(())
            }
            "stored" => {
                let name = rest.trim();
                self.stored.push(name.into());
                self.push_text(&stored::declarations(name, false), path, number);
                Ok(())
            }
            "tensor" => {
                if self.form.way.side().is_some() {
                    self.push_text(rest, path, number);
                }
                Ok(())
            }
            "with" => {
                let (file, text) =
                    rest.split_once(' ').ok_or_else(|| at("a file's name, then the text"))?;
                if self.included.contains(&Path::new("shaders").join(file)) {
                    self.push_text(text, path, number);
                }
                Ok(())
            }
            _ => Err(at("no such directive")),
        }
    }

    fn push_text(&mut self, text: &str, path: &Path, number: usize) {
        self.text.push_str(text);
        self.text.push('\n');
        self.lines.push((path.to_owned(), number));
    }

    fn include(&mut self, name: &str, path: &Path, number: usize) -> Result<(), String> {
        let mut file = Path::new("shaders").join(name);
        if self.included.contains(&file) {
            return Ok(());
        }
        self.included.push(file.clone());
        for way in Way::OTHERS {
            let twin = Path::new("shaders").join(name.replacen("shared/", way.folder(), 1));
            if name.starts_with("shared/") && twin.exists() {
                self.ways.push(way);
                if self.form.way == way {
                    file = twin;
                }
            }
        }
        let text = fs::read_to_string(&file).map_err(|error| {
            format!("wgsl/{}:{number}: {}: {error}", path.display(), file.display())
        })?;
        for (i, line) in text.lines().enumerate() {
            self.push(line, &file, i + 1)?;
        }
        Ok(())
    }

    /// A message with the file and line that a line of the module comes from.
    pub(crate) fn error(&self, line: usize, message: &str) -> String {
        let (path, number) =
            self.lines.get(line.saturating_sub(1)).or(self.lines.last()).expect("a pass has lines");
        format!("wgsl/{}:{number}: {message}", path.display())
    }

    /// The line that declares or first mentions `what`; the module's last line if none does.
    pub(crate) fn line_of(&self, what: &str) -> usize {
        self.text.lines().position(|line| line.contains(what)).map_or(self.lines.len(), |i| i + 1)
    }
}

/// The passes of an op in one form, by name.
pub(crate) fn passes<'a>(
    path: &Path,
    text: &'a str,
    form: Form,
) -> Result<Vec<(&'a str, Source)>, String> {
    let mut head = Source { form, ..Source::default() };
    let mut passes: Vec<(&str, Source)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("//!pass ") {
            passes.push((name.trim(), head.clone()));
        } else {
            let source = passes.last_mut().map_or(&mut head, |(_, source)| source);
            source.push(line, path, i + 1)?;
        }
    }
    if passes.is_empty() {
        return Err(format!("wgsl/{}:1: no line `//!pass NAME`", path.display()));
    }
    Ok(passes)
}
