//! What this machine has.

use std::thread::available_parallelism;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Assumed where it cannot be told, MiB.
const SMALL_MEMORY: u64 = 2_048;

/// Cores that we may use; where it cannot be told, one.
pub fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Memory of this machine, or of the container that we are in, in MiB; where it cannot be told, that of a small machine.
pub(super) fn memory() -> u64 {
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let Ok(system) = System::new_with_specifics(wanted) else { return SMALL_MEMORY };
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    system.total_memory().min(limit) / (1024 * 1024)
}
