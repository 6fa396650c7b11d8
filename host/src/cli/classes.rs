//! `--classes` of commands that read labels and train nothing.

use crate::data::volume::{LabelOptions, LabelValue};
use crate::error::Result;
use crate::network::unet::MOST_CLASSES;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ClassesArgs {
    /// Classes, background among them: label values are 0 to N - 1 then, up to 16 classes [default: 2,
    /// where every value but 0 is foreground]
    #[arg(long, value_name = "N", default_value = "2", hide_default_value = true, value_parser = parse)]
    pub(super) classes: usize,
    /// The one label value that is foreground [default: all but 0]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    label_value: Option<LabelValue>,
    /// A label value whose pixels do not count [default: none]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    ignore_value: Option<LabelValue>,
}

impl ClassesArgs {
    /// How values become labels.
    pub(super) fn label_options(&self) -> Result<LabelOptions> {
        let (value, ignore) = (self.label_value, self.ignore_value);
        LabelOptions { value, ignore, classes: None }.with_classes(self.classes)
    }
}

fn parse(text: &str) -> std::result::Result<usize, String> {
    let classes = text.parse().ok().filter(|classes| (2..=MOST_CLASSES).contains(classes));
    classes.ok_or_else(|| format!("give 2 to {MOST_CLASSES}"))
}
