//! Which form of a pass is fastest on this device for these sizes, whether it is faster where they are constants of its module, and how
//! many slices of what is summed in slices, as it was measured here.
//!
//! Forms are measured when a plan first needs them, each after its results were compared with those of the first form, which the
//! self-test has compared with the reference. What was found is kept in the user's cache folder, in a file for each device, driver
//! and version of the shaders, so that later runs find it there.

mod measure;
mod slices;

use std::collections::BTreeMap;

use askem_kernels::Call;

use super::{GpuExecutor, forms, names_of_halves};
use crate::error::{Error, Result};
use crate::plan::Plan;

pub use slices::SlicesChoice;

/// The choice for one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// `op::pass`.
    pub pass: String,
    /// The call with its sizes, and the buffers of f16.
    pub call: String,
    /// Seconds of each form that the device can run, by its number in `entry.forms`; infinite where results differed.
    pub seconds: Vec<(usize, f64)>,
    /// Seconds of the fastest form in a module that has the sizes as constants; infinite where results differed, `None` where it was not
    /// tried.
    pub specialised_seconds: Option<f64>,
}

impl Choice {
    /// The fastest form.
    pub fn form(&self) -> usize {
        let fastest = self.seconds.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        fastest.map_or(0, |&(form, _)| form)
    }

    /// Whether that form is faster in a module that has the sizes as constants.
    pub fn is_specialised(&self) -> bool {
        let is_faster =
            |specialised| self.seconds.iter().all(|&(_, seconds)| specialised < seconds);
        self.specialised_seconds.is_some_and(is_faster)
    }

    /// Seconds of the fastest form for all sizes.
    pub fn seconds_for_all_sizes(&self) -> f64 {
        self.seconds.iter().map(|&(_, seconds)| seconds).fold(f64::INFINITY, f64::min)
    }
}

/// All choices for one device.
#[derive(Debug, Default)]
pub struct Tuning {
    choices: BTreeMap<String, Choice>,
    #[cfg(feature = "files")]
    file: Option<std::path::PathBuf>,
}

/// What tells calls apart.
fn key(call: &Call, halves: &[&str]) -> String {
    if halves.is_empty() {
        format!("{call:?}")
    } else {
        format!("{call:?} f16 {}", halves.join(" "))
    }
}

impl Tuning {
    /// The choice for a call with these buffers of f16.
    pub(super) fn get(&self, call: &Call, halves: &[&str]) -> Option<&Choice> {
        self.choices.get(&key(call, halves))
    }

    fn insert(&mut self, choice: Choice) {
        self.choices.insert(choice.call.clone(), choice);
    }

    /// Without files nothing is kept.
    #[cfg(not(feature = "files"))]
    pub(super) fn of_device(_: &str) -> Self {
        Self::default()
    }

    #[cfg(not(feature = "files"))]
    pub(super) fn save(&self, _: &str) {}

    /// All of them, by the call.
    pub fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.choices.values()
    }

    /// Where they are kept, if they are.
    #[cfg(feature = "files")]
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }
}

impl GpuExecutor {
    /// From now on plans run in the forms that are the fastest here, which is measured for each call that is new to this device,
    /// precision and driver; see [`Tuning`].
    pub fn tune(&mut self) {
        self.tune_with(Tuning::of_device(&self.identity()));
    }

    /// The same with choices of one's own to begin with, which stay in memory if they are [`Tuning::default`].
    pub fn tune_with(&mut self, tuning: Tuning) {
        self.tuning = Some(tuning);
    }

    /// What was measured of forms, if plans are [tuned](Self::tune).
    pub fn tuning(&self) -> Option<&Tuning> {
        self.tuning.as_ref()
    }

    /// What tells the device and its driver from others.
    fn identity(&self) -> String {
        format!("{} in {}, {}", self.connection.name, self.precision, self.connection.driver)
    }

    /// Measures the forms of those calls of a fused plan that are new, in modules with sizes as constants too.
    pub(super) fn measure_new(&mut self, plan: &Plan, halves: &[bool]) -> Result<()> {
        let steps = plan.sections.iter().flat_map(|section| &section.steps);
        let has_choice =
            |call: &Call| self.forms_of(call).len() > 1 || forms::may_be_specialised(call);
        let calls = steps
            .filter(|step| has_choice(&step.call))
            .map(|step| (step.call, names_of_halves(step, halves)));
        self.measure_missing(calls.collect(), true)
    }

