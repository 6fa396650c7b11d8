//! Inputs are never outputs.

use std::path::{Path, PathBuf};

use crate::data::volume::local_path;
use crate::error::{Error, Result};
use crate::results::run_dir::DataSource;

/// Refuses to write where an input lies: over it, over a folder that it is in, or into a folder or file that it is.
///
/// # Errors
/// [`Error::Usage`] that names the option of the input.
pub(super) fn refuse_inputs_as_outputs(
    inputs: &[(&str, &Path)],
    outputs: &[PathBuf],
) -> Result<()> {
    refuse(inputs, "--out", outputs, overlap)
}

/// The same of the output of another option than `--out`.
///
/// # Errors
/// [`Error::Usage`] that names both options.
pub(super) fn refuse_inputs_as(
    option: &str,
    output: &Path,
    inputs: &[(&str, &Path)],
) -> Result<()> {
    refuse(inputs, option, &[output.to_path_buf()], overlap)
}

fn overlap(input: &Path, output: &Path) -> bool {
    output.starts_with(input) || input.starts_with(output)
}

/// Refuses a directory of results where one of its files or folders is an input or holds one, or which is a folder of images itself. Below
/// such a folder it may lie.
///
/// # Errors
/// As [`refuse_inputs_as_outputs`].
pub(super) fn refuse_inputs_in(data: &DataSource, outputs: &[PathBuf]) -> Result<()> {
    let all = [
        ("--raw", &data.raw),
        ("--labels", &data.labels),
        ("--test-raw", &data.test_raw),
        ("--test-labels", &data.test_labels),
    ];
    let mut inputs: Vec<(&str, &Path)> = Vec::new();
    for (option, paths) in all {
        inputs.extend(paths.iter().map(|path| (option, path.as_path())));
    }
    refuse(&inputs, "--out", outputs, |input, output| {
        input.starts_with(output) || output.parent() == Some(input)
    })
}

fn refuse(
    inputs: &[(&str, &Path)],
    out_option: &str,
    outputs: &[PathBuf],
    is_taken: impl Fn(&Path, &Path) -> bool,
) -> Result<()> {
    for (option, input) in inputs {
        let Some(place) = place_of_input(input) else { continue };
        if let Some(output) = outputs.iter().find(|path| is_taken(&place, &place_of_output(path))) {
            return Err(Error::Usage(format!(
                "{out_option}: {} is, holds or lies in {}, which {option} names and which is only read; choose another {out_option}",
                output.display(),
                input.display()
            )));
        }
    }
    Ok(())
}

/// Where a file or folder really is; of `file.h5:/dataset` the file.
fn place_of_input(path: &Path) -> Option<PathBuf> {
    let path = &*local_path(path).ok()?;
    let file = path.to_str().and_then(|text| text.split_once(":/")).map(|(file, _)| file.into());
    path.canonicalize().ok().or_else(|| file.and_then(|file: PathBuf| file.canonicalize().ok()))
}

/// Where something will be that may not be there yet.
fn place_of_output(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    // The nearest folder that is there, and the rest of the names.
    for there in absolute.ancestors() {
        if let (Ok(place), Ok(rest)) = (there.canonicalize(), absolute.strip_prefix(there)) {
            // A rest of nothing would end the path with a separator.
            return if rest.as_os_str().is_empty() { place } else { place.join(rest) };
        }
    }
    absolute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_known_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("raw.zarr/s0")).unwrap();
        std::fs::write(at("a.h5"), "").unwrap();
        let refused = |input: &str, output: &str| {
            let input = at(input);
            refuse_inputs_as_outputs(&[("--raw", &input)], &[at(output)]).is_err()
        };
        assert!(refused("raw.zarr", "raw.zarr"));
        assert!(refused("raw.zarr", "./raw.zarr/"));
        assert!(refused("raw.zarr", "raw.zarr/s0/../s0"));
        assert!(refused("raw.zarr/s0", "raw.zarr"));
        assert!(refused("raw.zarr", "raw.zarr/new/scores.zarr"));
        assert!(refused("a.h5:/volumes/raw", "a.h5"));
        let address = format!("file://{}", at("raw.zarr").display());
        let outputs = [at("raw.zarr")];
        assert!(refuse_inputs_as_outputs(&[("--raw", Path::new(&address))], &outputs).is_err());
        assert!(!refused("raw.zarr", "raw.zarr2"));
        assert!(!refused("raw.zarr", "scores.zarr"));
        assert!(!refused("nowhere", "nowhere"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("raw.zarr"), at("link.zarr")).unwrap();
            assert!(refused("link.zarr", "raw.zarr") && refused("raw.zarr", "link.zarr"));
        }
    }
}
