//! The world a plan runs in: users, their devices, and whoever else writes.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::{
    plan::{Activity, Plan, Shape, Step, Verb, Write},
    sql::Tables,
    values,
};
use crate::support::{
    app_for_devices::AppForDevices,
    device::{Appetite, Attempt, Device, Trouble, schema::TABLES, transport::Fault},
    history::Historian,
};

/// One user: a scope of its own.
struct User {
    id: String,
    token: String,
    historian: Historian,
    /// What plain SQL has committed.
    sql: Vec<Attempt>,
}

/// One seat for an installation; the installation in it may be replaced.
struct Seat {
    user: usize,
    shape: Shape,
    device: Device,
    backup: Option<Device>,
    installations: u32,
    /// Those that were here before: what they got acknowledged stays true.
    former: Vec<Device>,
}

pub(crate) struct World {
    app: AppForDevices,
    tables: Tables,
    users: Vec<User>,
    seats: Vec<Seat>,
    /// Makes every written text another one.
    writes: u32,
}

impl World {
    /// `run` is unlike that of any other world of the app.
    pub(crate) async fn new(app: &AppForDevices, run: u32, plan: &Plan) -> Self {
        let mut users = Vec::new();
        for n in 0..plan.users {
            let id = format!("run {run} user {n} é");
            let token = app.token(&id).await;
            let historian = Historian::new(app.device(&format!("historian-{run}-{n}"), &token));
            users.push(User { id, token, historian, sql: Vec::new() });
        }
        let seats = plan.devices.iter().enumerate().map(|(n, shape)| {
            let user = n % plan.users;
            let device = settled(app.device(&format!("device-{n}"), &users[user].token), shape);
            Seat { user, shape: shape.clone(), device, backup: None, installations: 1, former: Vec::new() }
        });
        let seats = seats.collect();
        Self { app: app.clone(), tables: Tables::of(app), users, seats, writes: 0 }
    }

    pub(crate) async fn step(&mut self, step: &Step) {
        match step {
            Step::Write { device, writes } => {
                let seat = self.seat(*device);
                for write in writes {
                    self.write(seat, write);
                }
            }
            Step::Do(activities) => self.do_at_once(activities).await,
            Step::Prune { user, keep } => {
                let user = usize::from(*user) % self.users.len();
                self.catch_up(user).await;
                // The latest bundle always stays: a device that has it has nothing to rebuild.
                let floor = self.users[user].historian.latest() - 1 - i64::from(*keep);
                if floor > 0 {
                    self.tables.prune(&self.users[user].id, floor).await;
                }
            }
            Step::Backup { device } => {
                let seat = self.seat(*device);
                self.seats[seat].backup = Some(self.seats[seat].device.clone());
            }
            Step::Restore { device } => {
                let seat = self.seat(*device);
                if let Some(backup) = self.seats[seat].backup.clone() {
                    self.seats[seat].device = backup;
                    self.seats[seat].device.was_restored = true;
                }
            }
            Step::Reinstall { device } => {
                let n = self.seat(*device);
                let seat = &mut self.seats[n];
                seat.installations += 1;
                let name = format!("device-{n}-{}", seat.installations);
                let device = settled(self.app.device(&name, &self.users[seat.user].token), &seat.shape);
                seat.former.push(std::mem::replace(&mut seat.device, device));
                seat.backup = None;
            }
        }
    }

    fn seat(&self, pick: u8) -> usize {
        usize::from(pick) % self.seats.len()
    }

    fn write(&mut self, seat: usize, write: &Write) {
        self.writes += 1;
        let marker = format!("{} #{}", self.users[self.seats[seat].user].id, self.writes);
        let device = &mut self.seats[seat].device;
        let id = values::key(&TABLES[usize::from(write.table) % TABLES.len()], write.key);
        match write.verb {
            Verb::Delete => drop(device.delete(&id)),
            Verb::Put => {
                if let Some(row) = values::row(&id, &marker, write.seed, device.rows()) {
                    device.put(id, row);
                }
            }
        }
    }

    /// Run activities concurrently. Of two that need the same device, or the same user's SQL, the second is left out.
    async fn do_at_once(&mut self, activities: &[Activity]) {
        let (mut busy, mut writing) = (BTreeSet::new(), BTreeSet::new());
        let mut on_devices: Vec<Option<&Activity>> = vec![None; self.seats.len()];
        let mut in_sql: Vec<Option<&Write>> = vec![None; self.users.len()];
        for activity in activities {
            match activity {
                Activity::Push { device, .. }
                | Activity::Pull { device, .. }
                | Activity::Sync { device, .. }
                | Activity::Rebuild { device, .. }
                | Activity::Stale { device, .. } => {
                    let seat = self.seat(*device);
                    if busy.insert(seat) {
                        on_devices[seat] = Some(activity);
                    }
                }
                Activity::Sql { user, write } => {
                    let user = usize::from(*user) % self.users.len();
                    if writing.insert(user) {
                        in_sql[user] = Some(write);
                    }
                }
            }
        }
        self.writes += 1;
        let number = self.writes;
        let devices = self
            .seats
            .iter_mut()
            .zip(on_devices)
            .filter_map(|(seat, activity)| activity.map(|activity| act(&mut seat.device, activity)));
        let tables = &self.tables;
        let writers = self
            .users
            .iter_mut()
            .zip(in_sql)
            .filter_map(|(user, write)| write.map(|write| write_sql(tables, user, write, number)));
        tokio::join!(join_all(devices), join_all(writers));
    }

