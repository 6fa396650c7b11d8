//! Writing objects: a labelled TIFF or OME-Zarr, and a table beside it. Both appear when both are
//! complete.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::measure::Measurer;
use super::runs::SectionRuns;
use super::{Advance, Instances, Object, Run};
use crate::data::files::{Partial, make_folder, remove_leftovers};
use crate::data::volume::{OmeKind, OmeZarrWriter, TiffStackWriter, is_our_ome_zarr, is_our_tiff};
use crate::error::{Error, Result};

/// How every table begins.
const TABLE: &str = "label,voxels,";

/// Where objects are written to.
pub struct InstanceFiles {
    out: PathBuf,
    csv: PathBuf,
    is_zarr: bool,
    partial: Partial,
    table: File,
    force: bool,
    origin: Option<[f64; 3]>,
}

impl InstanceFiles {
    /// Sees whether objects can be written to `out` (an OME-Zarr ending in .zarr, or a TIFF ending
    /// in .tif or .tiff) and `csv`, before any work. Files of those names are overwritten with
    /// `force`, if this program wrote them.
    ///
    /// # Errors
    /// [`Error::Usage`] where something else is there or the names don't fit, [`Error::Io`] where
    /// the folders can't be written to.
    pub fn create(out: &Path, csv: &Path, force: bool) -> Result<Self> {
        let extension = out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_zarr = extension == "zarr";
        if !is_zarr && !matches!(&*extension, "tif" | "tiff") {
            return Err(Error::Usage(format!(
                "--out {}: give a name that ends in .zarr or in .tif",
                out.display()
            )));
        }
        if csv.starts_with(out) || out.starts_with(csv) {
            return Err(Error::Usage(format!(
                "--csv {}: the table and --out need names of their own",
                csv.display()
            )));
        }
        let is_ours = if is_zarr { is_our_ome_zarr(out) } else { is_our_tiff(out) };
        for (option, path, is_ours) in [("--out", out, is_ours), ("--csv", csv, is_our_table(csv))]
        {
            if path.exists() && !(force && is_ours) {
                let what = if is_ours && path.is_dir() && !path.join("zarr.json").exists() {
                    "exists and is not complete: a call that wrote it was killed, or is at work; \
                    overwrite it with --force or choose another name"
                } else if is_ours {
                    "exists; overwrite it with --force or choose another name"
                } else {
                    "exists and was not written by askem; choose another name (--force overwrites \
                    only what askem wrote)"
                };
                return Err(Error::Usage(format!("{option} {} {what}", path.display())));
            }
        }
        let folder_of = |path: &Path| {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            folder.unwrap_or(Path::new(".")).to_path_buf()
        };
        if is_zarr {
            make_folder(&folder_of(out))?;
        }
        if let Some(own) = csv.file_name() {
            remove_leftovers(&folder_of(csv), |name| own == name);
        }
        let (partial, table) =
            Partial::create(csv).map_err(|e| Error::io(csv, "creating it", e))?;
        let (out, csv) = (out.to_path_buf(), csv.to_path_buf());
        Ok(Self { out, csv, is_zarr, partial, table, force, origin: None })
    }

    /// Says where the first voxel lies along z, y and x: in nanometres, or in voxels where their
    /// size is not known. OME-Zarrs keep it.
    #[must_use]
    pub fn with_origin(mut self, origin: Option<[f64; 3]>) -> Self {
        self.origin = origin;
        self
    }

    /// Writes the labels and the table, for voxels with these sides in nanometres where they are
    /// known; `about` says in an OME-Zarr what the objects are of. Gives back the objects.
    ///
    /// TIFFs have 16 bits for up to 65,535 objects, else 32; OME-Zarrs have 32.
    ///
    /// # Errors
    /// Where the disk refuses, and what `advance` says; nothing is left then.
    pub fn write(
        mut self,
        found: &Instances,
        voxel_nm: Option<[f64; 3]>,
        about: Value,
        advance: &mut Advance<'_>,
    ) -> Result<Vec<Object>> {
        let [depth, height, width] = found.shape();
        let mut measurer = Measurer::new(found.count(), found.shape());
        let voxel = voxel_nm.unwrap_or([1.0; 3]);
        let csv = &self.csv;
        let finish_table = |measurer: Measurer, table_file: &mut File| {
            let objects = measurer.finish(voxel);
            let text = table(&objects, voxel_nm);
            let written = table_file.write_all(text.as_bytes());
            written.map_err(|e| Error::io(csv, "writing it", e)).map(|()| objects)
        };
        let objects = if self.is_zarr {
            let shape = [depth, height, width];
            let kind = OmeKind::Instances;
            let writer = OmeZarrWriter::create(&self.out, shape, kind, about, self.force)?
                .with_voxel_nm(voxel_nm)
                .with_origin(self.origin);
            // What was there is gone by now, and so is its table.
            let written = self
                .remove_table()
                .and_then(|()| write_chunks(&writer, found, &mut measurer, advance))
                .and_then(|()| finish_table(measurer, &mut self.table))
                .and_then(|objects| writer.finish().map(|()| objects));
            written.inspect_err(|_| writer.abandon())?
        } else {
            let mut writer =
                TiffStackWriter::create(&self.out, found.shape())?.with_voxel_nm(voxel_nm);
            let is_small = found.count() <= u32::from(u16::MAX);
            found.sections(|_, runs| {
                let pixels = pixels(&runs, height, width);
                match is_small {
                    true => writer.push_u16(&pixels.iter().map(|&p| p as u16).collect::<Vec<_>>()),
                    false => writer.push_u32(&pixels),
                }?;
                measurer.section(SectionRuns::new(runs, height));
                advance(1)
            })?;
            let objects = finish_table(measurer, &mut self.table)?;
            self.remove_table()?;
            writer.finish()?;
            objects
        };
        self.partial.place(&self.table).map_err(|e| Error::io(&self.csv, "writing it", e))?;
        Ok(objects)
    }

