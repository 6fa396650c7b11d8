//! What every executor asks of a plan before it obeys.

use crate::compute::plan::{BufferId, Plan, Section, Storage};
use crate::error::{Error, Result};

/// The section to run.
pub(crate) fn section<'a>(plan: &'a Plan, name: &str) -> Result<&'a Section> {
    plan.section(name).ok_or_else(|| {
        let names: Vec<_> = plan.sections.iter().map(|s| s.name).collect();
        Error::Device(format!(
            "{}: there is no section `{name}` among {}",
            plan.name,
            names.join(", ")
        ))
    })
}

/// Whether the host may write or read the first `len` elements of a buffer.
pub(crate) fn host_access(plan: &Plan, buffer: BufferId, len: usize) -> Result<()> {
    let about = &plan.buffers[buffer.index()];
    if about.storage == Storage::Transient {
        return Err(Error::Device(format!(
            "{}: `{}` is transient: its contents last only within a run",
            plan.name, about.name
        )));
    }
    if len > about.len {
        return Err(Error::Device(format!(
            "{}: `{}` holds {} elements where {len} are asked for",
            plan.name, about.name, about.len
        )));
    }
    Ok(())
}

/// Whether a shared buffer that exists has the length that another plan expects.
pub(crate) fn same_length(plan: &Plan, name: &str, expected: usize, exists: usize) -> Result<()> {
    if expected == exists {
        return Ok(());
    }
    Err(Error::Device(format!(
        "{}: the shared buffer `{name}` holds {exists} elements where the plan expects {expected}",
        plan.name
    )))
}
