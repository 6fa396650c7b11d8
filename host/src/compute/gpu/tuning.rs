//! Which form of a pass is fastest on this device for these sizes, whether it is faster where they are constants of its module, and how
//! many slices of what is summed in slices, as it was measured here.
//!
//! Forms are measured when a plan first needs them. The results of every run are compared, number by number, with those of the first
//! form, which the self-test has compared with the reference, and with those of the form's own run before: one that differs is left
//! out. What was found is kept in the user's cache folder, in a file for each device, driver and version of the shaders, so that later
//! runs find it there.

mod measure;
mod slices;

use std::collections::BTreeMap;

use askem_kernels::Call;

use super::cache::Cache;
use super::pipelines::Wanted;
use super::{GpuExecutor, forms, names_of_halves};
use crate::compute::plan::Plan;
use crate::error::{Error, Result};

pub use slices::SlicesChoice;

/// The choice for one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// `op::pass`.
    pub pass: String,
    /// The call with its sizes, and the buffers of f16.
    pub call: String,
    /// Seconds of each form that the device can run, by its number in `entry.forms`.
    pub seconds: Vec<(usize, f64)>,
    /// Seconds of the fastest form in a module that has the sizes as constants; infinite where results differed, `None` where it was not
    /// tried.
    pub specialised_seconds: Option<f64>,
}

impl Choice {
    /// The fastest form of all.
    pub fn form(&self) -> usize {
        let fastest = self.seconds.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        fastest.map_or(0, |&(form, _)| form)
    }

    /// The fastest of these forms that was measured and was right.
    pub fn fastest_of(&self, forms: &[usize]) -> Option<usize> {
        let right =
            |&&(form, seconds): &&(usize, f64)| forms.contains(&form) && seconds.is_finite();
        let measured = self.seconds.iter().filter(right);
        measured.min_by(|a, b| a.1.total_cmp(&b.1)).map(|&(form, _)| form)
    }

    /// Whether the fastest form is faster in a module that has the sizes as constants.
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
    /// Where they are kept, if anywhere.
    #[cfg(feature = "files")]
    cache: Option<Cache>,
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
    pub(super) fn of_device(_: &Cache) -> Self {
        Self::default()
    }

    #[cfg(not(feature = "files"))]
    pub(super) fn save(&self) {}

    /// All of them, by the call.
    pub fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.choices.values()
    }

    /// Where they are kept, if they are.
    #[cfg(feature = "files")]
    pub fn file(&self) -> Option<std::path::PathBuf> {
        self.cache.as_ref()?.file(super::cache::Kind::Tuning)
    }
}

