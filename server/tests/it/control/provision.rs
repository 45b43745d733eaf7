//! Provisioning: all of it at once, again without a change, and completed after a failure.

use syncline::{
    auth::password::Password,
    control::{
        accounts::Email,
        apps::life::LogicalSchema,
        provision::{JwtSecret, ProvisionError, Provisioned, Wanted},
        slugs::Slug,
        tenants::{AppName, TenantName},
    },
    tables::spec::WireProfile,
};

use crate::support::app::{PASSWORD, TestApp};

const DDL: &str = "create table notes (id text primary key not null, title text);";

fn wanted() -> Wanted {
    Wanted {
        tenant_slug: Slug::parse_new("acme").unwrap(),
        tenant_name: TenantName::parse("Acme").unwrap(),
        email: Email::parse("ada@example.com").unwrap(),
        password: Password::new(PASSWORD).unwrap(),
        app_slug: Slug::parse_new("notes").unwrap(),
        app_name: AppName::parse("notes").unwrap(),
        profile: WireProfile::Strings,
        logical_schema: LogicalSchema::parse("business").unwrap(),
        schema_text: Some(DDL.to_owned()),
        jwt_secret: Some(JwtSecret::new("an hs256 secret of theirs")),
        public_url: "https://sync.example".to_owned(),
    }
}

async fn audited(app: &TestApp) -> i64 {
    sqlx::query_scalar("select count(*) from platform.audit").fetch_one(&app.pool().await).await.unwrap()
}

#[tokio::test]
async fn provisioning_twice_makes_everything_once() {
    let app = TestApp::start().await;
    let control = &app.state().control;
    let made: Provisioned = control.provision(&wanted()).await.unwrap();
    assert_eq!((made.tenant.as_str(), made.app.as_str(), made.schema_version), ("acme", "notes", 1));
    assert_eq!(made.base_url, "https://sync.example/t/acme/notes");
    assert!(made.secret_key.as_deref().unwrap().starts_with("sk_live_"));
    assert!(made.publishable_key.as_deref().unwrap().starts_with("pk_live_"));
    let entries = audited(&app).await;

    let again = control.provision(&wanted()).await.unwrap();
    assert_eq!((&again.secret_key, &again.publishable_key, again.schema_version), (&None, &None, 1));
    let text = serde_json::to_string(&again).unwrap();
    assert!(!text.contains("key"), "{text}");
    assert_eq!(audited(&app).await, entries, "the second time changed something");

    app.browser().sign_in("ada@example.com").await.location();
}

#[tokio::test]
async fn what_exists_is_completed_and_what_contradicts_is_refused() {
    let app = TestApp::start().await;
    let owner = app.tenant("acme").await;
    let control = &app.state().control;
    let made = control.provision(&wanted()).await.unwrap();
    assert!(made.secret_key.is_some());
    let members = control.members(owner.tenant.tenant_id, None, 100).await.unwrap();
    assert_eq!(members.len(), 2, "{members:?}");

    let more = format!("{DDL} create table tags (id text primary key not null);");
    let more = Wanted { schema_text: Some(more), ..wanted() };
    assert_eq!(control.provision(&more).await.unwrap().schema_version, 2);
    let other = Wanted { profile: WireProfile::Numbers, ..wanted() };
    assert!(matches!(control.provision(&other).await, Err(ProvisionError::OtherProfile { .. })));
    let other = Wanted { logical_schema: LogicalSchema::parse("main").unwrap(), ..wanted() };
    assert!(matches!(control.provision(&other).await, Err(ProvisionError::OtherLogicalSchema { .. })));
    let broken = Wanted { schema_text: Some("create table t (id text);".to_owned()), ..wanted() };
    let error = control.provision(&broken).await.unwrap_err();
    assert!(error.to_string().contains("line 1, column"), "{error}");
    let short = Wanted { jwt_secret: Some(JwtSecret::new("short")), ..wanted() };
    assert!(matches!(control.provision(&short).await, Err(ProvisionError::JwtSecret(_))));
}

#[tokio::test]
async fn provisioning_at_the_same_time_makes_one_of_each() {
    let app = TestApp::start().await;
    let runs = (0..4).map(|_| {
        let control = app.state().control.clone();
        async move { control.provision(&wanted()).await }
    });
    for outcome in futures_util::future::join_all(runs).await {
        match outcome {
            Ok(_) | Err(ProvisionError::Schema(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let pool = app.pool().await;
    for table in ["account", "tenant", "app", "app_end_user_auth"] {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from platform.{table}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
        assert_eq!(count, 1, "{table}");
    }
}