    /// Everything that anybody tried in a user's scope.
    fn attempts(&self, user: usize) -> Vec<Attempt> {
        let seats = self.seats.iter().filter(|seat| seat.user == user);
        let devices = seats.flat_map(|seat| seat.former.iter().chain([&seat.device]));
        devices
            .flat_map(|device| device.journal.attempts())
            .chain(self.users[user].sql.iter().cloned())
            .collect()
    }

    async fn catch_up(&mut self, user: usize) {
        let attempts = self.attempts(user);
        let User { id, historian, .. } = &mut self.users[user];
        historian.catch_up(&attempts, id).await;
    }

    /// Let every device sync on a perfect network until nothing changes any more, then hold everything against
    /// everything.
    pub(crate) async fn check(mut self) {
        for seat in &mut self.seats {
            seat.device.transport.faults.clear();
        }
        let mut before = Vec::new();
        for round in 0.. {
            assert!(round < 30, "the devices do not come to rest");
            if round == 3 {
                // Who was filling a scope may have been installed anew.
                for user in &self.users {
                    self.tables.expire_lease(&user.id).await;
                }
            }
            let mut at_rest = true;
            for seat in &mut self.seats {
                let synced = seat.device.sync().await;
                assert!(matches!(synced, Ok(()) | Err(Trouble::Later)), "{}: {synced:?}", seat.device.name);
                at_rest &= synced.is_ok();
            }
            for user in 0..self.users.len() {
                self.catch_up(user).await;
            }
            let latest: Vec<_> = self.users.iter().map(|user| user.historian.latest()).collect();
            if at_rest && latest == before {
                break;
            }
            before = latest;
        }
        for user in 0..self.users.len() {
            self.check_user(user).await;
        }
    }

    async fn check_user(&self, user: usize) {
        let attempts = self.attempts(user);
        let User { id, token, historian, .. } = &self.users[user];
        let past = historian.past();
        past.assert_acknowledged(self.app.profile, &attempts);

        let stored = self.tables.rows(id).await;
        assert_same("the bundles and the server's tables", &past.rows, &stored);
        assert_eq!(self.tables.unsealed(id).await, 0, "effects were left behind");
        for seat in self.seats.iter().filter(|seat| seat.user == user) {
            assert_eq!(seat.device.checkpoint(), historian.latest(), "{} is behind", seat.device.name);
            assert_same(&format!("the bundles and {}", seat.device.name), &past.rows, seat.device.rows());
            past.assert_versions(seat.device.known());
        }
        if historian.latest() > 0 {
            let mut newcomer = self.app.device("newcomer", token);
            newcomer.rebuild().await.expect("a snapshot");
            assert_eq!(newcomer.checkpoint(), historian.latest());
            assert_same("the bundles and a snapshot", &past.rows, newcomer.rows());
            past.assert_versions(newcomer.known());
        }
    }
}

fn assert_same(
    what: &str,
    one: &crate::support::device::store::Store,
    other: &crate::support::device::store::Store,
) {
    let differences = one.differences(other);
    assert!(differences.is_empty(), "{what} differ:\n{}", differences.join("\n"));
}

fn settled(mut device: Device, shape: &Shape) -> Device {
    device.resolution = shape.resolution;
    device.leaves_cascades_to_server = shape.leaves_cascades_to_server;
    device.uploads_backwards = shape.uploads_backwards;
    let rows = [1, 2, 5, 1000][usize::from(shape.appetite % 4)];
    device.appetite = Appetite {
        rows_per_chunk: rows,
        rows_per_replay: rows,
        bundles_per_pull: rows,
        rows_per_snapshot_chunk: rows,
        bytes_per_snapshot_chunk: [64, 300, 2000, 1_000_000][usize::from(shape.appetite % 4)],
    };
    device
}

/// Do one thing; what trouble it runs into is for later activities to get out of.
async fn act(device: &mut Device, activity: &Activity) {
    let faults = match activity {
        Activity::Push { faults, .. }
        | Activity::Pull { faults, .. }
        | Activity::Sync { faults, .. }
        | Activity::Rebuild { faults, .. } => faults.as_slice(),
        Activity::Stale { .. } | Activity::Sql { .. } => &[],
    };
    device.transport.faults = faults.iter().copied().collect::<std::collections::VecDeque<Fault>>();
    let _trouble = match activity {
        Activity::Push { .. } => device.push().await,
        Activity::Pull { .. } => device.pull().await,
        Activity::Sync { .. } => device.sync().await,
        Activity::Rebuild { .. } => device.rebuild().await,
        Activity::Stale { pick, .. } => {
            device.transport.repeat_stale(usize::from(*pick)).await;
            Ok(())
        }
        Activity::Sql { .. } => unreachable!("SQL is nobody's device"),
    };
    device.transport.faults.clear();
}

async fn write_sql(tables: &Tables, user: &mut User, write: &Write, number: u32) {
    let marker = format!("{} sql #{number}", user.id);
    let id = values::key(&TABLES[usize::from(write.table) % TABLES.len()], write.key);
    let row = match write.verb {
        Verb::Delete => None,
        Verb::Put => match values::row(&id, &marker, write.seed, &user.historian.past().rows) {
            Some(row) => Some(row),
            None => return,
        },
    };
    let committed = tables.write(&user.id, &id, row.as_ref(), user.sql.len() as i64 + 1).await;
    user.sql.extend(committed);
}
