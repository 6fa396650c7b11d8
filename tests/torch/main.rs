//! askem against PyTorch.
//!
//! - `ops`: every op against values that make_fixtures.py stored;
//! - `training_step`: one step of the whole network against such values;
//! - `weights`: weights.safetensors opened by examples/load_in_torch.py. This one needs Python with torch and
//!   safetensors (`python3`, or what `ASKEM_PYTHON` names) and says so by name where it cannot run.

#[path = "../shared/compare.rs"]
mod compare;
mod expose;
mod fixtures;
#[path = "../shared/memory.rs"]
mod memory;
mod ops;
#[path = "../shared/run_plan.rs"]
mod run_plan;
mod training_step;
mod weights;
