//! Do the scripts of examples/cluster score a pool on real engines, through the loss of a process, and choose what one process chooses?
//!
//! Processes are found in /proc.
#![cfg(target_os = "linux")]

#[path = "../shared/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../shared/tools.rs"]
mod tools;

mod engines;
mod pool;
mod slurm;
