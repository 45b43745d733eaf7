//! The two-device simulator, through the screen: both devices speak HTTP with the server that they run in.

use std::time::Duration;

use reqwest::StatusCode;
use syncline::{erasure, tables::spec::WireProfile};

use super::users::left_of;
use crate::support::{
    app::{TestApp, TestSyncApp},
    browser::{Browser, Page},
};

/// A table that must have two parents, with checks, every kind of column, and a child.
const DDL: &str = "
create table account (id text primary key not null, name text not null unique, plan text not null check (plan in ('free', 'paid')));
create table project (id blob primary key not null, account_id text not null references account (id) on delete cascade,
    code varchar(8) not null);
create table task (
    id blob primary key not null,
    project_id blob not null references project (id),
    parent_id blob references task (id),
    title text not null check (length(title) between 1 and 40),
    done boolean not null default 0,
    effort real, priority integer not null check (priority between 1 and 5), price numeric(6,2),
    due datetime, attachment blob
);
create table remark (id text primary key not null, task_id blob not null references task (id), body text not null);
";

const PAGE: &str = "/d/acme/notes/simulator";

async fn owner(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    browser.sign_in("owner@acme.example").await.location();
    browser
}

/// Press the button, and look until the devices are done.
async fn simulate(browser: &mut Browser) -> Page {
    let begun = browser.submit(PAGE, PAGE, &[]).await;
    assert_eq!(begun.location(), PAGE);
    done(browser).await
}

async fn done(browser: &mut Browser) -> Page {
    for _ in 0..200 {
        let page = browser.get(PAGE).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
        if page.texts(".sim-next").is_empty() {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the simulation does not come to its end");
}

fn user_of(page: &Page) -> String {
    page.text(".simulation-facts code")
}

async fn assert_nothing_is_left(app: &TestApp, notes: &TestSyncApp, scope: &str) {
    assert_eq!(left_of(app, notes, scope).await, []);
    let kept: i64 = sqlx::query_scalar("select count(*) from platform.simulation")
        .fetch_one(&app.pool().await)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn two_devices_conflict_and_converge_on_the_apps_own_tables() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = TestApp::start().await;
        let notes = app.create_app(profile, DDL).await;
        let mut browser = owner(&app).await;
        let page = simulate(&mut browser).await;
        assert_eq!(page.texts(".notice.failed"), Vec::<String>::new(), "{}", page.html);
        let titles = page.texts(".sim-step h2");
        assert_eq!(titles.len(), 8, "{titles:?}");
        assert_eq!(titles[5], "The tablet meets a conflict");
        assert_eq!(titles[7], "Both hold the same rows");
        assert_eq!(
            page.texts(".sim-step.good .sim-row-head")[0],
            page.texts(".sim-step.warn .sim-row-head")[0].replace("2", "3")
        );

        let user = user_of(&page);
        assert!(user.starts_with("simulator:"));
        let ledger = page.attribute(".sim-step.warn a.button", "href").unwrap();
        let conflict = browser.get(&ledger).await;
        assert_eq!(conflict.status, StatusCode::OK);
        assert!(
            conflict.html.contains("Changed on the phone") && conflict.html.contains("Changed on the tablet"),
            "{}",
            conflict.html
        );
        let list = browser.get("/d/acme/notes/conflicts").await;
        assert!(list.html.contains(&user));

        let removed = browser.submit(PAGE, &format!("{PAGE}/remove"), &[]).await;
        let page = browser.follow(&removed).await;
        assert!(page.text(".notice.done").contains("is removed"), "{}", page.html);
        assert!(page.texts(".sim-step").is_empty());
        assert_nothing_is_left(&app, &notes, &user).await;
        assert_eq!(browser.get(&ledger).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_forgotten_simulation_goes_by_itself_or_with_the_next() {
    let app = TestApp::start().await;
    let notes =
        app.create_app(WireProfile::Strings, "create table only_keys (id text primary key not null)").await;
    let mut browser = owner(&app).await;
    let first = simulate(&mut browser).await;
    assert_eq!(first.texts(".notice.failed"), Vec::<String>::new(), "{}", first.html);
    assert!(first.html.contains("The tablet gives way"));
    let second = simulate(&mut browser).await;
    assert_ne!(user_of(&first), user_of(&second));
    assert_eq!(left_of(&app, &notes, &user_of(&first)).await, []);

    app.clock.advance(time::Duration::minutes(16));
    // The server's own job may be at it already; and once more, for what came late.
    let pool = app.pool().await;
    for _ in 0..100 {
        erasure::run_due(app.state()).await.unwrap();
        let open = "select count(*) from platform.erasure";
        if sqlx::query_scalar::<_, i64>(open).fetch_one(&pool).await.unwrap() == 0 {
            break;
        }
        app.clock.advance(time::Duration::seconds(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_nothing_is_left(&app, &notes, &user_of(&second)).await;
}

#[tokio::test]
async fn one_simulation_runs_at_a_time_and_can_be_watched_as_it_goes() {
    let app = TestApp::start().await;
    app.create_app(WireProfile::Numbers, DDL).await;
    let mut browser = owner(&app).await;
    browser.submit(PAGE, PAGE, &[]).await.location();
    let page = browser.get(PAGE).await;
    let user = user_of(&page);
    let more = page.attribute(".sim-next", "hx-get").expect("the first steps take longer than a look");
    let part = browser.get_part(&more).await;
    assert_eq!(part.status, StatusCode::OK);
    assert!(!part.html.contains("<html"), "a part of the page only");
    // The button, pressed by somebody else who had the page open before.
    let csrf = vec![("csrf_token".to_owned(), page.csrf())];
    assert_eq!(browser.post(PAGE, &csrf).await.location(), PAGE);
    assert_eq!(user_of(&done(&mut browser).await), user);
    // What was shown is not sent again.
    let rest = browser.get_part(&format!("{PAGE}/steps?from=7")).await;
    assert_eq!(rest.texts(".sim-step h2").len(), 1, "{}", rest.html);
}

#[tokio::test]
async fn an_app_without_a_fitting_table_says_so() {
    let app = TestApp::start().await;
    app.create_app(
        WireProfile::Strings,
        "create table a (id text primary key not null, b text not null references b (id));
         create table b (id text primary key not null, a text not null references a (id))",
    )
    .await;
    let mut browser = owner(&app).await;
    let page = browser.get(PAGE).await;
    assert!(page.text(".empty").contains("circle"), "{}", page.html);
    let csrf = vec![("csrf_token".to_owned(), page.csrf())];
    let page = browser.post(PAGE, &csrf).await;
    assert!(browser.follow(&page).await.text(".notice.failed").contains("circle"));
}
