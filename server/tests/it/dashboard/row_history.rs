//! What happened to a row, and the ways back: a version restored, a bundle undone; devices receive both.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::{
    collection::vec,
    prelude::any,
    test_runner::{Config, TestRunner},
};
use reqwest::{Client, StatusCode};
use syncline::tables::spec::WireProfile;
use tokio::sync::Mutex;

use crate::{
    convergence::values,
    support::{
        app::{TestApp, TestSyncApp},
        browser::{Browser, Page},
        device::{
            Device,
            schema::{DDL, Profile, RowId, TABLES, Value},
            store::Store,
            transport::Transport,
        },
    },
};

const APP: &str = "/d/acme/notes";

async fn device(app: &TestSyncApp, profile: Profile, user: &str, name: &str) -> Device {
    Device::new(name, profile, Transport::new(Client::new(), &app.base_url, app.token(user).await))
}

/// Two devices of `ada`, of which the first has pushed a user with two notes (bundle 1).
async fn with_notes(app: &TestApp) -> (Browser, Device, Device) {
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let mut phone = device(&notes, Profile::Strings, "ada", "phone").await;
    let laptop = device(&notes, Profile::Strings, "ada", "laptop").await;
    for (table, pick) in [(0, 0), (3, 1), (3, 2)] {
        put(&mut phone, table, pick, 7);
    }
    phone.sync().await.unwrap();
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    (browser, phone, laptop)
}

fn put(device: &mut Device, table: usize, pick: u8, seed: u32) -> bool {
    let id = values::key(&TABLES[table], pick);
    match values::row(&id, "ada", seed, device.rows()) {
        Some(row) => device.put(id, row),
        None => false,
    }
}

/// Post the form of `page` that leads to a preview at `preview`, and confirm what it shows at `action`.
async fn confirmed(browser: &mut Browser, page: &str, preview: &str, action: &str) -> Page {
    let shown = browser.submit(page, preview, &[]).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.html);
    browser.post(action, &shown.form(action)).await
}

fn note(pick: u8) -> (RowId, String) {
    let id = values::key(&TABLES[3], pick);
    let page = format!("{APP}/history/ada/rows/notes/{}", id.key);
    (id, page)
}

#[tokio::test]
async fn an_erased_row_is_restored_and_every_device_has_it_again() {
    let app = TestApp::start().await;
    let (mut browser, mut phone, mut laptop) = with_notes(&app).await;
    let (id, page) = note(1);
    let erased = phone.rows().get(&id).cloned().unwrap();
    phone.delete(&id);
    phone.sync().await.unwrap();
    laptop.sync().await.unwrap();
    assert!(laptop.rows().get(&id).is_none());
    app.state().engine.write_device_facts().await;

    let history = browser.get(&page).await;
    assert_eq!(history.texts(".versions tbody th"), ["2 current", "1"], "{}", history.html);
    assert!(history.text(".row-state").contains("Bundle 2 deleted it"), "{}", history.html);
    let (preview, restore) = (format!("{page}/restore/preview"), format!("{page}/restore"));
    let shown = browser.submit(&page, &preview, &[]).await;
    assert_eq!(shown.text("#consequence"), "1 row in notes is inserted; 2 devices receive this as bundle 3.");
    let written = browser.post(&restore, &shown.form(&restore)).await;
    assert_eq!(written.location(), format!("{APP}/history/ada/3"));
    let bundle = browser.follow(&written).await;
    assert!(bundle.text(".notice").contains("Done, as bundle 3"), "{}", bundle.html);
    assert!(bundle.text(".facts").contains("owner@acme.example"), "{}", bundle.html);

    for device in [&mut phone, &mut laptop] {
        device.sync().await.unwrap();
        assert_eq!(device.rows().get(&id), Some(&erased));
    }
    let history = browser.get(&page).await;
    assert_eq!(history.texts(".versions tbody th"), ["3 current", "2", "1"], "{}", history.html);
    let done = browser.get("/d/acme/audit").await.texts("tbody td[data-label=What]");
    assert!(done.contains(&"row.restored".to_owned()), "{done:?}");
}