    /// With `force` removes the table of earlier objects: killed at any time, no table stands
    /// beside objects that it does not describe.
    fn remove_table(&self) -> Result<()> {
        if !self.force {
            return Ok(());
        }
        match std::fs::remove_file(&self.csv) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io(&self.csv, "removing the one that was there", e))
            }
            _ => Ok(()),
        }
    }
}

/// A section's objects as pixels, row by row: labels, and 0 where there is none.
fn pixels(runs: &[Run], height: usize, width: usize) -> Vec<u32> {
    let mut pixels = vec![0; height * width];
    for run in runs {
        let row = run.y as usize * width;
        pixels[row + run.start as usize..row + run.end as usize].fill(run.label);
    }
    pixels
}

/// Writes the chunks of the full resolution, from the runs of as many sections as a chunk has.
fn write_chunks(
    writer: &OmeZarrWriter,
    found: &Instances,
    measurer: &mut Measurer,
    advance: &mut Advance<'_>,
) -> Result<()> {
    let height = found.shape()[1];
    let mut sections: Vec<SectionRuns> = Vec::new();
    let mut next = 0;
    found.sections(|z, runs| {
        let runs = SectionRuns::new(runs, height);
        measurer.section(runs.clone());
        sections.push(runs);
        while next < writer.chunks() && writer.region(next).z.end == z + 1 {
            let region = writer.region(next);
            let mut values = vec![0.0; region.z.len() * region.height() * region.width()];
            let mut rows = values.chunks_mut(region.width());
            for section in &sections {
                for (y, row) in region.y.clone().zip(&mut rows) {
                    for run in section.row(y) {
                        let start = (run.start as usize).max(region.x.start);
                        let end = (run.end as usize).min(region.x.end);
                        if start < end {
                            // Exact: there are at most 2^24 objects.
                            row[start - region.x.start..end - region.x.start]
                                .fill(run.label as f32);
                        }
                    }
                }
            }
            writer.write(next, &values)?;
            next += 1;
            if next == writer.chunks() || writer.region(next).z.start == z + 1 {
                sections.clear();
            }
            advance(0)?;
        }
        advance(1)
    })
}

/// Whether a file begins as a table of this program does. Pipes and devices are none, and might have
/// no end.
fn is_our_table(path: &Path) -> bool {
    let mut start = [0; TABLE.len()];
    let read = |mut file: File| file.read_exact(&mut start);
    path.is_file() && File::open(path).and_then(read).is_ok() && start == *TABLE.as_bytes()
}

/// The table of objects as CSV, in the order of their labels.
///
/// `volume_nm3`, `surface_nm2` and the centroid in nm are there where the size of voxels is known;
/// `surface_voxels` otherwise, for voxels that are cubes with a side of 1. Voxels count from 0,
/// boxes have their last voxels in them.
pub fn table(objects: &[Object], voxel_nm: Option<[f64; 3]>) -> String {
    let centroid = "centroid_z,centroid_y,centroid_x";
    let measures = match voxel_nm {
        Some(_) => {
            let in_nm = "centroid_z_nm,centroid_y_nm,centroid_x_nm";
            format!("volume_nm3,surface_nm2,{centroid},{in_nm}")
        }
        None => format!("surface_voxels,{centroid}"),
    };
    let mut text =
        format!("{TABLE}{measures},z_min,y_min,x_min,z_max,y_max,x_max,touches_border\n");
    for object in objects {
        let [z, y, x] = object.centroid;
        let surface = tidy(object.surface);
        // Writing to text never fails.
        let _ = write!(text, "{},{}", object.label, object.voxels);
        let _ = match voxel_nm {
            Some(side) => {
                let volume = object.voxels as f64 * side.iter().product::<f64>();
                let [z_nm, y_nm, x_nm] = [0, 1, 2].map(|i| tidy(object.centroid[i] * side[i]));
                let volume = tidy(volume);
                write!(text, ",{volume},{surface},{z:.3},{y:.3},{x:.3},{z_nm},{y_nm},{x_nm}")
            }
            None => write!(text, ",{surface},{z:.3},{y:.3},{x:.3}"),
        };
        for side in object.first.iter().chain(&object.last) {
            let _ = write!(text, ",{side}");
        }
        let _ = writeln!(text, ",{}", u8::from(object.touches_border));
    }
    text
}

/// Nine digits: more than any of these numbers means.
fn tidy(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}
