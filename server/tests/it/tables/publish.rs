//! Planning and publishing schema versions.

use serde_json::json;
use sqlx::AssertSqlSafe;
use syncline::{
    ids::AppId,
    tables::{
        ConstraintInfo,
        catalog::AppCatalog,
        ddl, engine_schema,
        ident::Ident,
        plan::{self, Change, Refusal},
        publish::{self, Publication, PublishError},
        render,
        spec::{AppSpec, WireProfile},
    },
};

use super::support::{AT, TestTables};

const NOTES: &str = r#"
    CREATE TABLE users (
        id BLOB PRIMARY KEY NOT NULL,
        email TEXT NOT NULL UNIQUE,
        score REAL DEFAULT 0.5,
        joined DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
        balance NUMERIC(10, 2)
    );
    CREATE TABLE notes (
        id TEXT PRIMARY KEY NOT NULL,
        user_id BLOB NOT NULL REFERENCES users(id) ON DELETE CASCADE,
        parent_id TEXT REFERENCES notes(id) ON DELETE SET NULL,
        title TEXT NOT NULL DEFAULT 'it''s \ new' CHECK (length(title) < 100),
        done BOOLEAN NOT NULL DEFAULT 0,
        UNIQUE (user_id, title)
    );
    CREATE INDEX notes_by_title ON notes (title);
"#;

fn main_spec() -> AppSpec {
    AppSpec::empty(Ident::parse("main").unwrap())
}

fn planned(current: &AppSpec, ddl: &str) -> Result<plan::Plan, Vec<Refusal>> {
    plan::plan(current, ddl::parse(ddl, None, current).unwrap().tables)
}

#[test]
fn the_sql_of_a_first_version_is_this() {
    let app: AppId = "app_00000000000000000000000000000001".parse().unwrap();
    let plan = planned(&main_spec(), NOTES).unwrap();
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let sql = render::statements(&app.schema(), profile, &plan.changes, &plan.next).join(";\n\n");
        insta::assert_snapshot!(format!("first_version_{profile}"), sql);
    }
}

#[test]
fn the_sql_of_a_later_version_only_adds() {
    let app: AppId = "app_00000000000000000000000000000001".parse().unwrap();
    let first = planned(&main_spec(), NOTES).unwrap();
    let text =
        "ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'red' CHECK (colour IN ('red', 'blue'));
                ALTER TABLE notes ADD COLUMN tag_id TEXT REFERENCES tags(id);
                ALTER TABLE notes ADD COLUMN weight REAL;
                CREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL, name TEXT);
                CREATE UNIQUE INDEX u ON notes (colour, title);
                CREATE INDEX i ON notes (done)";
    let plan = planned(&first.next, text).unwrap();
    assert_eq!(plan.next.version, 2);
    assert_eq!(plan.next.table("tags").unwrap().table_no, 3);
    let sql = render::statements(&app.schema(), WireProfile::Strings, &plan.changes, &plan.next);
    insta::assert_snapshot!(sql.join(";\n\n"));
}