#[tokio::test]
async fn a_row_changed_since_the_preview_is_shown_anew_and_not_overwritten() {
    let app = TestApp::start().await;
    let (mut browser, mut phone, _) = with_notes(&app).await;
    let (id, page) = note(1);
    put(&mut phone, 3, 1, 8);
    phone.sync().await.unwrap();
    let (preview, restore) = (format!("{page}/restore/preview"), format!("{page}/restore"));
    let shown = browser.submit(&page, &preview, &[("version", "1")]).await;
    assert!(shown.text("#consequence").contains("bundle 3"), "{}", shown.html);

    put(&mut phone, 3, 1, 9);
    phone.sync().await.unwrap();
    let newest = phone.rows().get(&id).cloned();
    let renewed = browser.post(&restore, &shown.form(&restore)).await;
    assert_eq!(renewed.status, StatusCode::CONFLICT);
    assert!(renewed.text(".notice").contains("have changed since you looked"), "{}", renewed.html);
    phone.sync().await.unwrap();
    assert_eq!(phone.rows().get(&id).cloned(), newest, "nothing was written");

    let written = browser.post(&restore, &renewed.form(&restore)).await;
    assert_eq!(written.location(), format!("{APP}/history/ada/4"));
}

#[tokio::test]
async fn what_later_bundles_touched_stays_out_of_an_undo_unless_it_is_chosen() {
    let app = TestApp::start().await;
    let (mut browser, mut phone, mut laptop) = with_notes(&app).await;
    let (first, second) = (note(1).0, note(2).0);
    let before = (phone.rows().get(&first).cloned(), phone.rows().get(&second).cloned());
    // Bundle 2 changes both notes, bundle 3 the second one again.
    put(&mut phone, 3, 1, 20);
    put(&mut phone, 3, 2, 21);
    phone.sync().await.unwrap();
    put(&mut phone, 3, 2, 22);
    phone.sync().await.unwrap();
    let later = phone.rows().get(&second).cloned();

    let bundle = format!("{APP}/history/ada/2");
    let (preview, undo) = (format!("{bundle}/undo/preview"), format!("{bundle}/undo"));
    let shown = browser.submit(&bundle, &preview, &[]).await;
    assert_eq!(
        shown.text(".write-choices legend"),
        "A later bundle touched one of the rows",
        "{}",
        shown.html
    );
    assert!(shown.text(".write-choices").contains("changed by bundle 3"), "{}", shown.html);
    assert!(shown.text("#consequence").starts_with("1 row in notes changes"), "{}", shown.html);
    let field = shown.attribute(".write-choices input[type=checkbox]", "name").unwrap();

    let written = browser.post(&undo, &shown.form(&undo)).await;
    assert_eq!(written.location(), format!("{APP}/history/ada/4"), "{}", written.html);
    laptop.sync().await.unwrap();
    assert_eq!(laptop.rows().get(&first).cloned(), before.0);
    assert_eq!(laptop.rows().get(&second).cloned(), later);

    // Chosen, it is overwritten; the first row is as it was already and touched by the undo itself.
    let mut fields = shown.form(&preview);
    fields.push((field, "1".to_owned()));
    let shown = browser.post(&preview, &fields).await;
    assert!(shown.texts(".write-choices input[checked]").len() == 1, "{}", shown.html);
    let written = browser.post(&undo, &shown.form(&undo)).await;
    assert_eq!(written.location(), format!("{APP}/history/ada/5"), "{}", written.html);
    for device in [&mut phone, &mut laptop] {
        device.sync().await.unwrap();
        assert_eq!(device.rows().get(&second).cloned(), before.1);
    }
}

