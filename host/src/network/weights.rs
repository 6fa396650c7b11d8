//! Weights on disk, in PyTorch's names and layouts.
//!
//! A safetensors file with one f32 tensor per parameter. Its metadata hold what is needed to use it:
//! `format = askem`, `width`, `classes`, `context`, `norm`, `dropout`, `dropout_kind`, `patch`,
//! `input_mean`, `input_std`, for networks trained on several volumes, each scaled by its own grey values,
//! `normalise = volume`, where it is known the size of a pixel in nanometres, `voxel_nm = z,y,x`, and a checksum, `sha256`, of the whole file with zeros in its place; files of earlier
//! versions have none. A network input is `(grey value - input_mean) / input_std`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use sha2::{Digest, Sha256};

use crate::data::files::{hexadecimal, sha256, write_atomically};
use crate::data::pool::{Normalise, Scaling};
use crate::error::{Error, Result};
use crate::network::unet::{Bank, DropoutKind, Norm, UNet, Weights};

/// A trained network and how to feed it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedNetwork {
    /// The network.
    pub net: UNet,
    /// Its values.
    pub weights: Weights,
    /// The side of the patches that it was trained on.
    pub patch: usize,
    /// How grey values are scaled; with several volumes in training, those of the first.
    pub scaling: Scaling,
    /// By which grey values it sees a volume that it was not trained on, unless told otherwise.
    pub normalise: Normalise,
    /// How large a pixel of the training's images is along z, y and x, in nanometres, where that is known.
    pub voxel_nm: Option<[f64; 3]>,
}

/// Writes a network; the file appears under its name only when it is complete.
pub fn save(path: &Path, trained: &TrainedNetwork) -> Result<()> {
    let TrainedNetwork { net, weights, patch, scaling, normalise, voxel_nm } = trained;
    let norm = match net.norm {
        Norm::Batch => "batch",
        Norm::Instance => "instance",
    };
    let dropout_kind = match net.dropout_kind {
        DropoutKind::Channel => "channel",
        DropoutKind::Element => "element",
    };
    let metadata = [
        ("format", "askem".to_string()),
        ("width", net.width.to_string()),
        ("classes", net.classes.to_string()),
        ("context", net.context.to_string()),
        ("norm", norm.to_string()),
        ("dropout", net.dropout.to_string()),
        ("dropout_kind", dropout_kind.to_string()),
        ("patch", patch.to_string()),
        ("input_mean", scaling.mean.to_string()),
        ("input_std", scaling.deviation.to_string()),
    ];
    let mut tensors = Vec::new();
    for (bank, values) in
        [(net.parameters(), &weights.parameters), (net.statistics(), &weights.statistics)]
    {
        for entry in bank.entries {
            let data = bytemuck::cast_slice(&values[entry.offset..entry.offset + entry.len()]);
            let view = TensorView::new(Dtype::F32, entry.shape.clone(), data);
            tensors.push((entry.name, view.map_err(|e| damaged(path, e))?));
        }
    }
    let own = (*normalise == Normalise::Volume).then(|| ("normalise", "volume".to_string()));
    let size = voxel_nm.map(|[z, y, x]| ("voxel_nm", format!("{z},{y},{x}")));
    let metadata = metadata.into_iter().chain(own).chain(size);
    let metadata = metadata.map(|(k, v)| (k.to_string(), v)).collect();
    let bytes = to_bytes(tensors, metadata).map_err(|e| damaged(path, e))?;
    write_atomically(path, &bytes)
}

/// A safetensors file with a checksum, whose bytes follow from its content: the library keeps metadata in a hash map, which would
/// give each run another order of keys.
pub(crate) fn to_bytes<N: AsRef<str> + Ord + Display>(
    tensors: Vec<(N, TensorView<'_>)>,
    mut metadata: BTreeMap<String, String>,
) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
    let plain = serialize(tensors, None)?;
    let (length, rest) = plain.split_at(8);
    let header_length = u64::from_le_bytes(length.try_into().expect("8 bytes")) as usize;
    let (header, data) = rest.split_at(header_length);
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)?;
    metadata.insert(CHECKSUM.into(), ZEROS.into());
    header.insert("__metadata__".into(), serde_json::to_value(metadata)?);
    let mut header = serde_json::to_vec(&header)?;
    // The format pads the header with spaces so that the data are aligned.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(data);
    if let Some(at) = place_of_checksum(&bytes) {
        let sum = sha256(&bytes);
        bytes[at..at + ZEROS.len()].copy_from_slice(sum.as_bytes());
    }
    Ok(bytes)
}

