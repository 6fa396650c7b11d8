//! `askem predict`: segment a volume with trained weights.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use clap::ValueEnum;
use serde_json::json;

use super::axes::AxesArgs;
use super::inputs::refuse_inputs_as_outputs;
use super::instances::{ObjectArgs, Place, stop_if_interrupted};
use super::network::NetworkArgs;
use super::normalise::scaling_of;
use super::processes::Share;
use super::progress::{Bar, catch_interrupt, interrupted};
use super::warnings::{warn_of_images, warn_of_mirrors, warn_of_pixel_size};
use super::{Common, say, say_json};
use crate::data::instances::Mask;
use crate::data::pool::{Normalise, PatchReader, Region};
use crate::data::volume::{
    AxesOptions, OmeKind, OmeZarrWriter, TiffStackWriter, Volume, is_our_tiff, open_raw_as,
};
use crate::error::{Error, Result};
use crate::learning::predict::{
    ClassProbabilities, Symmetries, area_probabilities, windows_of_area,
};
use crate::network::model::Model;
use crate::pools::score::hash_of_pixels;
use crate::pools::shard::{Shard, ShardChoice};
use crate::results::run_dir::RunDir;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A project's folder, in place of --run and --raw: its last network, on its volume.
    #[arg(value_name = "PROJECT")]
    project: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Images: a Zarr or OME-Zarr array, an HDF5 dataset (file.h5:/path), an MRC file, a multi-page TIFF, or a folder of TIFF or PNG sections.
    #[arg(long, value_name = "PATH", required_unless_present = "project")]
    raw: Option<PathBuf>,
    #[command(flatten)]
    axes: AxesArgs,
    /// Where the segmentation goes: an OME-Zarr ending in .zarr, which goes on where it was interrupted, or a multi-page TIFF
    /// ending in .tif, for which a section has to fit the memory.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// What is written: 32-bit float probabilities of foreground (or of --class); labels 0 and 255, and with
    /// more than two classes 0 to N - 1; or instances, which are objects of the foreground (or of --class)
    /// numbered from 1 with a table of them, as askem instances makes them.
    #[arg(long = "as", value_name = "KIND", default_value = "labels")]
    kind: Kind,
    /// The class whose probabilities or objects are written [default: all but background together]
    #[arg(long, value_name = "N")]
    class: Option<usize>,
    /// How grey values are scaled: as those of the training were, or by this volume's own mean and deviation
    /// [default: weights; volume for a network that was trained on several volumes]
    #[arg(long, value_name = "BY")]
    normalise: Option<Normalise>,
    /// Segment so many mirror images of each section and average: slower by as much and often better.
    #[arg(long, value_name = "1|2|4", default_value = "1")]
    symmetries: Symmetries,
    /// Of a .zarr, compute part I of N, from 0: parts write to one image without locks, and the last one to end makes its pyramid.
    /// `auto` takes both from the environment, as in askem score.
    #[arg(long, value_name = "I/N|auto")]
    shard: Option<ShardChoice>,
    /// Overwrite --out, if askem predict wrote it.
    #[arg(long, conflicts_with = "shard")]
    force: bool,
    #[command(flatten)]
    objects: ObjectArgs,
}

impl Args {
    /// The volume and how it is opened: the given one, or the project's.
    fn raw(&self) -> Result<(PathBuf, AxesOptions)> {
        if let Some(raw) = &self.raw {
            return Ok((raw.clone(), self.axes.of_images()));
        }
        let Some(dir) = &self.project else {
            return Err(Error::Usage("give --raw PATH, or a project's folder".into()));
        };
        let source = RunDir::peek(dir)?.map(|resolved| resolved.data).unwrap_or_default();
        let axes = match self.axes == AxesArgs::default() {
            true => source.axes_of_images(),
            false => self.axes.of_images(),
        };
        let unknown = || {
            Error::Input(format!(
                "{}: no project lies there whose volume is known; give --run {0} --raw PATH",
                dir.display()
            ))
        };
        match &source.raw[..] {
            [raw] => Ok((raw.clone(), axes)),
            _ => Err(unknown()),
        }
    }
}

