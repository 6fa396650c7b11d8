//! The `askem` program; see [`askem::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    quieten_drivers();
    askem::cli::main()
}

/// Mesa's choice of a device asks for a Wayland server, and its library complains on standard error where
/// no folder for its socket is named, as on servers and in containers. Any folder without one serves.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn quieten_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: nothing has started a thread yet that could read the environment meanwhile.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

#[cfg(not(target_os = "linux"))]
fn quieten_drivers() {}
