//! The adapter that GPU tests run on.

use std::env;
use std::io::{self, Write as _};

use askem::gpu::{Adapter, GpuExecutor, adapters};

/// Opens the best adapter, or the one that `ASKEM_TEST_ADAPTER` names a part of, and says which one it is.
///
/// # Panics
/// If there is none: a test on a GPU without a GPU proves nothing.
pub(crate) fn open(test: &str) -> GpuExecutor {
    let wanted = env::var("ASKEM_TEST_ADAPTER").unwrap_or_default().to_lowercase();
    let all = adapters();
    let found = all.iter().find(|adapter| adapter.name().to_lowercase().contains(&wanted));
    let Some(adapter) = found else {
        let names: Vec<_> = all.iter().map(Adapter::name).collect();
        panic!(
            "no adapter like `{wanted}` among {names:?}: a GPU's Vulkan driver is needed, or the software \
             driver (Debian: apt-get install mesa-vulkan-drivers libvulkan1)"
        );
    };
    // Past the capture of output, so that a passing run says it too. A message that is not seen changes nothing.
    let (name, backend, kind) = (adapter.name(), adapter.backend(), adapter.kind());
    writeln!(io::stderr(), "{test} on {name} ({backend}, {kind})").ok();
    GpuExecutor::new(adapter).expect("the adapter opens")
}
