//! The adapter that GPU tests run on.

use std::env;
use std::io::{self, Write as _};

use askem::error::Error;
use askem::gpu::{Adapter, GpuExecutor, adapters};
use askem::precision::Precision;

/// Opens the best adapter, or the one that `ASKEM_TEST_ADAPTER` names a part of, and says which one it is.
///
/// # Panics
/// If there is none: a test on a GPU without a GPU proves nothing.
pub(crate) fn open(test: &str) -> GpuExecutor {
    open_at(test, Precision::F32).expect("the adapter opens")
}

/// The same in a precision; an error where the adapter does not have it.
///
/// # Errors
/// As [`GpuExecutor::new`].
///
/// # Panics
/// As [`open`].
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
    let what = opened.as_ref().map_or_else(ToString::to_string, |_| precision.to_string());
    let (name, backend, kind) = (adapter.name(), adapter.backend(), adapter.kind());
    writeln!(io::stderr(), "{test} on {name} ({backend}, {kind}): {what}").ok();
    opened
}
