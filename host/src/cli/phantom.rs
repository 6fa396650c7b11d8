//! `askem phantom`: the built-in phantom as files, to try what takes files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::options::{PHANTOM_SHAPE, parse_shape};
use super::{Common, say, say_json};
use crate::data::phantom::Phantom;
use crate::data::volume::{TiffStackWriter, Volume, is_our_tiff};
use crate::error::{Error, Result};

const EXAMPLES: &str = "Example:
  askem phantom try
  askem init try/brain --raw try/volume.tif && askem annotate try/brain
  askem run --preset quick --raw try/volume.tif --labels try/masks.tif --out try/run";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The folder for volume.tif and masks.tif, made where it is missing.
    dir: PathBuf,
    /// Size in sections, rows and columns [default: 8x512x512]
    #[arg(long, value_name = "ZxYxX", value_parser = parse_shape)]
    phantom_shape: Option<[usize; 3]>,
    /// Other seeds are other tissue; a run with this --seed and without --raw has this one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Overwrite the two files, if askem wrote them.
    #[arg(long)]
    force: bool,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let shape = args.phantom_shape.unwrap_or(PHANTOM_SHAPE);
    let pair = Phantom::pair(shape, args.seed)?;
    let [raw, labels] = ["volume.tif", "masks.tif"].map(|name| args.dir.join(name));
    for path in [&raw, &labels] {
        require_free(path, args.force)?;
    }
    fs::create_dir_all(&args.dir).map_err(|e| Error::io(&args.dir, "can't make the folder", e))?;
    let mut images = TiffStackWriter::create(&raw, shape)?;
    let mut masks = TiffStackWriter::create(&labels, shape)?;
    for z in 0..shape[0] {
        // Grey values of a phantom are whole numbers from 0 to 255.
        let pixels: Vec<u8> =
            pair.raw.read_section(z)?.pixels.into_iter().map(|value| value as u8).collect();
        images.push_classes(&pixels)?;
        masks.push_labels(&pair.labels.read_labels(z)?)?;
    }
    images.finish()?;
    masks.finish()?;
    if common.json {
        return say_json(&json!({ "raw": raw, "labels": labels, "shape": shape }));
    }
    say(format_args!("wrote {} and {}", raw.display(), labels.display()))
}

fn require_free(path: &Path, force: bool) -> Result<()> {
    if !path.exists() || force && is_our_tiff(path) {
        return Ok(());
    }
    let advice = match is_our_tiff(path) {
        true => "choose another folder, or overwrite it with --force",
        false => "it was not written by askem; choose another folder",
    };
    Err(Error::Usage(format!("{} exists; {advice}", path.display())))
}
