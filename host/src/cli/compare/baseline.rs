//! Another comparison of the same data, whose random is what the whole system is measured against.

use std::path::Path;

use crate::cli::options::open_data;
use crate::error::{Error, Result};
use crate::learning::protocol::Config;
use crate::results::comparison::Baseline;
use crate::results::run_dir::{DataIdentity, DataSource, Resolved, RunDir, data_of};

/// The curves of random in the comparison that lies in `folder`, for one of `seeds` seeds with
/// these settings.
///
/// # Errors
/// If no comparison lies there, it is `out` itself, none of its runs of random with one of the
/// seeds is complete, or data, pool or test region are others.
pub(super) fn load(
    folder: &Path,
    out: &Path,
    source: &DataSource,
    config: &Config,
    seeds: u64,
) -> Result<Baseline> {
    let show = folder.display();
    let refused = |what: String| Err(Error::Usage(format!("--baseline {show}: {what}")));
    let settings = folder.join("compare.toml");
    let Ok(text) = std::fs::read_to_string(&settings) else {
        return refused("no comparison lies there (compare.toml is missing)".into());
    };
    if folder.canonicalize().ok().is_some_and(|folder| out.canonicalize().ok() == Some(folder)) {
        return refused("it is --out; give another comparison".into());
    }
    let theirs: Resolved = toml::from_str(&text).map_err(|e| {
        Error::Input(format!("{}: can't be read as settings: {e}", settings.display()))
    })?;
    for (what, there, here) in [
        ("pool", theirs.experiment.pool, config.pool),
        ("patch", theirs.experiment.patch, config.patch),
    ] {
        if there != here {
            return refused(format!(
                "its pool is another one (--{what} {there} there, {here} here), so that labels \
                 can't be compared"
            ));
        }
    }
    if theirs.experiment.net.classes != config.net.classes {
        return refused("its classes are others (--classes)".into());
    }
    let test = |data: &DataSource| (data.test_raw.is_some(), data.split_margin, data.normalise);
    if test(&theirs.data) != test(source) {
        return refused(
            "its test region is another one (--test-raw, --split-margin or --normalise)".into(),
        );
    }
    let labels = |data: &DataSource| (data.label_value, data.ignore_value, data.phantom_shape);
    if labels(&theirs.data) != labels(source) {
        return refused(
            "its data are others (--label-value, --ignore-value or --phantom-shape)".into(),
        );
    }
    let mut runs = Vec::new();
    for seed in 0..seeds {
        let run = folder.join(format!("random-{seed}"));
        let Some(resolved) = RunDir::peek(&run)? else { continue };
        let records = RunDir::read_records(&run)?;
        if records.len() > resolved.last_iteration() {
            runs.push((seed, records));
        }
    }
    let Some(first) = runs.first().map(|(seed, _)| *seed) else {
        return refused(format!("no run of random with a seed below {seeds} is complete there"));
    };
    let open = open_data(source, &Config { seed: first, ..config.clone() })?;
    let here = DataIdentity::of(&[
        (&open.train_raw, open.train_labels.inner(), &open.train_region),
        (&open.test_raw, open.test_labels.inner(), &open.test_region),
    ])?;
    let same = match data_of(&folder.join(format!("random-{first}"))) {
        Some(there) => there == here,
        // Without its checkpoint only names can be compared.
        None => {
            let files = |data: &DataSource| {
                let paths = [&data.raw, &data.labels, &data.test_raw, &data.test_labels];
                paths.map(|path| path.as_ref().and_then(|path| path.canonicalize().ok()))
            };
            files(&theirs.data) == files(source)
        }
    };
    if !same {
        return refused("its images or labels, or the test region, are others than here".into());
    }
    Ok(Baseline::of(folder.display().to_string(), &runs))
}