    /// Measures those of the calls, each with its buffers of f16, that were not measured before; `specialise` says whether in modules with
    /// sizes as constants too, which have to be compiled for each.
    fn measure_missing(
        &mut self,
        calls: Vec<(Call, Vec<&'static str>)>,
        specialise: bool,
    ) -> Result<()> {
        let Some(mut tuning) = self.tuning.take() else { return Ok(()) };
        let mut is_new = false;
        let mut outcome = Ok(());
        for (call, halves) in calls {
            let specialise = specialise && forms::may_be_specialised(&call);
            let known = tuning.get(&call, &halves).cloned();
            let suffices = |choice: &Choice| choice.specialised_seconds.is_some() || !specialise;
            if known.as_ref().is_some_and(suffices) {
                continue;
            }
            match self.measure(&call, &halves, specialise, known) {
                Ok(choice) => tuning.insert(choice),
                // There is no room for it beside the other plans.
                Err(Error::TooLarge(_)) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
            is_new = true;
        }
        if is_new {
            tuning.save(&self.identity());
        }
        self.tuning = Some(tuning);
        outcome
    }
}

#[cfg(feature = "files")]
mod file {
    use std::collections::hash_map::DefaultHasher;
    use std::fs;
    use std::hash::{Hash, Hasher};
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{Choice, Tuning};

    /// Changes with every shader.
    fn version() -> u64 {
        let mut hasher = DefaultHasher::new();
        for entry in askem_wgsl::SHADERS.iter().flat_map(|shader| shader.entries) {
            for form in entry.forms {
                form.source(&[]).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    impl Tuning {
        /// The choices that are kept for a device, of which `device` says all that tells it from others, and its driver from others;
        /// none where there is no file, or one that cannot be read.
        pub(in crate::gpu) fn of_device(device: &str) -> Self {
            let Some(cache) = folder() else { return Self::default() };
            let mut hasher = DefaultHasher::new();
            (device, version()).hash(&mut hasher);
            let file = cache.join("tuning").join(format!("{:016x}.json", hasher.finish()));
            let read = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let choices = read.as_ref().and_then(parse).unwrap_or_default();
            let choices = choices.into_iter().map(|choice| (choice.call.clone(), choice)).collect();
            Self { choices, file: Some(file) }
        }

        /// Keeps the choices for later runs. That a cache cannot be written costs time, and nothing else.
        pub(in crate::gpu) fn save(&self, device: &str) {
            if let Some(file) = &self.file {
                let _ = self.write(file, device);
            }
        }

        fn write(&self, file: &Path, device: &str) -> std::io::Result<()> {
            let folder = file.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let choices: Vec<Value> = self.choices().map(to_json).collect();
            let text = json!({ "device": device, "choices": choices });
            // Another process may write the same file: the last whole one stays.
            let part = file.with_extension(format!("{}.part", std::process::id()));
            fs::write(&part, serde_json::to_vec_pretty(&text)?)?;
            fs::rename(&part, file)
        }
    }

    /// `ASKEM_CACHE`, or askem's folder among the user's caches.
    fn folder() -> Option<std::path::PathBuf> {
        match std::env::var_os("ASKEM_CACHE") {
            Some(folder) => Some(folder.into()),
            None => Some(dirs::cache_dir()?.join("askem")),
        }
    }

    /// Forms that gave other results have no time.
    fn to_json(choice: &Choice) -> Value {
        let seconds = choice.seconds.iter().map(|&(form, seconds)| json!([form, seconds]));
        let mut text = json!({ "pass": choice.pass, "call": choice.call, "seconds": seconds.collect::<Vec<_>>() });
        if let Some(seconds) = choice.specialised_seconds {
            text["specialised_seconds"] = json!(seconds);
        }
        text
    }

    fn parse(text: &Value) -> Option<Vec<Choice>> {
        let choice = |value: &Value| {
            let seconds =
                |value: &Value| if value.is_null() { Some(f64::INFINITY) } else { value.as_f64() };
            let pair = |pair: &Value| {
                let form = usize::try_from(pair.get(0)?.as_u64()?).ok()?;
                Some((form, seconds(pair.get(1)?)?))
            };
            let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
            let of_forms = value.get("seconds")?.as_array()?.iter().map(pair);
            Some(Choice {
                pass: text("pass")?,
                call: text("call")?,
                seconds: of_forms.collect::<Option<_>>()?,
                specialised_seconds: match value.get("specialised_seconds") {
                    Some(value) => Some(seconds(value)?),
                    None => None,
                },
            })
        };
        text.get("choices")?.as_array()?.iter().map(choice).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn choices_come_back_from_their_file() {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let mut tuning =
                Tuning { file: Some(folder.path().join("a/b.json")), ..Tuning::default() };
            let seconds = vec![(0, 0.25), (3, 1.0 / 3e6), (4, f64::INFINITY)];
            let choice = Choice {
                pass: "op::pass".into(),
                call: "a call".into(),
                seconds,
                specialised_seconds: None,
            };
            assert_eq!((choice.form(), choice.is_specialised()), (3, false));
            assert_eq!(choice.seconds_for_all_sizes(), 1.0 / 3e6);
            let with = |call: &str, seconds| Choice {
                call: call.into(),
                specialised_seconds: Some(seconds),
                ..choice.clone()
            };
            let (faster, wrong) = (with("b call", 1.0 / 7e6), with("c call", f64::INFINITY));
            assert!(faster.is_specialised() && !wrong.is_specialised());
            let choices = vec![choice.clone(), faster, wrong];
            choices.iter().cloned().for_each(|choice| tuning.insert(choice));
            tuning.save("a device");
            let bytes = fs::read(folder.path().join("a/b.json")).expect("the file is there");
            let text = serde_json::from_slice(&bytes).expect("it is JSON");
            assert_eq!(parse(&text), Some(choices));
            assert_eq!(parse(&json!({ "choices": [{ "call": 3 }] })), None);
        }
    }
}