/// The key of the checksum in the metadata: SHA-256 of the file with zeros in the checksum's place.
const CHECKSUM: &str = "sha256";
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where in a file its checksum lies, if it has one. Quotes within other metadata are escaped, so they can't look like it.
fn place_of_checksum(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let end = usize::try_from(length).ok()?.checked_add(8)?;
    let header = bytes.get(8..end)?;
    let key = format!("\"{CHECKSUM}\":\"");
    let at = header.windows(key.len()).position(|window| window == key.as_bytes())?;
    let start = 8 + at + key.len();
    (start + ZEROS.len() <= end).then_some(start)
}

/// Says what is wrong with a file whose checksum does not fit. A file without one may have no keys but those `known`, which earlier versions
/// wrote: a damaged key is no reason to look no further. Nobody knows whether such a file is damaged, or another program wrote it.
pub(crate) fn check_sum(bytes: &[u8], known: &[&str]) -> std::result::Result<(), String> {
    if let Some(at) = place_of_checksum(bytes) {
        let end = at + ZEROS.len();
        let mut hasher = Sha256::new();
        [&bytes[..at], ZEROS.as_bytes(), &bytes[end..]].iter().for_each(|part| hasher.update(part));
        let sum = hexadecimal(hasher);
        return match bytes[at..end] == *sum.as_bytes() {
            true => Ok(()),
            false => Err("its checksum does not fit".into()),
        };
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let metadata = header.metadata().clone().unwrap_or_default();
    match metadata.keys().filter(|key| !known.contains(&key.as_str())).min() {
        None => Ok(()),
        Some(key) => Err(format!(
            "it has no checksum (`{CHECKSUM}`), and no version of askem without one wrote `{key}`"
        )),
    }
}

/// What to do with a file that askem did not write.
const OTHER_PROGRAM: &str = "another program wrote it (`save` of examples/load_in_torch.py writes \
    networks of PyTorch so that askem reads them; see docs/pytorch.md)";

/// The keys of files of before there were checksums.
const KEYS: [&str; 9] = [
    "format",
    "width",
    "classes",
    "norm",
    "dropout",
    "dropout_kind",
    "patch",
    "input_mean",
    "input_std",
];

/// Reads a network.
///
/// # Errors
/// If the file is missing, not safetensors, not written by askem, or lacks a tensor; the message names it.
pub fn load(path: &Path) -> Result<TrainedNetwork> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "can't read the weights", e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, e))?;
    check_sum(&bytes, &KEYS)
        .map_err(|e| damaged(path, format!("{e}: it is damaged, or {OTHER_PROGRAM}")))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(path, e))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let text = |key: &str| {
        metadata
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| damaged(path, format!("its metadata have no `{key}`: {OTHER_PROGRAM}")))
    };
    let net = UNet {
        width: number(path, &metadata, "width")?,
        classes: number(path, &metadata, "classes")?,
        context: match metadata.contains_key("context") {
            true => number(path, &metadata, "context")?,
            // Of before networks saw neighbouring sections.
            false => 0,
        },
        norm: match text("norm")? {
            "batch" => Norm::Batch,
            "instance" => Norm::Instance,
            other => return Err(damaged(path, format!("its norm is `{other}`"))),
        },
        dropout: number(path, &metadata, "dropout")?,
        dropout_kind: match text("dropout_kind")? {
            "channel" => DropoutKind::Channel,
            "element" => DropoutKind::Element,
            other => return Err(damaged(path, format!("its dropout_kind is `{other}`"))),
        },
    };
    net.validate().map_err(|e| damaged(path, e))?;
    let patch: usize = number(path, &metadata, "patch")?;
    net.validate_patch(patch).map_err(|e| damaged(path, e))?;
    let scaling = Scaling {
        mean: number(path, &metadata, "input_mean")?,
        deviation: number(path, &metadata, "input_std")?,
    };
    let normalise = match metadata.get("normalise").map(String::as_str) {
        None => Normalise::Weights,
        Some("volume") => Normalise::Volume,
        Some(other) => return Err(damaged(path, format!("its normalise is `{other}`"))),
    };
    let voxel_nm = match metadata.get("voxel_nm") {
        None => None,
        Some(text) => {
            let sides: Vec<f64> = text.split(',').filter_map(|side| side.parse().ok()).collect();
            let sides = <[f64; 3]>::try_from(sides).ok();
            let wrong = || damaged(path, format!("its voxel_nm is `{text}`"));
            Some(sides.ok_or_else(wrong)?)
        }
    };
    let read = |bank: Bank| -> Result<Vec<f32>> {
        let mut values = vec![0.0_f32; bank.len];
        for entry in bank.entries {
            let tensor = file.tensor(&entry.name).map_err(|e| damaged(path, e))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != entry.shape {
                return Err(damaged(
                    path,
                    format!(
                        "tensor {} is {:?} {:?} where this network needs F32 {:?}",
                        entry.name,
                        tensor.dtype(),
                        tensor.shape(),
                        entry.shape
                    ),
                ));
            }
            let target = &mut values[entry.offset..entry.offset + entry.len()];
            bytemuck::cast_slice_mut::<f32, u8>(target).copy_from_slice(tensor.data());
        }
        Ok(values)
    };
    let weights =
        Weights { parameters: read(net.parameters())?, statistics: read(net.statistics())? };
    Ok(TrainedNetwork { net, weights, patch, scaling, normalise, voxel_nm })
}

