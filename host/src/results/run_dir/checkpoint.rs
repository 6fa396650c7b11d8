//! Checkpoints: the training that is under way, and the network that it began with.
//!
//! `checkpoint.safetensors` is the last state. When the first one of an iteration is written, the one before, which is the network
//! at the end of the iteration before, stays as `checkpoint.previous.safetensors`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{DataIdentity, Origin, Resolved, RunDir};
use crate::data::files::write_atomically;
use crate::error::{Error, Result};
use crate::learning::train::{Best, TrainState};
use crate::network::model::Moments;
use crate::network::unet::Weights;
use crate::network::weights::{check_sum, to_bytes};

pub(super) const CURRENT: &str = "checkpoint.safetensors";
pub(super) const PREVIOUS: &str = "checkpoint.previous.safetensors";

/// The keys that every checkpoint has or may have, those of before there were checksums.
const KEYS: [&str; 5] = ["iteration", "epochs_done", "loss_bits", "best_epoch", "best_loss_bits"];

/// A checkpoint as it was read.
#[derive(Debug)]
pub(super) struct Saved {
    /// The iteration whose training it is of.
    pub(super) iteration: usize,
    pub(super) state: TrainState,
    settings: Option<String>,
    pixels: Option<String>,
    labels: Option<String>,
}

impl RunDir {
    /// Writes the state of a training, replacing the one before.
    ///
    /// # Errors
    /// If the disk is full or refuses.
    pub fn write_checkpoint(&self, iteration: usize, state: &TrainState) -> Result<()> {
        let path = self.file(CURRENT);
        let bytes = encode(iteration, state, self.origin.as_ref())
            .map_err(|e| Error::Input(format!("{}: can't be written: {e}", path.display())))?;
        if self.checkpoint.get().is_some_and(|before| before < iteration) {
            fs::rename(&path, self.file(PREVIOUS))
                .map_err(|e| Error::io(&path, "can't keep the last checkpoint", e))?;
        }
        write_atomically(&path, &bytes)?;
        self.checkpoint.set(Some(iteration));
        Ok(())
    }

    /// Reads a checkpoint; nothing if there is none. What is wrong with a damaged one is the inner error.
    pub(super) fn read_checkpoint(
        &self,
        name: &str,
    ) -> Result<std::result::Result<Option<Saved>, String>> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(decode(&bytes).map(Some)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Ok(None)),
            Err(e) => Err(Error::io(&path, "can't read the checkpoint", e)),
        }
    }

    /// An error unless a checkpoint is of the settings and the data that the run goes on with.
    pub(super) fn check_origin(&self, saved: &Saved) -> Result<()> {
        let Some(Origin { resolved, data }) = &self.origin else { return Ok(()) };
        let show = self.path.display();
        let settings =
            saved.settings.as_ref().and_then(|text| toml::from_str::<Resolved>(text).ok());
        if let Some(then) = settings
            && !then.gives_the_same(resolved)
        {
            return Err(Error::Usage(format!(
                "{show}: the checkpoint there is of other settings than {}; put the config.toml back that the run was started with, or start anew with --force",
                "the config.toml or the options say"
            )));
        }
        for (what, then, now) in
            [("images", &saved.pixels, &data.pixels), ("labels", &saved.labels, &data.labels)]
        {
            if then.as_ref().is_some_and(|then| then != now) {
                return Err(Error::Input(format!(
                    "{show}: the {what} are not those that the run was trained with: they have changed since; put the earlier ones back, or start anew with --force"
                )));
            }
        }
        Ok(())
    }
}

/// What the data of a run were, if its checkpoint is there and says so.
pub fn data_of(run: &Path) -> Option<DataIdentity> {
    let saved = decode(&fs::read(run.join(CURRENT)).ok()?).ok()?;
    Some(DataIdentity { pixels: saved.pixels?, labels: saved.labels? })
}

/// Whether a file is a checkpoint, damaged or not.
pub(super) fn is_checkpoint(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap_or_default();
    let header = SafeTensors::read_metadata(&bytes).ok();
    let metadata = header.and_then(|(_, header)| header.metadata().clone());
    metadata.is_some_and(|metadata| metadata.contains_key("epochs_done"))
}

