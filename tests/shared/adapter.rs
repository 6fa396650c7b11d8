//! The adapter that GPU tests run on.

use std::env;
use std::io::{self, Write as _};

use askem::compute::gpu::{Adapter, GpuExecutor, adapters};
use askem::compute::precision::Precision;
use askem::error::Error;

/// Opens the best adapter, or the one that `ASKEM_TEST_ADAPTER` names a part of, and says which one it is.
///
/// # Panics
/// If there is none: a test on a GPU without a GPU proves nothing.
pub(crate) fn open(test: &str) -> GpuExecutor {
    open_at(test, Precision::F32).expect("the adapter opens")
}

/// The same in a precision; an error where the adapter does not have it, which is said to be not run.
///
/// # Errors
/// As [`GpuExecutor::new`].
///
/// # Panics
/// As [`open`], and if `ASKEM_TEST_PRECISIONS` says that the adapter must have it.
pub(crate) fn open_at(test: &str, precision: Precision) -> Result<GpuExecutor, Error> {
    let wanted = env::var("ASKEM_TEST_ADAPTER").unwrap_or_default().to_lowercase();
    let mut all = adapters();
    let found = all.iter_mut().find(|adapter| adapter.name().to_lowercase().contains(&wanted));
    let Some(adapter) = found else {
        let all = adapters();
        let names: Vec<_> = all.iter().map(Adapter::name).collect();
        panic!(
            "no adapter like `{wanted}` among {names:?}: a GPU's Vulkan driver is needed, or the software \
             driver (Debian: apt-get install mesa-vulkan-drivers libvulkan1)"
        );
    };
    // Past the capture of output, so that a passing run says it too. A message that is not seen changes nothing.
    match env::var("ASKEM_TEST_MATRIX_SIDE").as_deref() {
        Err(_) => {}
        Ok("8") => adapter.assume_matrix_side(8),
        Ok("16") => adapter.assume_matrix_side(16),
        Ok(other) => panic!("ASKEM_TEST_MATRIX_SIDE={other}: 8 or 16"),
    }
    let opened = GpuExecutor::new(adapter, precision);
    let (name, backend, kind) = (adapter.name(), adapter.backend(), adapter.kind());
    match &opened {
        Ok(_) => writeln!(io::stderr(), "{test} on {name} ({backend}, {kind}) in {precision}").ok(),
        Err(error) => {
            let required = env::var("ASKEM_TEST_PRECISIONS").unwrap_or_default();
            let is_required = required.split(',').any(|name| name == precision.to_string());
            assert!(precision != Precision::F32 && !is_required, "{error}");
            writeln!(io::stderr(), "NOT RUN: {test} in {precision} ({error})").ok()
        }
    };
    opened
}
