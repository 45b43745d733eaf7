//! What a run does: drawn by proptest, shrunk by proptest.
//!
//! Numbers are picks, taken modulo whatever is there when the step runs, so that every shorter plan is a plan too.

use proptest::{collection::vec, prelude::*};

use crate::support::device::{Resolution, transport::Fault};

/// One run: who takes part, and what happens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// 1 to 3 scopes.
    pub(crate) users: usize,
    /// 3 to 6 installations; the n-th belongs to user n modulo `users`.
    pub(crate) devices: Vec<Shape>,
    pub(crate) steps: Vec<Step>,
}

/// The habits of one device.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) resolution: Resolution,
    pub(crate) leaves_cascades_to_server: bool,
    pub(crate) uploads_backwards: bool,
    /// How much it asks for at a time.
    pub(crate) appetite: u8,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Change rows locally.
    Write { device: u8, writes: Vec<Write> },
    /// One activity; or several at the same time, at most one a device and one of SQL a user.
    Do(Vec<Activity>),
    /// Forget history but for the latest bundle and so many before it.
    Prune { user: u8, keep: u8 },
    /// Remember a device as it is now.
    Backup { device: u8 },
    /// Put the remembered device in place of the one that went on.
    Restore { device: u8 },
    /// Install anew: no rows, another source.
    Reinstall { device: u8 },
}

#[derive(Debug, Clone)]
pub(crate) enum Activity {
    Push {
        device: u8,
        faults: Vec<Fault>,
    },
    Pull {
        device: u8,
        faults: Vec<Fault>,
    },
    Sync {
        device: u8,
        faults: Vec<Fault>,
    },
    Rebuild {
        device: u8,
        faults: Vec<Fault>,
    },
    /// An old request arrives again.
    Stale {
        device: u8,
        pick: u8,
    },
    /// The tenant's own program writes with SQL, as the app's role.
    Sql {
        user: u8,
        write: Write,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) verb: Verb,
    pub(crate) table: u8,
    pub(crate) key: u8,
    /// Where the values come from.
    pub(crate) seed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Put,
    Delete,
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    (1_usize..=3, vec(shape(), 3..=6), vec(step(), 1..=120)).prop_map(|(users, devices, steps)| Plan {
        users,
        devices,
        steps,
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    let resolution =
        prop_oneof![Just(Resolution::ServerWins), Just(Resolution::ClientWins), Just(Resolution::Merge),];
    (resolution, any::<bool>(), any::<bool>(), 0_u8..4).prop_map(
        |(resolution, leaves_cascades_to_server, uploads_backwards, appetite)| Shape {
            resolution,
            leaves_cascades_to_server,
            uploads_backwards,
            appetite,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let device = || 0_u8..6;
    prop_oneof![
        10 => (device(), vec(write(), 1..=6)).prop_map(|(device, writes)| Step::Write { device, writes }),
        8 => activity().prop_map(|one| Step::Do(vec![one])),
        5 => vec(activity(), 2..=4).prop_map(Step::Do),
        2 => (0_u8..3, 0_u8..4).prop_map(|(user, keep)| Step::Prune { user, keep }),
        1 => device().prop_map(|device| Step::Backup { device }),
        2 => device().prop_map(|device| Step::Restore { device }),
        1 => device().prop_map(|device| Step::Reinstall { device }),
    ]
}

fn activity() -> impl Strategy<Value = Activity> {
    let device = || 0_u8..6;
    prop_oneof![
        3 => (device(), faults()).prop_map(|(device, faults)| Activity::Push { device, faults }),
        2 => (device(), faults()).prop_map(|(device, faults)| Activity::Pull { device, faults }),
        8 => (device(), faults()).prop_map(|(device, faults)| Activity::Sync { device, faults }),
        1 => (device(), faults()).prop_map(|(device, faults)| Activity::Rebuild { device, faults }),
        1 => (device(), any::<u8>()).prop_map(|(device, pick)| Activity::Stale { device, pick }),
        2 => (0_u8..3, write()).prop_map(|(user, write)| Activity::Sql { user, write }),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let verb = prop_oneof![4 => Just(Verb::Put), 1 => Just(Verb::Delete)];
    (verb, 0_u8..5, any::<u8>(), any::<u32>()).prop_map(|(verb, table, key, seed)| Write {
        verb,
        table,
        key,
        seed,
    })
}

/// Mostly nothing; else what the first requests of an activity run into.
fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        6 => Just(Fault::None),
        2 => Just(Fault::LoseAnswer),
        1 => Just(Fault::HangUp),
        1 => Just(Fault::Twice),
        1 => Just(Fault::TwiceHearSecond),
        1 => Just(Fault::TwiceAtOnce),
        1 => any::<u8>().prop_map(Fault::AfterStale),
    ];
    prop_oneof![2 => Just(Vec::new()), 3 => vec(fault, 1..=8)]
}
