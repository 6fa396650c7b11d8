//! A network on its device, kept between calls.

use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard};

use askem::compute::device::{self, DeviceChoice};
use askem::compute::precision::PrecisionChoice;
use askem::data::pool::{Normalise, PatchReader, Position, Region, Sampling, Scaling, Sites};
use askem::data::volume::Volume;
use askem::learning::predict::{Embedding, McOptions, Symmetries, area_probabilities};
use askem::learning::strategy::Criterion;
use askem::network::model::Model;
use askem::network::weights;
use askem::pools::score::{What, score_patches};
use askem::results::run_dir::{RunDir, is_checkpoint};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::types::PyBytes;
use pyo3::{Bound, Py, PyAny, PyErr, PyResult, Python, pyclass, pymethods};

use crate::failure::{exception, note};
use crate::section_source::SectionSource;
use crate::waiting::{Stop, wait_for};

/// A network on its device. One call at a time computes on it; others wait.
#[pyclass(frozen, module = "askem._native")]
pub(crate) struct Loaded {
    model: Arc<Mutex<Model>>,
    scaling: Scaling,
    normalise: Normalise,
    /// Threads and devices do not live on in a forked process.
    process: u32,
    #[pyo3(get)]
    path: PathBuf,
    #[pyo3(get)]
    device: String,
    #[pyo3(get)]
    patch: usize,
    #[pyo3(get)]
    classes: usize,
    #[pyo3(get)]
    context: usize,
}

#[pymethods]
impl Loaded {
    /// Reads weights, or those that a run or a project has kept, and puts them on a device.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        path: PathBuf,
        device: String,
        precision: String,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let precision: PrecisionChoice = precision
            .parse()
            .map_err(|what| PyValueError::new_err(format!("precision {precision:?}: {what}")))?;
        let Ok(device) = device.parse::<DeviceChoice>();
        wait_for(py, move |_| load(path, &device, precision, threads).map_err(exception))
    }

    /// Segments an array of `shape` whose sections `read(z)` gives as bytes of floats, and gives
    /// `store(z, values)` of each section the bytes of: u8 labels; f32 probabilities of foreground;
    /// or those of each class, one class after the other.
    fn predict(
        &self,
        py: Python<'_>,
        shape: [usize; 3],
        read: Py<PyAny>,
        store: Py<PyAny>,
        kind: &str,
        normalise: Option<&str>,
    ) -> PyResult<()> {
        let kind = match kind {
            "probabilities" => Kind::Foreground,
            "classes" => Kind::Classes,
            "labels" => Kind::Labels,
            other => return Err(unknown("kind", other, "probabilities, classes or labels")),
        };
        let normalise = self.normalise(normalise)?;
        let (model, known) = (self.model()?, self.scaling);
        wait_for(py, move |stop| {
            let source = Arc::new(SectionSource::new(shape, read, stop.clone()));
            let mut model = locked(&model)?;
            let reader =
                reader(&source, normalise, known, &model).map_err(|e| source.exception(e))?;
            for z in 0..shape[0] {
                let values = section(&mut model, &reader, z, kind, stop);
                let values = values.map_err(|e| source.exception(e))?;
                stop.check().map_err(exception)?;
                Python::try_attach(|py| store.call1(py, (z, PyBytes::new(py, &values))).map(drop))
                    .unwrap_or(Ok(()))?;
            }
            Ok(())
        })
    }

    /// Scores patches: those at `positions` (z, y, x of each), else `random` ones, else a grid.
    /// Gives the bytes of positions (three i64 each), scores (f32) and embeddings (f32).
    fn scores<'py>(
        &self,
        py: Python<'py>,
        shape: [usize; 3],
        read: Py<PyAny>,
        criterion: &str,
        positions: Option<Vec<[usize; 3]>>,
        random: Option<usize>,
        stride: usize,
        stride_z: usize,
        embeddings: Option<&str>,
        mc_passes: usize,
        seed: u64,
        normalise: Option<&str>,
    ) -> PyResult<[Bound<'py, PyBytes>; 3]> {
        let criterion = match criterion {
            "entropy" => Criterion::Entropy,
            "least_confidence" => Criterion::LeastConfidence,
            "bald" => Criterion::BaldEntropy,
            "mutual_information" => Criterion::MutualInformation,
            other => {
                let known = "entropy, least_confidence, bald or mutual_information";
                return Err(unknown("criterion", other, known));
            }
        };
        let embedding = match embeddings {
            None => None,
            Some("mean") => Some(Embedding::Mean),
            Some("flat") => Some(Embedding::Flat),
            Some(other) => return Err(unknown("embeddings", other, "mean or flat")),
        };
        let normalise = self.normalise(normalise)?;
        let (model, known) = (self.model()?, self.scaling);
        let mc = McOptions { passes: mc_passes, seed, iteration: 0 };
        let what = What { criterion, mc, embedding };
        let sampling = match random {
            Some(count) => Sampling::Random { count, seed },
            None => Sampling::Grid { stride, stride_z },
        };
        let (positions, scores, embeddings) = wait_for(py, move |stop| {
            let source = Arc::new(SectionSource::new(shape, read, stop.clone()));
            let mut model = locked(&model)?;
            let score = || {
                let region = Region::whole(shape);
                let positions = match positions {
                    Some(given) => {
                        let place = |[z, y, x]: [usize; 3]| Position { volume: 0, z, y, x };
                        given.into_iter().map(place).collect()
                    }
                    None => {
                        let sites = Sites::new(sampling, &region, model.patch(), source.chunk())?;
                        (0..sites.len()).map(|i| sites.position(i)).collect::<Vec<_>>()
                    }
                };
                let reader = reader(&source, normalise, known, &model)?;
                let mut advance = |_| stop.check();
                let (scores, embeddings) =
                    score_patches(&mut model, &reader, &positions, &what, &mut advance)?;
                Ok((positions, scores, embeddings))
            };
            score().map_err(|e| source.exception(e))
        })?;
        let positions = positions.iter().flat_map(|at| [at.z, at.y, at.x].map(|v| v as i64));
        let positions: Vec<u8> = positions.flat_map(i64::to_ne_bytes).collect();
        let all = [positions, bytes_of(&scores), bytes_of(&embeddings)];
        Ok(all.map(|bytes| PyBytes::new(py, &bytes)))
    }
}

