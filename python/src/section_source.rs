//! An array of Python as a volume, read section by section: arrays larger than memory stay where
//! they are, and of any type only the sections in use are held as floats.

use std::sync::{Mutex, PoisonError};

use askem::Error;
use askem::data::volume::{Dtype, Section, Volume};
use pyo3::types::{PyAnyMethods, PyBytes, PyBytesMethods};
use pyo3::{Bound, Py, PyAny, PyErr, PyResult, Python};

use crate::waiting::Stop;

/// Sections that a Python function gives as bytes of floats.
pub(crate) struct SectionSource {
    shape: [usize; 3],
    /// Takes the number of a section and gives the bytes of its pixels.
    read: Py<PyAny>,
    stop: Stop,
    /// What the function raised first.
    raised: Mutex<Option<PyErr>>,
}

impl SectionSource {
    pub(crate) fn new(shape: [usize; 3], read: Py<PyAny>, stop: Stop) -> Self {
        Self { shape, read, stop, raised: Mutex::new(None) }
    }

    /// What the function raised, else the exception for an error of the work that read from it.
    pub(crate) fn exception(&self, error: Error) -> PyErr {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
        raised.unwrap_or_else(|| crate::failure::exception(error))
    }

    fn pixels(&self, py: Python<'_>, z: usize) -> PyResult<Vec<f32>> {
        let bytes: Bound<'_, PyAny> = self.read.bind(py).call1((z,))?;
        let bytes = bytes.cast::<PyBytes>()?.as_bytes();
        Ok(bytes.as_chunks().0.iter().map(|&value| f32::from_ne_bytes(value)).collect())
    }
}

impl Volume for SectionSource {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn read_section(&self, z: usize) -> askem::Result<Section> {
        self.stop.check()?;
        let [_, height, width] = self.shape;
        let Some(read) = Python::try_attach(|py| self.pixels(py, z)) else {
            return Err(Error::Interrupted("Python ends".into()));
        };
        match read {
            Ok(pixels) if pixels.len() == height * width => Ok(Section { height, width, pixels }),
            Ok(pixels) => Err(Error::Input(format!(
                "section {z} of the array has {} pixels where its shape says {height} x {width}",
                pixels.len()
            ))),
            Err(error) => {
                let text = error.to_string();
                let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
                raised.get_or_insert(error);
                Err(Error::Input(text))
            }
        }
    }
}