#[test]
fn what_older_devices_rely_on_cannot_change() {
    let first = planned(&main_spec(), NOTES).unwrap();
    let refusals = planned(
        &first.next,
        "CREATE TABLE users (
            id TEXT PRIMARY KEY NOT NULL,
            email TEXT,
            score INTEGER DEFAULT 0,
            joined DATETIME NOT NULL DEFAULT CURRENT_DATE,
            born TEXT NOT NULL,
            seen TEXT DEFAULT CURRENT_TIMESTAMP
        );
        CREATE TABLE notes (
            id TEXT PRIMARY KEY NOT NULL,
            user_id TEXT NOT NULL REFERENCES users(id),
            parent_id TEXT,
            title TEXT NOT NULL DEFAULT 'it''s \\ new',
            done BOOLEAN NOT NULL DEFAULT 0 CHECK (done = 1)
        );",
    )
    .unwrap_err();
    let lines: Vec<_> = refusals
        .iter()
        .map(|refusal| {
            format!("{} {:?}: {}. {}", refusal.table, refusal.column, refusal.reason, refusal.remedy)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_same_text_again_changes_nothing() {
    let first = planned(&main_spec(), NOTES).unwrap();
    let again = planned(&first.next, NOTES).unwrap();
    assert_eq!(again.changes, []);
    assert_eq!(again.next, first.next);
}

#[tokio::test]
async fn versions_are_numbered_and_old_ones_stay_readable() {
    let app = TestTables::new(WireProfile::Strings).await;
    assert_eq!(app.catalog().await.schema_version, 0);
    let first = app.publish(NOTES).await.unwrap();
    assert_eq!((first.schema_version, first.latest_version), (1, 1));
    assert!(first.table("users").unwrap().rank < first.table("notes").unwrap().rank);

    let second = app.publish("ALTER TABLE users ADD COLUMN phone TEXT").await.unwrap();
    assert_eq!(second.schema_version, 2);
    let old = AppCatalog::load_version(&app.databases.apps, app.app, app.profile, 1).await.unwrap().unwrap();
    assert_eq!((old.schema_version, old.latest_version), (1, 2));
    assert!(old.table("users").unwrap().column("phone").is_none());
    assert!(second.table("users").unwrap().column("phone").is_some());
    let missing = AppCatalog::load_version(&app.databases.apps, app.app, app.profile, 3).await.unwrap();
    assert!(missing.is_none());

    app.sql("insert into {schema}.users (_sync_scope_id, id, email, joined) values ('a', gen_random_uuid(), 'x', '')")
        .await
        .unwrap();
    let (rows, _) = app.latest_bundle("a").await;
    assert_eq!(rows[0]["payload"]["phone"], json!(null));
    assert_eq!(rows[0]["payload"]["score"], json!("0.5"));

    // A device of the old version is shown the columns that it knows.
    let mut tx = app.begin().await;
    let sql =
        format!("select {} from {}.users u", old.payload_sql(old.table("users").unwrap(), "u"), old.schema);
    let payload: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *tx).await.unwrap();
    assert!(!payload.contains("phone") && payload.contains("\"email\":\"x\""));
}

#[tokio::test]
async fn of_two_publications_at_once_one_must_plan_again() {
    let app = TestTables::new(WireProfile::Strings).await;
    let current = app.catalog().await.spec();
    let plan = planned(&current, NOTES).unwrap();
    let publication = Publication { ddl: NOTES, by: "test", at: AT };
    let publish = || publish::publish(&app.databases.apps, app.app, app.profile, &plan, &publication);
    let (one, other) = tokio::join!(publish(), publish());
    let outcomes = [one, other];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(PublishError::Outdated))));
    assert_eq!(app.catalog().await.schema_version, 1);
}

#[tokio::test]
async fn rows_that_break_a_new_constraint_stop_its_publication() {
    let app = TestTables::new(WireProfile::Strings).await;
    app.publish("CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, x TEXT)").await.unwrap();
    app.sql("insert into {schema}.t values ('a', '1', 'same'), ('a', '2', 'same')").await.unwrap();
    let outcome = app.publish("CREATE UNIQUE INDEX i ON t (x)").await;
    assert!(matches!(outcome, Err(PublishError::RowsInTheWay { table }) if table == "t"));
    assert_eq!(app.catalog().await.schema_version, 1);
}

#[tokio::test]
async fn a_violated_constraint_tells_what_it_is() {
    let app = TestTables::new(WireProfile::Strings).await;
    let catalog = app.publish(NOTES).await.unwrap();
    let attempts = [
        "insert into {schema}.users (_sync_scope_id, id, email, score) values ('a', gen_random_uuid(), 'x', 'NaN')",
        "insert into {schema}.notes (_sync_scope_id, id, user_id) values ('a', '1', gen_random_uuid())",
        "insert into {schema}.users (_sync_scope_id, id, email)
         values ('a', gen_random_uuid(), 'x'), ('a', gen_random_uuid(), 'x')",
        "insert into {schema}.notes (_sync_scope_id, id, user_id, title)
         values ('a', '1', gen_random_uuid(), repeat('x', 100))",
        "insert into {schema}.notes (_sync_scope_id, id, user_id, title)
         values ('a', '1', gen_random_uuid(), 'x'), ('a', '1', gen_random_uuid(), 'y')",
    ];
    let mut told = Vec::new();
    for attempt in attempts {
        let error = app.sql(attempt).await.unwrap_err();
        let database = error.as_database_error().unwrap();
        let table = catalog.table(database.table().unwrap()).unwrap();
        told.push(table.spec.constraint(database.constraint().unwrap()).unwrap());
    }
    let ident = |name: &str| Ident::parse(name).unwrap();
    assert_eq!(
        told,
        [
            ConstraintInfo::Range { column: ident("score") },
            ConstraintInfo::ForeignKey { column: ident("user_id"), parent: ident("users") },
            ConstraintInfo::Unique { columns: vec![ident("email")] },
            ConstraintInfo::Check { columns: vec![ident("title")], rule: "length(title) < 100".to_owned() },
            ConstraintInfo::PrimaryKey { column: ident("id") },
        ]
    );
}

