//! Are scores of large pools the same however the work is cut, and what is chosen from them right?

mod choices;
mod damage;
mod owners;
mod parts;
#[path = "../shared/program.rs"]
#[allow(dead_code)]
mod program;
mod segmentations;
mod world;
