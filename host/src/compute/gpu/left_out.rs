//! Forms that a device does not run: those that were wrong on it, and those that its user leaves
//! out.
//!
//! The environment variable `ASKEM_FORMS` names forms by parts of their names, such as
//! `conv2d::forward/matrix16-tile32`, separated by commas. `-matrix` leaves out all whose names
//! contain `matrix`. Without the sign, `conv2d::forward/tile` leaves out the other forms of the
//! passes that have such a form.

use std::collections::BTreeMap;

use askem_kernels::{Call, SIGNATURES};
use askem_wgsl::{Entry, find};

use super::GpuExecutor;
use crate::compute::device::{LeftOutForm, Warn};
use crate::compute::precision::Precision;
use crate::error::{Error, Result};

const VARIABLE: &str = "ASKEM_FORMS";

/// The forms that are left out, by pass and number of the form.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut {
    why: BTreeMap<(&'static str, usize), String>,
}

/// Every pass by its name, with its entry point.
fn passes() -> impl Iterator<Item = (&'static str, &'static Entry)> {
    SIGNATURES.iter().map(|signature| {
        let (_, entry) = find(signature.op, signature.pass).expect("every pass has a shader");
        (signature.name, entry)
    })
}

/// The name of a form among those of all passes: `op::pass/form`.
pub(super) fn name(pass: &str, entry: &Entry, form: usize) -> String {
    format!("{pass}/{}", entry.forms[form].name())
}