fn number<T: FromStr>(path: &Path, metadata: &HashMap<String, String>, key: &str) -> Result<T> {
    metadata.get(key).and_then(|v| v.parse().ok()).ok_or_else(|| {
        damaged(path, format!("its metadata have no number `{key}`: {OTHER_PROGRAM}"))
    })
}

fn damaged(path: &Path, why: impl Display) -> Error {
    Error::Input(format!("{}: not a weights file that can be used: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        for (norm, normalise, voxel_nm) in [
            (Norm::Batch, Normalise::Weights, None),
            (Norm::Instance, Normalise::Volume, Some([50.0, 4.6, 4.6])),
        ] {
            let net = UNet { width: 3, norm, context: 2, ..UNet::paper() };
            let scaling = Scaling { mean: 101.25, deviation: 33.3 };
            let trained = TrainedNetwork {
                net,
                weights: net.init(5),
                patch: 48,
                scaling,
                normalise,
                voxel_nm,
            };
            save(&path, &trained).unwrap();
            assert_eq!(load(&path).unwrap(), trained);
        }
    }

    #[test]
    fn damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        assert!(load(&path).unwrap_err().to_string().contains("w.safetensors"));
        std::fs::write(&path, b"not tensors").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("not a weights file"));
    }

    #[test]
    fn flipped_bits_are_noticed_and_files_without_a_checksum_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let net = UNet { width: 1, ..UNet::paper() };
        let scaling = Scaling { mean: 101.25, deviation: 33.3 };
        let normalise = Normalise::Weights;
        let trained = TrainedNetwork {
            net,
            weights: net.init(5),
            patch: 48,
            scaling,
            normalise,
            voxel_nm: None,
        };
        save(&path, &trained).unwrap();
        let good = std::fs::read(&path).unwrap();
        let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        // Each bit of the metadata, and some of the numbers.
        let metadata = 8..8 + 600.min(length);
        for bit in (0..64)
            .chain(metadata.flat_map(|i| 8 * i..8 * i + 8))
            .chain((8 * (8 + length)..8 * good.len()).step_by(9973))
        {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            assert!(load(&path).is_err(), "bit {bit}");
        }
        // The keys and their values left out, the header filled up with spaces.
        let write_without_sum = |text: &str| {
            let field = ",\"sha256\":\"";
            let at = text.find(field).unwrap();
            let header = text[..at].to_string() + &text[at + field.len() + 64 + 1..];
            let mut bytes = good[..8].to_vec();
            bytes.extend(format!("{header:<length$}").into_bytes());
            bytes.extend(&good[8 + length..]);
            std::fs::write(&path, bytes).unwrap();
        };
        let text = String::from_utf8(good[8..8 + length].to_vec()).unwrap();
        // As an earlier version wrote it.
        write_without_sum(&text.replacen("\"context\":\"0\",", "", 1));
        assert_eq!(load(&path).unwrap(), trained);
        // As another program writes all that it read but the checksum.
        write_without_sum(&text);
        let message = load(&path).unwrap_err().to_string();
        for part in ["no checksum", "wrote `context`", "another program", "load_in_torch.py"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn a_file_of_another_program_is_called_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let value = 1.0_f32.to_le_bytes();
        let view = TensorView::new(Dtype::F32, vec![1], &value).unwrap();
        std::fs::write(&path, serialize([("head.bias", view)], None).unwrap()).unwrap();
        let message = load(&path).unwrap_err().to_string();
        for part in ["no number `width`", "another program wrote it", "load_in_torch.py"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("damaged"), "{message}");
    }
}
