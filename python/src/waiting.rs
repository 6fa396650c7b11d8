//! Work that Python waits for: on a thread of its own, without the lock of the interpreter, so that
//! other threads run and Ctrl-C ends the wait whatever the device is busy with.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use askem::Error;
use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, PyResult, Python};

/// How often Python's signals are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long an interrupted call waits for its thread. A thread that takes longer ends by itself.
const END: Duration = Duration::from_secs(1);

/// Whether nobody waits for the result any more.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// An error if nobody waits any more.
    pub(crate) fn check(&self) -> askem::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::Interrupted("interrupted".into())),
            false => Ok(()),
        }
    }
}

/// Does the work, and returns early with `KeyboardInterrupt` if that comes. A fault in the work
/// becomes a `RuntimeError`.
pub(crate) fn wait_for<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Stop) -> PyResult<T> + Send + 'static,
) -> PyResult<T> {
    let stop = Stop::default();
    let (send, mut result) = channel();
    let of_thread = stop.clone();
    thread::Builder::new().name("askem".into()).spawn(move || {
        // Nobody may be there any more to take it.
        let _ = send.send(catch_unwind(AssertUnwindSafe(|| work(&of_thread))));
    })?;
    loop {
        let received;
        (received, result) = py.detach(move || (result.recv_timeout(LOOK), result));
        match received {
            Ok(Ok(done)) => return done,
            Ok(Err(panic)) => return Err(fault(&*panic)),
            Err(RecvTimeoutError::Disconnected) => return Err(fault(&"a thread was lost")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(interrupt) = py.check_signals() {
            stop.0.store(true, Ordering::Relaxed);
            py.detach(move || drop(result.recv_timeout(END)));
            return Err(interrupt);
        }
    }
}

fn fault(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    PyRuntimeError::new_err(format!("a fault in askem, please report it: {text}"))
}
