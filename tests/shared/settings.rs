//! What the environment asks of the tests.

use std::env;

/// The number in an environment variable.
///
/// # Panics
/// If it is not one: a mistyped setting must not pass for the default.
pub(crate) fn number(name: &str, default: u32) -> u32 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}
