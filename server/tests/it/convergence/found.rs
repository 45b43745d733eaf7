//! What drawn runs found, a plan in thousands, run each time.

use super::{
    live,
    plan::{Activity, Plan, Shape, Step, Verb, Write},
};
use crate::support::{
    app_for_devices::{AppForDevices, app_for_devices},
    device::{Resolution, schema::Profile},
};

/// Places in [`crate::support::device::schema::TABLES`].
const USERS: u8 = 0;
const FOLDERS: u8 = 1;
const NOTES: u8 = 3;
const COMMENTS: u8 = 4;

/// A device takes over another's note whose user it has deleted itself, so the server's cascade takes the device's new comment
/// along in the bundle that would insert it, which is nothing in that bundle.
#[tokio::test]
async fn a_row_that_goes_in_the_bundle_that_would_insert_it_is_gone_from_its_device() {
    let steps = vec![
        write(0, &[put(USERS)]),
        sync(0),
        sync(1),
        write(0, &[put(NOTES)]),
        sync(0),
        write(1, &[Write { key: 1, ..put(USERS) }, delete(USERS), put(NOTES), put(COMMENTS)]),
        sync(1),
    ];
    for app in run(steps).await {
        assert_eq!(app.tally.of("conflicts"), 1);
    }
}

/// A device that was restored from a backup reads all rows anew and then uploads what was uploaded before: the server says
/// that it has that bundle, but not that its row was deleted since.
#[tokio::test]
async fn a_restored_device_does_not_bring_back_what_was_deleted() {
    let steps = vec![
        write(0, &[put(USERS)]),
        sync(0),
        write(0, &[put(FOLDERS)]),
        Step::Backup { device: 0 },
        sync(0),
        write(0, &[delete(FOLDERS)]),
        sync(0),
        Step::Restore { device: 0 },
        Step::Do(vec![Activity::Rebuild { device: 0, faults: vec![] }]),
        sync(0),
    ];
    for app in run(steps).await {
        assert_eq!(app.tally.of("commits heard of later"), 1);
    }
}

/// The steps with two devices of one user, in each profile.
async fn run(steps: Vec<Step>) -> Vec<AppForDevices> {
    let device = Shape {
        resolution: Resolution::ServerWins,
        leaves_cascades_to_server: false,
        uploads_backwards: false,
        appetite: 3,
    };
    let plan = Plan { users: 1, devices: vec![device.clone(), device], steps };
    let mut apps = Vec::new();
    for profile in Profile::BOTH {
        let app = app_for_devices(profile).await;
        live(&app, 1, &plan).await;
        apps.push(app);
    }
    apps
}

fn put(table: u8) -> Write {
    Write { verb: Verb::Put, table, key: 0, seed: 0 }
}

fn delete(table: u8) -> Write {
    Write { verb: Verb::Delete, ..put(table) }
}

fn write(device: u8, writes: &[Write]) -> Step {
    Step::Write { device, writes: writes.to_vec() }
}

fn sync(device: u8) -> Step {
    Step::Do(vec![Activity::Sync { device, faults: vec![] }])
}
