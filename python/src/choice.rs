//! Choices among patches, on the processor.

use askem::compute::cpu::CpuExecutor;
use askem::learning::geometry::{DeviceGeometry, Points};
use askem::learning::strategy::{Candidates, Criterion, by_name};
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyBytes, PyBytesMethods};
use pyo3::{Bound, PyErr, PyResult, Python, pyfunction};

use crate::failure::exception;
use crate::waiting::wait_for;

/// Chooses among `count` patches those that are not `labelled` (increasing numbers), best first.
/// Scores and embeddings are bytes of f32 of all patches; of none where the arguments are empty.
#[pyfunction]
pub(crate) fn select(
    py: Python<'_>,
    strategy: &str,
    query: usize,
    count: usize,
    scores: &Bound<'_, PyBytes>,
    embeddings: &Bound<'_, PyBytes>,
    labelled: Vec<usize>,
    seed: u64,
    threads: Option<usize>,
) -> PyResult<Vec<usize>> {
    let strategy = by_name(strategy, Criterion::BaldEntropy).map_err(exception)?;
    let (scores, embeddings) = (floats(scores), floats(embeddings));
    let needs = strategy.needs();
    let name = strategy.name();
    if strategy.labels_everything() || needs.labels || needs.class_entropy {
        return Err(PyValueError::new_err(format!(
            "strategy {name:?} is for `askem run`: it needs more than scores and embeddings"
        )));
    }
    if needs.scores.is_some() && scores.is_empty() {
        return Err(lacks(name, "scores"));
    }
    if needs.embeddings && embeddings.is_empty() {
        return Err(lacks(name, "embeddings"));
    }
    wait_for(py, move |_| {
        let free: Vec<usize> = (0..count).filter(|i| labelled.binary_search(i).is_err()).collect();
        let dim = (embeddings.len() / count.max(1)).max(1);
        let rows = |wanted: &[usize]| -> Vec<f32> {
            let rows = wanted.iter().filter_map(|&i| embeddings.get(i * dim..(i + 1) * dim));
            rows.flatten().copied().collect()
        };
        let (of_free, of_labelled) = (rows(&free), rows(&labelled));
        let scores: Vec<f32> = free.iter().filter_map(|&i| scores.get(i).copied()).collect();
        let candidates = Candidates {
            scores: &scores,
            embeddings: Points { values: &of_free, dim },
            labelled: Points { values: &of_labelled, dim },
            seed,
            ..Candidates::new(&free)
        };
        let mut executor = CpuExecutor::new(threads).map_err(exception)?;
        let mut geometry = DeviceGeometry::new(&mut executor);
        let picks = strategy.select(&candidates, query, &mut geometry).map_err(exception)?;
        Ok(picks.into_iter().map(|pick| pick.index).collect())
    })
}

fn lacks(strategy: &str, what: &str) -> PyErr {
    PyValueError::new_err(format!("strategy {strategy:?} needs {what}=, one for each patch"))
}

fn floats(bytes: &Bound<'_, PyBytes>) -> Vec<f32> {
    bytes.as_bytes().as_chunks().0.iter().map(|&value| f32::from_ne_bytes(value)).collect()
}
