//! The settings of tiny experiments.

/// Options of an experiment of seconds on the processor, without seed, data and output.
pub(crate) const UNSEEDED: [&str; 18] = [
    "--device",
    "cpu",
    "--patch",
    "32",
    "--width",
    "2",
    "--pool",
    "12",
    "--initial",
    "4",
    "--query",
    "3",
    "--iterations",
    "2",
    "--epochs",
    "2",
    "--finetune-epochs",
    "1",
];