fn encode(
    iteration: usize,
    state: &TrainState,
    origin: Option<&Origin>,
) -> std::result::Result<Vec<u8>, String> {
    let mut banks = vec![
        ("parameters", &state.weights.parameters),
        ("statistics", &state.weights.statistics),
        ("first_moment", &state.moments.first),
        ("second_moment", &state.moments.second),
    ];
    if let Some(best) = &state.best {
        banks.push(("best_parameters", &best.weights.parameters));
        banks.push(("best_statistics", &best.weights.statistics));
    }
    let banks: Vec<(&str, TensorView<'_>)> = banks
        .into_iter()
        .map(|(name, values)| {
            let data = bytemuck::cast_slice(values);
            TensorView::new(Dtype::F32, vec![values.len()], data).map(|view| (name, view))
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| e.to_string())?;
    let mut metadata = vec![
        ("iteration".to_string(), iteration.to_string()),
        ("epochs_done".to_string(), state.epochs_done.to_string()),
        // As bits, so that the journal of a resumed run is the same to the last digit.
        ("loss_bits".to_string(), state.loss.to_bits().to_string()),
    ];
    if let Some(best) = &state.best {
        metadata.push(("best_epoch".into(), best.epoch.to_string()));
        metadata.push(("best_loss_bits".into(), best.loss.to_bits().to_string()));
    }
    if let Some(Origin { resolved, data }) = origin {
        let settings = toml::to_string(resolved).map_err(|e| e.to_string())?;
        metadata.push(("settings".into(), settings));
        metadata.push(("pixels".into(), data.pixels.clone()));
        metadata.push(("labels".into(), data.labels.clone()));
    }
    to_bytes(banks, metadata.into_iter().collect()).map_err(|e| e.to_string())
}

fn decode(bytes: &[u8]) -> std::result::Result<Saved, String> {
    check_sum(bytes, &KEYS)?;
    let damaged = || "what it holds is no checkpoint".to_string();
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let number =
        |key: &str| metadata.get(key).and_then(|v| v.parse::<usize>().ok()).ok_or_else(damaged);
    let bank = |name: &str| -> std::result::Result<Vec<f32>, String> {
        let tensor = file.tensor(name).map_err(|_| damaged())?;
        Ok(bytemuck::pod_collect_to_vec(tensor.data()))
    };
    let loss = |key: &str| number(key).map(|bits| f32::from_bits(bits as u32));
    let weights = |parameters: &str, statistics: &str| {
        Ok::<_, String>(Weights { parameters: bank(parameters)?, statistics: bank(statistics)? })
    };
    let best = if metadata.contains_key("best_epoch") {
        Some(Best {
            epoch: number("best_epoch")?,
            loss: loss("best_loss_bits")?,
            weights: weights("best_parameters", "best_statistics")?,
        })
    } else {
        None
    };
    let state = TrainState {
        epochs_done: number("epochs_done")?,
        weights: weights("parameters", "statistics")?,
        moments: Moments { first: bank("first_moment")?, second: bank("second_moment")? },
        loss: loss("loss_bits")?,
        best,
    };
    let text = |key: &str| metadata.get(key).cloned();
    Ok(Saved {
        iteration: number("iteration")?,
        state,
        settings: text("settings"),
        pixels: text("pixels"),
        labels: text("labels"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn state() -> TrainState {
        TrainState {
            epochs_done: 7,
            weights: Weights { parameters: vec![1.0, -2.5], statistics: vec![] },
            moments: Moments { first: vec![0.5, 0.25], second: vec![1e-20, 3.0] },
            loss: 0.1,
            best: None,
        }
    }

    #[test]
    fn a_checkpoint_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::open(folder.path(), false, false, Duration::ZERO).unwrap();
        let weights = Weights { parameters: vec![3.0, 4.0], statistics: vec![] };
        let best = Some(Best { epoch: 5, loss: 0.3, weights });
        for state in [state(), TrainState { best, ..state() }] {
            dir.write_checkpoint(2, &state).unwrap();
            let saved = dir.read_checkpoint(CURRENT).unwrap().unwrap().unwrap();
            assert_eq!((saved.iteration, saved.state), (2, state));
        }
        assert!(dir.read_checkpoint(PREVIOUS).unwrap().unwrap().is_none());
        dir.write_checkpoint(3, &state()).unwrap();
        assert_eq!(dir.read_checkpoint(PREVIOUS).unwrap().unwrap().unwrap().iteration, 2);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = encode(2, &state(), None).unwrap();
        assert_eq!(decode(&good).unwrap().state, state());
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
        assert!((0..good.len()).all(|length| decode(&good[..length]).is_err()));
    }
}
