//! `askem predict`: segment a volume with trained weights.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::progress::{Bar, catch_interrupt, interrupted};
use super::{Common, say};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::pool::{PatchReader, Region};
use crate::predict::{section_foreground, windows_per_section};
use crate::volume::{TiffStackWriter, Volume, open_raw};
use crate::weights;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// weights.safetensors of a run.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Images: a Zarr or OME-Zarr array, a multi-page TIFF, or a folder of TIFF or PNG sections.
    #[arg(long, value_name = "PATH")]
    raw: PathBuf,
    /// Where the segmentation goes, a multi-page TIFF ending in .tif
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What is written: 32-bit float probabilities of foreground, or labels 0 and 255.
    #[arg(long = "as", value_name = "KIND", default_value = "labels")]
    kind: Kind,
    /// Overwrite --out.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Probabilities,
    Labels,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let extension = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !matches!(extension, "tif" | "tiff") {
        return Err(Error::Usage(format!(
            "--out {}: this version writes multi-page TIFF; give a name that ends in .tif",
            args.out.display()
        )));
    }
    if args.out.exists() && !args.force {
        return Err(Error::Usage(format!(
            "--out {} exists; overwrite it with --force or choose another name",
            args.out.display()
        )));
    }
    let trained = weights::load(&args.weights)?;
    let raw: Arc<dyn Volume> = Arc::from(open_raw(&args.raw)?);
    let region = Region::whole(raw.shape());
    region.require_patch(trained.patch, "predicted").map_err(|_| {
        Error::Input(format!(
            "{}: its sections of {} x {} pixels are smaller than the network's patches of {}",
            args.raw.display(),
            region.height(),
            region.width(),
            trained.patch
        ))
    })?;
    let mut model = Model::new(common.open_device()?, trained.net, trained.patch)?;
    model.set_weights(&trained.weights)?;
    let shape = raw.shape();
    let reader = PatchReader::new(raw, region, trained.scaling);
    let mut writer = TiffStackWriter::create(&args.out, shape)?;
    catch_interrupt();
    let windows = windows_per_section(&reader, trained.patch) * shape[0];
    let bar = Bar::new("predicting".into(), 0, windows as u64);
    for z in 0..shape[0] {
        let p = section_foreground(&mut model, &reader, z, &mut |done| {
            bar.advance(done as u64);
            match interrupted() {
                true => Err(Error::Interrupted("interrupted; nothing was written".into())),
                false => Ok(()),
            }
        })?;
        match args.kind {
            Kind::Probabilities => writer.push_probabilities(&p)?,
            Kind::Labels => {
                let labels: Vec<u8> = p.iter().map(|&p| u8::from(p > 0.5)).collect();
                writer.push_labels(&labels)?;
            }
        }
    }
    writer.finish()?;
    drop(bar);
    say(format_args!("wrote {}", args.out.display()))
}