impl Args {
    /// The probabilities that are asked for.
    fn probabilities(&self, p: ClassProbabilities) -> Vec<f32> {
        match self.class {
            Some(class) => p.of_class(class),
            None => p.into_foreground(),
        }
    }

    /// An error if the network has no such class, or the class is of no use.
    fn require_class(&self, classes: usize) -> Result<()> {
        match self.class {
            None => Ok(()),
            Some(_) if self.kind == Kind::Labels => Err(Error::Usage(
                "--class: labels tell all classes apart; it is for --as probabilities and \
                --as instances"
                    .into(),
            )),
            Some(class) if class >= classes => Err(Error::Usage(format!(
                "--class {class}: the network has the classes 0 to {}",
                classes - 1
            ))),
            Some(_) => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Probabilities,
    Labels,
    Instances,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let extension = args.out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let to_zarr = extension == "zarr";
    if !to_zarr && !matches!(&*extension, "tif" | "tiff") {
        return Err(Error::Usage(format!(
            "--out {}: give a name that ends in .zarr or in .tif",
            args.out.display()
        )));
    }
    let shard = match args.shard {
        None => Shard::WHOLE,
        Some(_) if !to_zarr => {
            return Err(Error::Usage("--shard: only a .zarr is written in parts".into()));
        }
        Some(ShardChoice::Given(shard)) => shard,
        Some(ShardChoice::Auto) => Shard::from_environment(|name| std::env::var(name).ok())?,
    };
    let to_instances = args.kind == Kind::Instances;
    if to_instances && args.shard.is_some() {
        return Err(Error::Usage(ALONE.into()));
    }
    if !to_instances {
        args.objects.require_none()?;
    }
    let share = Share::of(shard, common)?;
    if to_instances && share.devices() > 1 {
        return Err(Error::Usage(ALONE.into()));
    }
    if !to_zarr && share.devices() > 1 {
        return Err(Error::Usage("--device: only a .zarr is written by several devices".into()));
    }
    let (raw_path, axes) = args.raw()?;
    let source = args.network.or_of_project(args.project.as_ref())?.find()?;
    refuse_inputs_as_outputs(
        &[("--raw", &raw_path), (source.option, &source.path)],
        std::slice::from_ref(&args.out),
    )?;
    let to_tiff = !to_zarr && !to_instances;
    if to_tiff && args.out.exists() && !(args.force && is_our_tiff(&args.out)) {
        let what = if is_our_tiff(&args.out) {
            "exists; overwrite it with --force or choose another name"
        } else {
            "exists and was not written by askem; choose another name (--force overwrites only what askem wrote)"
        };
        return Err(Error::Usage(format!("--out {} {what}", args.out.display())));
    }
    let (trained, hash) = source.load()?;
    args.require_class(trained.net.classes)?;
    let raw: Arc<dyn Volume> = Arc::from(open_raw_as(&raw_path, &axes)?);
    let objects = match to_instances {
        true => {
            let inputs = [("--raw", &*raw_path), (source.option, &*source.path)];
            Some(args.objects.files(&args.out, args.force, &inputs)?)
        }
        false => None,
    };
    let region = Region::whole(raw.shape());
    let mut model = Model::new(share.open_device(common)?, trained.net, trained.patch)?;
    model.set_weights(&trained.weights)?;
    let scaling = scaling_of(
        args.normalise.unwrap_or(trained.normalise),
        &raw,
        &region,
        trained.scaling,
        &raw_path,
    )?;
    if !share.is_helper {
        source.announce();
        warn_of_images(&*raw)?;
        warn_of_pixel_size(&*raw, &trained, &raw_path);
        warn_of_mirrors(&region, trained.patch, &raw_path);
    }
    let reader = PatchReader::with_context(raw, region, scaling, trained.net.context);
    catch_interrupt();
    if let Some(files) = objects {
        let threshold = args.objects.threshold().unwrap_or(0.5);
        let mask = predict_mask(args, &mut model, &reader, threshold)?;
        let mut about = json!({ "weights": hash, "threshold": threshold });
        if let Some(class) = args.class {
            about["class"] = json!(class);
        }
        let place = Place { voxel_nm: reader.voxel_nm(), origin: reader.origin() };
        args.objects.write(files, mask, place, about, &args.out, common)
    } else if to_zarr {
        write_zarr(args, common, &hash, &mut model, &reader, &share)
    } else {
        write_tiff(args, common, &mut model, &reader)
    }
}

fn write_tiff(args: &Args, common: &Common, model: &mut Model, reader: &PatchReader) -> Result<()> {
    let depth = reader.region.z.len();
    let shape = [depth, reader.region.height(), reader.region.width()];
    let mut writer = TiffStackWriter::create(&args.out, shape)?.with_voxel_nm(reader.voxel_nm());
    let region = &reader.region;
    let windows = windows_of_area(model, reader, region);
    let bar = Bar::new("predicting".into(), 0, windows as u64);
    let classes = model.net().classes;
    let mut push = |p: ClassProbabilities| match args.kind {
        Kind::Probabilities | Kind::Instances => writer.push_probabilities(&args.probabilities(p)),
        Kind::Labels if classes > 2 => writer.push_classes(&p.likeliest()),
        Kind::Labels => writer.push_labels(&p.likeliest()),
    };
    // A section is compressed and written while the next one is segmented.
    thread::scope(|scope| {
        let (send, segmented) = sync_channel(1);
        let writing = scope.spawn(move || segmented.iter().try_for_each(&mut push));
        let done = (0..depth).try_for_each(|z| {
            let p = area_probabilities(model, reader, z, region, args.symmetries, &mut |done| {
                bar.advance(done as u64);
                match interrupted() {
                    true => Err(Error::Interrupted("interrupted; nothing was written".into())),
                    false => Ok(()),
                }
            })?;
            // Who writes has failed if it takes no more, and what it says comes first below.
            send.send(p).map_err(|_| Error::Interrupted("writing has ended".into()))
        });
        drop(send);
        writing.join().expect("writing does not panic").and(done)
    })?;
    writer.finish()?;
    drop(bar);
    if common.json {
        return say_json(&json!({ "out": args.out, "shape": shape }));
    }
    say(format_args!("wrote {}", args.out.display()))
}

/// What [`Kind::Instances`] lacks.
const ALONE: &str = "--as instances: objects are found by one process on one device; \
    predict --as probabilities in parts, then find them with askem instances";

/// Pixels that are predicted at once: bands of rows where sections have more.
const BAND: usize = 1 << 25;

/// Bands have as many rows at least: of narrower ones more would be seen twice than once.
const LEAST_ROWS: usize = 512;

/// The foreground of all sections.
fn predict_mask(
    args: &Args,
    model: &mut Model,
    reader: &PatchReader,
    threshold: f32,
) -> Result<Mask> {
    let whole = &reader.region;
    let rows = (BAND / whole.width()).clamp(LEAST_ROWS.min(whole.height()), whole.height());
    let mut mask = Mask::create(&args.out, [whole.z.len(), whole.height(), whole.width()])?;
    let mut bands = Vec::new();
    for z in whole.z.clone() {
        for y in whole.y.clone().step_by(rows) {
            let y = y..(y + rows).min(whole.y.end);
            bands.push(Region { z: z..z + 1, y, x: whole.x.clone() });
        }
    }
    let windows: usize = bands.iter().map(|band| windows_of_area(model, reader, band)).sum();
    let bar = Bar::new("predicting".into(), 0, windows as u64);
    for band in &bands {
        let mut advance = |done| {
            bar.advance(done as u64);
            stop_if_interrupted()
        };
        let (z, symmetries) = (band.z.start, args.symmetries);
        let p = area_probabilities(model, reader, z, band, symmetries, &mut advance)?;
        mask.write(band, args.probabilities(p).iter().map(|&p| p > threshold))?;
    }
    Ok(mask)
}

/// How areas are cut in windows: images that were cut otherwise are not gone on with.
const WINDOWS: &str = "as large as memory allows";

/// Block by block, the same ones whatever of them is to do: any number of parts gives the same bytes.
fn write_zarr(
    args: &Args,
    common: &Common,
    weights: &str,
    model: &mut Model,
    reader: &PatchReader,
    share: &Share,
) -> Result<()> {
    let region = &reader.region;
    let shape = [region.z.len(), region.height(), region.width()];
    let kind = match args.kind {
        Kind::Probabilities | Kind::Instances => OmeKind::Probabilities,
        Kind::Labels if model.net().classes > 2 => OmeKind::Classes,
        Kind::Labels => OmeKind::Labels,
    };
    let what = match (args.kind, model.net().classes, args.class) {
        (Kind::Labels, 2, _) => "probability above 0.5 is 255".to_string(),
        (Kind::Labels, ..) => "the likeliest class".to_string(),
        (_, _, None) => "probability".to_string(),
        (_, _, Some(class)) => format!("probability of class {class}"),
    };
    let about = json!({
        "askem": env!("CARGO_PKG_VERSION"),
        "weights": weights,
        "windows": WINDOWS,
        "symmetries": args.symmetries.count(),
        "scaling": reader.scaling,
        "pixels": hash_of_pixels(reader)?,
        "foreground": what,
    });
    let anew = args.force && !share.is_helper;
    let writer = OmeZarrWriter::create(&args.out, shape, kind, about, anew)?
        .with_voxel_nm(reader.voxel_nm())
        .with_origin(reader.origin());
    let others = share.start_others(common)?;
    let blocks = share.shard.of(writer.blocks());
    let mut skipped = 0;
    let mut todo: Vec<(Region, Vec<u64>)> = Vec::new();
    for block in blocks {
        let (done, missing): (Vec<u64>, _) =
            writer.chunks_of(block).into_iter().partition(|&chunk| writer.is_whole(chunk));
        skipped += done.len() as u64;
        if !missing.is_empty() {
            todo.push((writer.region_of_block(block), missing));
        }
    }
    let missing = todo.iter().flat_map(|(_, chunks)| chunks);
    let damaged = missing.clone().filter(|&&chunk| writer.is_there(chunk)).count();
    let mut computed = missing.count() as u64;
    if damaged > 0 {
        note!(
            "askem: note: {}: {damaged} chunks are there but damaged, and are computed again",
            args.out.display()
        );
    }
    let windows: usize = todo.iter().map(|(area, _)| windows_of_area(model, reader, area)).sum();
    let bar = Bar::new("predicting".into(), 0, windows as u64);
    for (area, chunks) in &todo {
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); chunks.len()];
        for z in area.z.clone() {
            let mut advance = |done| {
                bar.advance(done as u64);
                match interrupted() {
                    true => Err(Error::Interrupted(format!(
                        "interrupted; the complete chunks are in {}. Go on with the same command",
                        args.out.display()
                    ))),
                    false => Ok(()),
                }
            };
            let symmetries = args.symmetries;
            let p = area_probabilities(model, reader, z, area, symmetries, &mut advance)?;
            let p: Vec<f32> = match kind {
                OmeKind::Classes => p.likeliest().into_iter().map(f32::from).collect(),
                OmeKind::Labels => {
                    p.likeliest().into_iter().map(|l| 255.0 * f32::from(l)).collect()
                }
                OmeKind::Grey | OmeKind::Probabilities | OmeKind::Instances => {
                    args.probabilities(p)
                }
            };
            for (&chunk, values) in chunks.iter().zip(&mut values) {
                let Region { y, x, .. } = writer.region(chunk);
                let rows = p.chunks(area.width()).skip(y.start - area.y.start).take(y.len());
                let columns = x.start - area.x.start..x.end - area.x.start;
                rows.for_each(|row| values.extend(&row[columns.clone()]));
            }
        }
        for (&chunk, values) in chunks.iter().zip(&values) {
            writer.write(chunk, values)?;
        }
    }
    drop(bar);
    for said in others.wait()? {
        computed += said["computed_chunks"].as_u64().unwrap_or(0);
        skipped += said["skipped_chunks"].as_u64().unwrap_or(0);
    }
    let complete = writer.is_complete();
    if complete && !share.is_helper {
        writer.finish()?;
    }
    if common.json {
        return say_json(&json!({
            "computed_chunks": computed, "skipped_chunks": skipped, "complete": complete,
        }));
    }
    let rest = if complete { "the image is complete" } else { "other parts are missing" };
    say(format_args!(
        "wrote {computed} chunks of {}, {skipped} were there; {rest}",
        args.out.display()
    ))
}
