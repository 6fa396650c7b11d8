//! The command line from the outside: the real program with tiny settings on the processor.
//!
//! Environment:
//! - `ASKEM_BIN`: the program to test (default: `askem` in the target directory of this test);
//! - `ASKEM_TEST_DATA`: a folder with real volumes; without it their tests say that they are not run.

mod axes;
mod bad_data;
mod bad_options;
mod boxes;
mod classes;
mod completions;
mod datasets;
mod determinism;
mod directories;
mod disk;
mod formats;
mod gpu_day;
mod grey_values;
mod images;
mod instances;
mod interruption;
mod label_files;
mod longer;
mod mirror_images;
mod networks;
mod pipes;
mod pixel_sizes;
mod precisions;
#[path = "../shared/program.rs"]
#[allow(dead_code)]
mod program;
mod real_data;
mod results;
mod several_volumes;
mod shared_pixels;
mod sizes;
mod stopping;
mod strategies;
#[path = "../shared/tiny.rs"]
mod tiny;
mod tools;
mod training;
mod trust;
#[path = "../shared/white_is_zero.rs"]
mod white_is_zero;
