//! The size of a volume's voxels in files that are written, so that measurements in other programs
//! are in nanometres.
//!
//! Source: what ImageJ writes into its TIFFs, and [OME-Zarr 0.5](https://ngff.openmicroscopy.org/0.5/).

use std::io::{Seek, Write};

#[cfg(feature = "zarr")]
use serde_json::{Value, json};
use tiff::TiffResult;
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, DirectoryEncoder, Rational, TiffKind};
use tiff::tags::{ResolutionUnit, Tag};

/// How the pages of a stack are compressed that [`describe_stack`] describes: uncompressed ones are taken
/// to lie one behind the other, without directories between them, by ImageJ and by tifffile.
pub(crate) const STACKED: Compression = Compression::Deflate(DeflateLevel::Fast);

/// Says in the first page of a stack that its pages are sections, and how large voxels are.
pub(crate) fn describe_stack<W: Write + Seek, K: TiffKind>(
    first: &mut DirectoryEncoder<'_, W, K>,
    pages: usize,
    voxel_nm: Option<[f64; 3]>,
) -> TiffResult<()> {
    let mut about = format!("ImageJ=1.54\nimages={pages}\nslices={pages}\nloop=false\n");
    if let Some([z, y, x]) = voxel_nm.map(tidy) {
        about += &format!("unit=nm\nspacing={z}\n");
        first.write_tag(Tag::XResolution, pixels_per_nm(x))?;
        first.write_tag(Tag::YResolution, pixels_per_nm(y))?;
        first.write_tag(Tag::ResolutionUnit, ResolutionUnit::None)?;
    }
    first.write_tag(Tag::ImageDescription, &*about)
}

/// Without the last digits, which hold what units were converted with.
fn tidy(voxel_nm: [f64; 3]) -> [f64; 3] {
    voxel_nm.map(|side| format!("{side:.9e}").parse().unwrap_or(side))
}

/// The inverse of a pixel's side as a fraction, as exact as 32 bits allow.
fn pixels_per_nm(side: f64) -> Rational {
    let fits = |n: &u32| f64::from(*n) * side <= f64::from(u32::MAX);
    let n = (0..=9).rev().map(|digits| 10_u32.pow(digits)).find(fits).unwrap_or(1);
    Rational { n, d: (f64::from(n) * side).round().max(1.0) as u32 }
}

/// The axes z, y and x of an OME-Zarr image.
#[cfg(feature = "zarr")]
pub(crate) fn ome_axes(voxel_nm: Option<[f64; 3]>) -> Value {
    let axis = |name| match voxel_nm {
        Some(_) => json!({ "name": name, "type": "space", "unit": "nanometer" }),
        None => json!({ "name": name, "type": "space" }),
    };
    json!(["z", "y", "x"].map(axis))
}

/// A level of an OME-Zarr image whose rows and columns were halved so many times: a coarser pixel's
/// centre lies between those of its four. `origin` is the place of the first pixel of level 0, in
/// nanometres, or in pixels where their size is not known.
#[cfg(feature = "zarr")]
pub(crate) fn ome_dataset(
    path: &str,
    level: usize,
    voxel_nm: Option<[f64; 3]>,
    origin: Option<[f64; 3]>,
) -> Value {
    let factor = (1_u64 << level) as f64;
    let [z, y, x] = voxel_nm.map_or([1.0; 3], tidy);
    let shift = (factor - 1.0) / 2.0;
    let mut transformations =
        vec![json!({ "type": "scale", "scale": [z, factor * y, factor * x] })];
    if level > 0 || origin.is_some() {
        let origin = origin.map_or([0.0; 3], tidy);
        let translation = [origin[0], origin[1] + shift * y, origin[2] + shift * x];
        transformations.push(json!({ "type": "translation", "translation": translation }));
    }
    json!({ "path": path, "coordinateTransformations": transformations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_kept_to_nine_digits() {
        for side in [1e-3, 0.25, 1.0, 3.7, 4.0, 30.0, 1234.567, 1e6] {
            let Rational { n, d } = pixels_per_nm(side);
            let error = (f64::from(d) / f64::from(n) / side - 1.0).abs();
            assert!(error < 1e-6, "{side}: {d}/{n}");
        }
        assert_eq!(tidy([4.6000000000000005, 0.1 + 0.2, 40.0]), [4.6, 0.3, 40.0]);
    }
}