#[tokio::test]
async fn an_apps_role_sees_no_other_app() {
    let app = TestTables::new(WireProfile::Strings).await;
    let other = AppId::new();
    engine_schema::create(&app.databases.apps, other, WireProfile::Strings, AT).await.unwrap();
    let mut tx = app.databases.apps.begin(&other.schema()).await.unwrap();
    for sql in ["select count(*) from {schema}._sync_scope", "select 1 from platform.account"] {
        let denied = sqlx::query(AssertSqlSafe(app.fill_in(sql))).execute(&mut *tx).await.unwrap_err();
        assert_eq!(denied.as_database_error().unwrap().code().as_deref(), Some("42501"));
        tx = app.databases.apps.begin(&other.schema()).await.unwrap();
    }
}

#[tokio::test]
async fn an_app_is_made_and_removed_as_often_as_one_likes() {
    let app = TestTables::new(WireProfile::Numbers).await;
    let apps = &app.databases.apps;
    engine_schema::create(apps, app.app, WireProfile::Numbers, AT).await.unwrap();
    let other = AppId::new();
    let create = || engine_schema::create(apps, other, WireProfile::Numbers, AT);
    let (one, two, three) = tokio::join!(create(), create(), create());
    for outcome in [one, two, three] {
        outcome.unwrap();
    }
    engine_schema::drop(apps, other).await.unwrap();
    engine_schema::drop(apps, other).await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from pg_roles where rolname = $1")
        .bind(other.schema().as_str())
        .fetch_one(apps.as_owner())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

/// What the reader takes, PostgreSQL takes too: types, defaults, checks and references.
#[tokio::test]
async fn whatever_is_read_can_be_published_and_written_to() {
    for profile in [WireProfile::Strings, WireProfile::Numbers] {
        let app = TestTables::new(profile).await;
        let catalog = app.publish(super::ddl::SQLITE).await.unwrap();
        app.sql(
            "insert into {schema}.users (_sync_scope_id, id) values ('s', gen_random_uuid());
             insert into {schema}.notes (_sync_scope_id, id, user_id) select 's', 'n', id from {schema}.users",
        )
        .await
        .unwrap();
        let (rows, _) = app.latest_bundle("s").await;
        for (row, table) in rows.iter().zip(["users", "notes"]) {
            let members = row["payload"].as_object().unwrap().len();
            assert_eq!(members, catalog.table(table).unwrap().columns().len());
        }
        let payload = &rows[0]["payload"];
        assert_eq!((&payload["name"], &payload["is_admin"]), (&json!("new"), &json!(false)));
        assert_eq!((&payload["avatar"], &payload["token"]), (&json!("AP8="), &json!(null)));
        assert_eq!(payload["created_at"].as_str().unwrap().len(), "2024-05-06 07:08:09".len());
        assert_eq!(payload["updated_at"].as_str().unwrap().len(), "2024-05-06T07:08:09.012Z".len());

        let app = TestTables::new(profile).await;
        app.publish(super::ddl::POSTGRESQL).await.unwrap();
        app.sql(
            "insert into {schema}.projects (_sync_scope_id, name, created_at, at)
             values ('s', 'p', '2024-05-06 07:08:09+00', '07:08:09.25')",
        )
        .await
        .unwrap();
        let (rows, _) = app.latest_bundle("s").await;
        let payload = &rows[0]["payload"];
        assert_eq!(payload["created_at"], json!("2024-05-06T07:08:09Z"));
        assert_eq!(
            (&payload["local"], &payload["at"]),
            (&json!("2024-05-06T07:08:09"), &json!("07:08:09.25"))
        );
        assert_eq!((&payload["meta"], &payload["extra"]), (&json!("{}"), &json!("[]")));
        let (budget, n2) = match profile {
            WireProfile::Strings => (json!("0.00"), json!("7")),
            WireProfile::Numbers => (json!(0.0), json!(7)),
        };
        assert_eq!((&payload["budget"], &payload["n2"]), (&budget, &n2));
    }
}

#[test]
fn names_that_look_alike_get_different_constraints() {
    let text = "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a TEXT, a_b TEXT, b_c TEXT, c TEXT,
                    UNIQUE (a_b, c), UNIQUE (a, b_c));";
    let plan = planned(&main_spec(), text).unwrap();
    assert!(matches!(plan.changes.as_slice(), [Change::CreateTable { .. }]));
    let sql = render::statements(&AppId::new().schema(), WireProfile::Strings, &plan.changes, &plan.next);
    let names: Vec<_> = sql[0].lines().filter(|line| line.contains(" unique ")).collect();
    let name = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    assert_ne!(name(names[0]), name(names[1]));
    assert!(ddl::parse(text, None, &plan.next).is_ok());
}