impl Loaded {
    /// The model, for calls from the process that loaded it.
    fn model(&self) -> PyResult<Arc<Mutex<Model>>> {
        if self.process == process::id() {
            return Ok(Arc::clone(&self.model));
        }
        Err(PyRuntimeError::new_err(
            "this network was loaded in another process, of which this one is a fork: its threads \
             are not here; load it here again, or start processes by spawn",
        ))
    }

    fn normalise(&self, by: Option<&str>) -> PyResult<Normalise> {
        match by {
            None => Ok(self.normalise),
            Some("weights") => Ok(Normalise::Weights),
            Some("volume") => Ok(Normalise::Volume),
            Some(other) => Err(unknown("normalise", other, "weights or volume")),
        }
    }
}

fn unknown(argument: &str, given: &str, known: &str) -> PyErr {
    PyValueError::new_err(format!("{argument} {given:?}: give {known}"))
}

fn locked(model: &Mutex<Model>) -> PyResult<MutexGuard<'_, Model>> {
    model.lock().map_err(|_| {
        PyRuntimeError::new_err("a fault in an earlier call broke this network; load it again")
    })
}

fn load(
    path: PathBuf,
    device: &DeviceChoice,
    precision: PrecisionChoice,
    threads: Option<usize>,
) -> askem::Result<Loaded> {
    // A run's or a project's folder.
    let path = if path.is_dir() { RunDir::choose_network(&path, None)?.path } else { path };
    let trained = weights::load(&path).map_err(|error| match is_checkpoint(&path) {
        true => askem::Error::Input(format!(
            "{}: this is a checkpoint, which only a run goes on from; give the run's folder",
            path.display()
        )),
        false => error,
    })?;
    let executor = device::open_with(device, threads, precision, note)?;
    let mut model = Model::new(executor, trained.net, trained.patch)?;
    model.set_weights(&trained.weights)?;
    Ok(Loaded {
        device: model.device_name(),
        model: Arc::new(Mutex::new(model)),
        scaling: trained.scaling,
        normalise: trained.normalise,
        process: process::id(),
        path,
        patch: trained.patch,
        classes: trained.net.classes,
        context: trained.net.context,
    })
}

/// A reader of all of an array, scaled as the command line does.
fn reader(
    source: &Arc<SectionSource>,
    normalise: Normalise,
    known: Scaling,
    model: &Model,
) -> askem::Result<PatchReader> {
    let raw: Arc<dyn Volume> = Arc::clone(source) as Arc<dyn Volume>;
    let region = Region::whole(raw.shape());
    let (scaling, far) = Scaling::of_volume(normalise, &raw, &region, known)?;
    if let Some(own) = far {
        note(format!(
            "the array's grey values (mean {:.4}, deviation {:.4}) are far from those of the \
             training (mean {:.4}, deviation {:.4}), so that the network will hardly know it; \
             normalise=\"volume\" scales it by its own",
            own.mean, own.deviation, known.mean, known.deviation
        ));
    }
    Ok(PatchReader::with_context(raw, region, scaling, model.net().context))
}

/// What is wanted of each pixel.
#[derive(Clone, Copy)]
enum Kind {
    Foreground,
    Classes,
    Labels,
}

/// The bytes of a section's result: the one place where arrays are segmented.
fn section(
    model: &mut Model,
    reader: &PatchReader,
    z: usize,
    kind: Kind,
    stop: &Stop,
) -> askem::Result<Vec<u8>> {
    let classes = model.net().classes;
    let whole = &reader.region;
    let p = area_probabilities(model, reader, z, whole, Symmetries::One, &mut |_| stop.check())?;
    Ok(match kind {
        Kind::Foreground => bytes_of(p.foreground()),
        Kind::Classes => (0..classes).flat_map(|class| bytes_of(&p.of_class(class))).collect(),
        Kind::Labels => p.likeliest(),
    })
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}