/// A call with the names of its buffers of f16.
type Sized = (Call, Vec<&'static str>);

impl GpuExecutor {
    /// From now on plans run in the forms that are the fastest here, which is measured for each call that is new to this device,
    /// precision and driver; see [`Tuning`].
    pub fn tune(&mut self) {
        self.tune_with(Tuning::of_device(&self.connection.cache));
    }

    /// The same with choices of one's own to begin with, which stay in memory if they are [`Tuning::default`].
    pub fn tune_with(&mut self, tuning: Tuning) {
        self.tuning = Some(tuning);
    }

    /// What was measured of forms, if plans are [tuned](Self::tune).
    pub fn tuning(&self) -> Option<&Tuning> {
        self.tuning.as_ref()
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

    /// Measures those of the calls that were not measured before; `specialise` says whether in modules with sizes as constants too,
    /// which have to be compiled for each.
    fn measure_missing(&mut self, calls: Vec<Sized>, specialise: bool) -> Result<()> {
        let Some(mut tuning) = self.tuning.take() else { return Ok(()) };
        let calls: BTreeMap<String, Sized> =
            calls.into_iter().map(|(call, halves)| (key(&call, &halves), (call, halves))).collect();
        let calls: Vec<Sized> = calls.into_values().collect();
        let (is_new, outcome) = match self.measure_forms(&mut tuning, &calls) {
            Ok(is_new) if specialise => match self.measure_constants(&mut tuning, &calls) {
                Ok(is_newer) => (is_new || is_newer, Ok(())),
                Err(error) => (true, Err(error)),
            },
            Ok(is_new) => (is_new, Ok(())),
            Err(error) => (true, Err(error)),
        };
        if is_new {
            tuning.save();
        }
        self.tuning = Some(tuning);
        outcome
    }

    /// Measures those forms of the calls that were not measured before; whether there are any.
    fn measure_forms(&mut self, tuning: &mut Tuning, calls: &[Sized]) -> Result<bool> {
        let is_missing = |(call, halves): &&Sized| {
            let known = tuning.get(call, halves);
            let is_known = |form: &usize| {
                known.is_some_and(|choice| choice.seconds.iter().any(|(of, _)| of == form))
            };
            !self.forms_of(call).iter().all(is_known)
        };
        let missing: Vec<&Sized> = calls.iter().filter(is_missing).collect();
        let forms = |(call, halves): &&Sized| {
            let wanted =
                |form| Wanted { call: *call, form, is_specialised: false, halves: halves.clone() };
            self.forms_of(call).into_iter().map(wanted).collect::<Vec<_>>()
        };
        let wanted: Vec<Wanted> = missing.iter().flat_map(forms).collect();
        self.pipelines.compile(&self.connection, &wanted)?;
        for (call, halves) in &missing {
            let known = tuning.get(call, halves).cloned();
            match self.measure(call, halves, known) {
                Ok(choice) => tuning.insert(choice),
                // There is no room for it beside the other plans.
                Err(Error::TooLarge(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(!missing.is_empty())
    }

    /// Measures the fastest form of each call in a module with its sizes as constants, where that was not done before; whether there
    /// are any.
    fn measure_constants(&mut self, tuning: &mut Tuning, calls: &[Sized]) -> Result<bool> {
        let missing: Vec<(&Sized, Choice)> = calls
            .iter()
            .filter(|(call, _)| forms::may_be_specialised(call))
            .filter_map(|sized| Some((sized, tuning.get(&sized.0, &sized.1)?.clone())))
            .filter(|(_, choice)| choice.specialised_seconds.is_none())
            .collect();
        let wanted = |((call, halves), choice): &(&Sized, Choice)| {
            let form = choice.fastest_of(&self.forms_of(call))?;
            Some(Wanted { call: *call, form, is_specialised: true, halves: halves.clone() })
        };
        let wanted: Vec<Wanted> = missing.iter().filter_map(wanted).collect();
        self.pipelines.compile(&self.connection, &wanted)?;
        for ((call, halves), mut choice) in missing.iter().cloned() {
            match self.measure_specialised(call, halves, &choice) {
                Ok(seconds) => {
                    choice.specialised_seconds = Some(seconds);
                    tuning.insert(choice);
                }
                Err(Error::TooLarge(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(!missing.is_empty())
    }
}

#[cfg(feature = "files")]
mod file {
    use serde_json::{Value, json};

    use super::super::cache::{Cache, Kind};
    use super::{Choice, Tuning};

    impl Tuning {
        /// The choices that are kept for a device; none where there is no file, or one that cannot be read.
        pub(in crate::compute::gpu) fn of_device(cache: &Cache) -> Self {
            let read =
                cache.read(Kind::Tuning).and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let choices = read.as_ref().and_then(parse).unwrap_or_default();
            let choices = choices.into_iter().map(|choice| (choice.call.clone(), choice)).collect();
            Self { choices, cache: Some(cache.clone()) }
        }

        /// Keeps the choices for later runs, if they are of a device. That a cache cannot be written costs time, and nothing else.
        pub(in crate::compute::gpu) fn save(&self) {
            let Some(cache) = &self.cache else { return };
            if let Ok(text) = serde_json::to_vec_pretty(&self.to_json(cache.device())) {
                cache.write(Kind::Tuning, &text);
            }
        }

        fn to_json(&self, device: &str) -> Value {
            let choices: Vec<Value> = self.choices().map(to_json).collect();
            json!({ "device": device, "choices": choices })
        }
    }

    /// What is infinite has no time.
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
            let mut tuning = Tuning::default();
            let seconds = vec![(0, 0.25), (3, 1.0 / 3e6), (4, f64::INFINITY)];
            let choice = Choice {
                pass: "op::pass".into(),
                call: "a call".into(),
                seconds,
                specialised_seconds: None,
            };
            assert_eq!((choice.form(), choice.is_specialised()), (3, false));
            assert_eq!(choice.fastest_of(&[0, 4]), Some(0));
            assert_eq!((choice.fastest_of(&[4]), choice.fastest_of(&[7])), (None, None));
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
            let text = serde_json::to_vec_pretty(&tuning.to_json("a device")).expect("it is text");
            let text = serde_json::from_slice(&text).expect("it is JSON");
            assert_eq!(parse(&text), Some(choices));
            assert_eq!(parse(&json!({ "choices": [{ "call": 3 }] })), None);
        }
    }
}
