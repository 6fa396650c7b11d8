//! What can go wrong, as exceptions; and what should be known and stops nothing.

use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};

use askem::Error;
use pyo3::PyErr;
use pyo3::exceptions::{
    PyFileNotFoundError, PyKeyboardInterrupt, PyOSError, PyPermissionError, PyRuntimeError,
    PyValueError,
};
use pyo3::pyfunction;

/// The exception for an error: `ValueError` where what was given is wrong, `OSError` where a file
/// is, `RuntimeError` where the device is.
pub(crate) fn exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Usage(_) | Error::Input(_) => PyValueError::new_err(text),
        Error::Io { source, .. } => match source.kind() {
            ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
            ErrorKind::PermissionDenied => PyPermissionError::new_err(text),
            _ => PyOSError::new_err(text),
        },
        Error::Interrupted(_) => PyKeyboardInterrupt::new_err(text),
        Error::Device(_) | Error::TooLarge(_) | Error::Kernel(_) => PyRuntimeError::new_err(text),
    }
}

static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps what should be known until [`take_notes`].
pub(crate) fn note(text: String) {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

/// What was noted since the last call.
#[pyfunction]
pub(crate) fn take_notes() -> Vec<String> {
    std::mem::take(&mut *NOTES.lock().unwrap_or_else(PoisonError::into_inner))
}
