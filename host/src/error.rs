//! What can go wrong, said so that a person knows what to do.

use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something failed. The message says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option or a combination of options makes no sense (exit code 2).
    #[error("{0}")]
    Usage(String),
    /// The data are not what the work needs.
    #[error("{0}")]
    Input(String),
    /// A file could not be read or written.
    #[error("{}: {what}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A device is missing, refused, or failed its self-test.
    #[error("{0}")]
    Device(String),
    /// A plan does not fit into a device's memory or its largest buffer; a smaller batch may.
    #[error("{0}")]
    TooLarge(String),
    /// An op refused its buffers: a mistake in a plan.
    #[error(transparent)]
    Kernel(#[from] askem_kernels::Error),
    /// The user asked to stop; the state is saved (exit code 130).
    #[error("{0}")]
    Interrupted(String),
}

impl Error {
    /// An [`Error::Io`] with its path.
    pub fn io(path: &Path, what: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), what, source }
    }
}
