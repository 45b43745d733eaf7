//! Panics that say nothing, on one thread and for a while.

use std::{cell::Cell, panic, sync::Once};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// For as long as this lives, panics of the thread that made it are not printed.
pub(crate) struct Quiet(());

pub(crate) fn this_thread() -> Quiet {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    Quiet(())
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(false);
    }
}