#[tokio::test]
async fn an_undo_that_a_rule_forbids_says_which_and_changes_nothing() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, DDL).await;
    let mut phone = device(&notes, Profile::Strings, "ada", "phone").await;
    put(&mut phone, 1, 0, 1);
    phone.sync().await.unwrap();
    put(&mut phone, 0, 0, 1);
    let mut note = values::row(&note(1).0, "ada", 1, phone.rows()).unwrap();
    note.insert("folder_id", Value::Text(values::key(&TABLES[1], 0).key));
    assert!(phone.put(self::note(1).0, note));
    phone.sync().await.unwrap();
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    // The folder that bundle 1 brought has a note by now, which refuses to lose it.
    let shown = browser
        .submit(&format!("{APP}/history/ada/1"), &format!("{APP}/history/ada/1/undo/preview"), &[])
        .await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", shown.html);
    assert!(shown.text(".write-refused").contains("refers to a row"), "{}", shown.html);
    assert!(shown.text(".write-refused").contains("folder_id"), "{}", shown.html);
    assert_eq!(browser.get(&format!("{APP}/history/ada/3")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_restored_or_undone() {
    let app = TestApp::start().await;
    let (mut browser, _, _) = with_notes(&app).await;
    let (_, page) = note(1);
    let token = browser.get(&page).await.csrf();
    for (path, version) in [
        (format!("{page}/restore/preview"), "99"),
        (format!("{page}/restore/preview"), "-1"),
        (format!("{page}/restore"), "0"),
        (format!("{APP}/history/ada/rows/notes/x/restore"), "1"),
        (format!("{APP}/history/ada/rows/nothing/x/restore"), "1"),
        (format!("{APP}/history/ada/7/undo"), "1"),
        (format!("{APP}/history/ada/-7/undo/preview"), "1"),
        (format!("{APP}/history/eve/1/undo"), "1"),
    ] {
        let fields = [("csrf_token".to_owned(), token.clone()), ("version".to_owned(), version.to_owned())];
        let page = browser.post(&path, &fields).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}: {}", page.html);
    }
    for path in ["history/ada/rows/notes/%00", "history/ada/rows/notes/x", "history/%00/rows/notes/x"] {
        assert_eq!(browser.get(&format!("{APP}/{path}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // A token that nobody was given leads back to the preview.
    let undo = format!("{APP}/history/ada/1/undo");
    let fields = [("csrf_token".to_owned(), token), ("preview".to_owned(), "0".repeat(63))];
    let shown = browser.post(&undo, &fields).await;
    assert_eq!((shown.status, shown.texts("#consequence").len()), (StatusCode::OK, 1), "{}", shown.html);
}

/// One change of a drawn bundle: the table, the key, the values, and whether it deletes.
type Change = (u8, u8, u32, bool);

fn change(device: &mut Device, (table, pick, seed, deletes): Change) {
    let table = usize::from(table) % TABLES.len();
    if deletes {
        device.delete(&values::key(&TABLES[table], pick));
    } else {
        put(device, table, pick, seed);
    }
}

#[test]
fn an_undone_bundle_leaves_the_rows_from_before_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (wire, profile) in
        [(WireProfile::Strings, Profile::Strings), (WireProfile::Numbers, Profile::Numbers)]
    {
        let (app, notes, browser) = runtime.block_on(async {
            let app = TestApp::start().await;
            let notes = app.create_app(wire, DDL).await;
            let mut browser = app.browser();
            browser.sign_in("owner@acme.example").await.location();
            (app, notes, Mutex::new(browser))
        });
        let (users, undone) = (AtomicU32::new(1), AtomicU32::new(0));
        let changes = || vec((any::<u8>(), any::<u8>(), any::<u32>(), proptest::bool::weighted(0.3)), 1..9);
        let plans = (vec(changes(), 1..4), changes());
        let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&plans, |(bundles, last)| {
                let user = format!("user-{}", users.fetch_add(1, Ordering::Relaxed));
                let was_undone = runtime.block_on(async {
                    let mut device = device(&notes, profile, &user, "phone").await;
                    undo_last(&mut *browser.lock().await, &notes, &mut device, &user, (bundles, last)).await
                });
                undone.fetch_add(u32::from(was_undone), Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
        assert!(undone.load(Ordering::Relaxed) > 8, "hardly a bundle was undone");
        drop(app);
    }
}

/// Push the bundles, undo the last one in the browser, and see what a second device gets. False: it did nothing.
async fn undo_last(
    browser: &mut Browser,
    app: &TestSyncApp,
    device: &mut Device,
    user: &str,
    (bundles, last): (Vec<Vec<Change>>, Vec<Change>),
) -> bool {
    for bundle in bundles {
        bundle.into_iter().for_each(|drawn| change(device, drawn));
        device.sync().await.unwrap();
    }
    let before: Store = device.rows().clone();
    let checkpoint = device.checkpoint();
    last.into_iter().for_each(|drawn| change(device, drawn));
    device.sync().await.unwrap();
    if device.checkpoint() != checkpoint + 1 {
        return false;
    }
    let bundle = format!("{APP}/history/{user}/{}", device.checkpoint());
    let (preview, undo) = (format!("{bundle}/undo/preview"), format!("{bundle}/undo"));
    let written = confirmed(browser, &bundle, &preview, &undo).await;
    assert!(written.status.is_redirection(), "{}", written.html);
    let mut other = self::device(app, device.profile, user, "laptop").await;
    other.sync().await.unwrap();
    device.sync().await.unwrap();
    assert!(other.rows().differences(&before).is_empty(), "{:#?}", other.rows().differences(&before));
    assert!(device.rows().differences(&before).is_empty(), "{:#?}", device.rows().differences(&before));
    true
}
