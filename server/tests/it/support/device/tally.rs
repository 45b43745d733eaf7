//! How often what happened to devices: a test whose devices never met would prove nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Counts by name. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Tally {
    pub(crate) fn count(&self, what: &'static str) {
        *self.0.lock().expect("no test panicked with it").entry(what).or_default() += 1;
    }

    pub(crate) fn of(&self, what: &str) -> u32 {
        self.0.lock().expect("no test panicked with it").get(what).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.0.lock().expect("no test panicked with it");
        let counts: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}
