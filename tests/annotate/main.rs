//! A person in the loop, from the outside: the real program with tiny networks on the processor,
//! its server over loopback, and its page in a browser.
//!
//! `./test.sh` installs the browser; without one its tests fail. `ASKEM_BIN` is the program to
//! test (default: `askem` in the target directory of this test).

mod browser;
mod client;
mod in_a_browser;
#[path = "../shared/program.rs"]
#[allow(dead_code)]
mod program;
mod project;
mod same_as_simulated;
mod serving;
#[path = "../shared/tools.rs"]
mod tools;
#[path = "../shared/white_is_zero.rs"]
mod white_is_zero;
mod world;
