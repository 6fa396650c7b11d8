//! What tests decide in place of the executor.

use askem_kernels::{SIGNATURES, Signature};
use askem_wgsl::find;

use super::{GpuExecutor, forms};

/// What is `None` the executor chooses for each call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overrides {
    /// Elements that bindings reach beyond their views.
    pub(super) slack: usize,
    /// Which of the forms in which a call can run.
    pub(super) form: Option<usize>,
    /// Whether modules have sizes as constants.
    pub(super) specialised: Option<bool>,
    /// In how many slices sums are cut as far as they can be.
    pub(super) slices: Option<u32>,
    /// A form whose results are spoiled: its pass, and its number.
    pub(super) spoiled: Option<(&'static str, usize)>,
}

impl GpuExecutor {
    /// From now on plans are bound so that shaders reach so many elements beyond each view.
    ///
    /// For tests: where bindings end with their views, many drivers drop a stray write and answer
    /// a stray read with zero, so that a shader which leaves its buffers looks right.
    pub fn set_slack(&mut self, elements: usize) {
        self.overrides.slack = elements;
    }

    /// From now on plans run in the form of this number, counted over again where a call has fewer; `None` chooses for each call.
    ///
    /// For tests, so that every form is computed whatever the sizes.
    pub fn set_form(&mut self, number: Option<usize>) {
        self.overrides.form = number;
    }

    /// From now on plans run in modules that have sizes as constants, or in those for all sizes; `None` chooses for each call.
    ///
    /// For tests, so that both are computed whatever was measured.
    pub fn set_specialised(&mut self, specialised: Option<bool>) {
        self.overrides.specialised = specialised;
    }

    /// From now on plans sum in so many slices what can be summed in so many, else in as many as it can; `None` chooses for each
    /// call.
    ///
    /// For tests, so that plans are cut whatever the sizes.
    pub fn set_slices(&mut self, slices: Option<u32>) {
        self.overrides.slices = slices;
    }

    /// From now on one number of what this form of a pass computes is doubled after each run that is judged, another one each time,
    /// as a race between the lanes of a workgroup would do. Plans that are used do not change.
    ///
    /// For tests of the judges.
    ///
    /// # Panics
    /// If there is no such pass.
    pub fn spoil(&mut self, pass: &str, form: usize) {
        let signature = SIGNATURES.iter().find(|signature| signature.name == pass);
        self.overrides.spoiled = Some((signature.expect("a pass has that name").name, form));
    }

    /// The names of the passes with more than `number` forms that this device can run, if not for every call.
    pub fn passes_with_form(&self, number: usize) -> Vec<&'static str> {
        let has = |signature: &&Signature| {
            let (_, entry) = find(signature.op, signature.pass).expect("every pass has a shader");
            let mut forms = forms::of_device(entry, self.connection.side);
            forms.retain(|&form| !self.left_out.contains(signature.name, form));
            forms.len() > number
        };
        SIGNATURES.iter().filter(has).map(|signature| signature.name).collect()
    }
}