impl LeftOut {
    /// Those that `ASKEM_FORMS` leaves out.
    pub(super) fn of_environment() -> Result<Self> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Self::default()),
            Some(text) => match text.to_str() {
                Some(text) => Self::parse(text),
                None => Err(Error::Usage(format!("{VARIABLE}={}: no UTF-8", text.display()))),
            },
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut out = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (is_refused, part) = match part.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, part),
            };
            if part.is_empty() {
                return Err(Error::Usage(format!("{VARIABLE}={text}: a sign without a name")));
            }
            let mut is_known = false;
            for (pass, entry) in passes() {
                let contains = |&form: &usize| name(pass, entry, form).contains(part);
                let (named, others): (Vec<_>, Vec<_>) =
                    (0..entry.forms.len()).partition(|form| contains(form));
                if named.is_empty() {
                    continue;
                }
                is_known = true;
                for form in if is_refused { named } else { others } {
                    out.insert(pass, form, format!("{VARIABLE}={text} leaves it out"));
                }
            }
            if !is_known {
                return Err(Error::Usage(format!(
                    "{VARIABLE}: no form of a shader has `{part}` in its name; names are such as \
                     {}",
                    name("conv2d::forward", find("conv2d", "forward").expect("it is one").1, 0)
                )));
            }
        }
        Ok(out)
    }

    pub(super) fn insert(&mut self, pass: &'static str, form: usize, why: String) {
        self.why.entry((pass, form)).or_insert(why);
    }

    pub(super) fn contains(&self, pass: &'static str, form: usize) -> bool {
        self.why.contains_key(&(pass, form))
    }

    /// Finds a form by its name and leaves it out; whether there is one.
    pub(super) fn insert_by_name(&mut self, form: &LeftOutForm) -> bool {
        let found = passes().find_map(|(pass, entry)| {
            let number = (0..entry.forms.len()).find(|&i| name(pass, entry, i) == form.form)?;
            Some((pass, number))
        });
        if let Some((pass, number)) = found {
            self.insert(pass, number, form.why.clone());
        }
        found.is_some()
    }

    /// Those of them, by their names, that a device could run otherwise; `side` is that of its matrices.
    pub(super) fn forms(&self, side: Option<u32>) -> Vec<LeftOutForm> {
        let named = |(&(pass, form), why): (&(&'static str, usize), &String)| {
            let (_, entry) = passes().find(|(name, _)| *name == pass)?;
            let is_run = super::forms::of_device(entry, side).contains(&form);
            is_run.then(|| LeftOutForm { form: name(pass, entry, form), why: why.clone() })
        };
        self.why.iter().filter_map(named).collect()
    }

    /// Refuses a device on which a pass has no form left that computes every call, or of a
    /// precision that then differs in nothing from a plainer one. `side` is that of its matrices.
    pub(super) fn check(
        &self,
        device: &str,
        precision: Precision,
        side: Option<u32>,
    ) -> Result<()> {
        let mut of_matrices = Vec::new();
        for (pass, entry) in passes() {
            let is_left = |&form: &usize| !self.contains(pass, form);
            let usable = super::forms::of_device(entry, side);
            of_matrices.extend(
                usable.iter().filter(|&&i| entry.forms[i].side.is_some()).map(|&i| (pass, i)),
            );
            if !usable.iter().filter(|form| is_left(form)).any(|&i| !entry.forms[i].is_winograd) {
                let why = usable.iter().find_map(|&form| self.why.get(&(pass, form)));
                return Err(Error::Device(format!(
                    "{device} has no form of {pass} that computes in {precision}: {}",
                    why.map_or("there is none", String::as_str)
                )));
            }
        }
        let is_out = |&(pass, form): &(&'static str, usize)| self.contains(pass, form);
        if precision == Precision::Tensor && of_matrices.iter().all(is_out) {
            let why = of_matrices.iter().find_map(|of| self.why.get(of));
            return Err(Error::Device(format!(
                "{device} has no form left for matrix units, which --precision tensor needs; take \
                 --precision f32, or f16 if it has that ({})",
                why.map_or("there is none", String::as_str)
            )));
        }
        Ok(())
    }
}

impl GpuExecutor {
    /// The forms of shaders that are not in use here, and why: they were wrong, or they are left out by `ASKEM_FORMS`.
    pub fn left_out(&self) -> Vec<LeftOutForm> {
        self.left_out.forms(self.connection.side)
    }

    /// Gives `warn` a sentence for each form that is left out, and for those that will be.
    pub fn warn_with(&mut self, warn: Warn) {
        self.warn = warn;
        self.left_out().iter().for_each(|form| self.warn_of(form));
    }

    fn warn_of(&self, LeftOutForm { form, why }: &LeftOutForm) {
        (self.warn)(format!("{} does without {form}: {why}", self.connection.name));
    }

    /// Whether each pass has a form left.
    pub(super) fn check_left(&self) -> Result<()> {
        self.left_out.check(&self.connection.name, self.precision, self.connection.side)
    }

    /// From now on does without a form, for the reason given.
    ///
    /// # Errors
    /// [`Error::Device`] if there is no other that computes the same.
    pub(super) fn leave_out(&mut self, call: &Call, form: usize, what: String) -> Result<()> {
        let (pass, (_, entry)) = (call.signature().name, askem_wgsl::entry_of(call));
        self.warn_of(&LeftOutForm { form: name(pass, entry, form), why: what.clone() });
        self.left_out.insert(pass, form, what);
        let outcome = self.check_left();
        self.keep_verdict(outcome.as_ref().err());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let out = LeftOut::parse(text).expect("there are such forms");
        out.forms(Some(16)).into_iter().map(|left_out| left_out.form).collect()
    }

    #[test]
    fn parts_of_names_leave_forms_out() {
        assert!(names("").is_empty());
        let all = names("-matrix");
        assert!(all.len() > 20 && all.iter().all(|name| name.contains("/matrix")), "{all:?}");
        assert_eq!(names("-conv2d::forward/tile16"), ["conv2d::forward/tile16"]);
        // Only what is named, of the passes that have it.
        let others = names("conv2d::forward/winograd, -max_pool2d::forward");
        assert!(others.contains(&"conv2d::forward/tile32".into()), "{others:?}");
        assert!(others.contains(&"max_pool2d::forward/plain".into()), "{others:?}");
        assert!(!others.iter().any(|name| name.contains("winograd")), "{others:?}");
        assert!(!others.iter().any(|name| name.starts_with("conv2d::backward")), "{others:?}");
        let error = LeftOut::parse("-no such").expect_err("there is none").to_string();
        assert!(error.contains("`no such`") && error.contains("conv2d::forward/"), "{error}");
        let error = LeftOut::parse("-winograd, -").expect_err("nothing is named").to_string();
        assert!(error.contains("a sign without a name"), "{error}");
    }

    #[test]
    fn forms_come_back_by_their_names() {
        let out = LeftOut::parse("-matrix16-tile32").expect("there are such forms");
        let mut again = LeftOut::default();
        assert!(!out.forms(Some(16)).is_empty() && out.forms(Some(8)).is_empty());
        assert!(out.forms(None).is_empty());
        assert!(out.forms(Some(16)).iter().all(|form| again.insert_by_name(form)));
        assert_eq!(again.forms(Some(16)), out.forms(Some(16)));
        let none = LeftOutForm { form: "conv2d::forward/tile77".into(), why: String::new() };
        assert!(!again.insert_by_name(&none));
    }

    #[test]
    fn a_device_is_refused_where_nothing_is_left_to_compute_with() {
        let check = |text, precision| {
            let out = LeftOut::parse(text).expect("there are such forms");
            let side = (precision == Precision::Tensor).then_some(16);
            out.check("a card", precision, side).map_err(|error| error.to_string())
        };
        assert_eq!(check("", Precision::F32), Ok(()));
        assert_eq!(check("-matrix", Precision::F16), Ok(()));
        assert_eq!(check("-winograd", Precision::Tensor), Ok(()));
        let error = check("-matrix", Precision::Tensor).expect_err("none is left");
        for part in ["a card", "take --precision f32", "ASKEM_FORMS=-matrix"] {
            assert!(error.contains(part), "{error}");
        }
        // What Winograd's algorithm leaves is no kernel of 1 x 1.
        let error = check("conv2d::forward/winograd", Precision::F32).expect_err("not all calls");
        assert!(error.contains("conv2d::forward"), "{error}");
    }
}
