//! Pages about tenants, apps and keys.

use syncline_web::{
    forms::Field,
    pages::{api_keys::*, apps::*, audit::*, errors::*, landing::*, settings::*, tenants::*},
    shell::Notice,
};
use time::Duration;

use super::{people, *};

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![
        sample("landing", &LandingPage { signed_in: false }),
        sample(
            "error",
            &ErrorPage::new(
                404,
                "This page does not exist",
                "The address may be mistyped, or the thing it names is gone.",
            ),
        ),
    ];
    samples.extend(people::samples());
    samples.extend(tenants());
    samples.extend(api_keys());
    samples.extend(settings());
    samples
}

fn app_card(slug: &str, name: &str, schema_version: i64) -> AppCard {
    AppCard {
        slug: slug.into(),
        name: name.into(),
        base_url: format!("https://sync.example.org/t/field-notes/{slug}"),
        created_at: ago(Duration::days(40)),
        schema_version,
    }
}

fn entry(
    actor: &str,
    actor_kind: ActorKind,
    action: &str,
    subject: &str,
    details: &[(&str, &str)],
) -> AuditEntry {
    AuditEntry {
        at: ago(Duration::minutes(17)),
        actor: actor.into(),
        actor_kind,
        address: (actor_kind != ActorKind::Command).then(|| "2001:db8:85a3:8d3:1319:8a2e:370:7348".into()),
        action: action.into(),
        app: (actor_kind == ActorKind::ApiKey).then(|| LONG.into()),
        subject: subject.into(),
        details: details.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}

fn tenants() -> Vec<Sample> {
    let home =
        |shell: Shell, apps| TenantHomePage { shell: Shell { app: None, ..shell }.at(Area::Apps), apps };
    let apps = vec![app_card("survey", "Survey", 3), app_card("trails", "Trails", 0)];
    let extreme = vec![
        app_card(&"z".repeat(40), LONG, 12),
        app_card("rtl", RIGHT_TO_LEFT, 1),
        app_card("h", HOSTILE, 0),
    ];
    let mut refused = NewAppForm::from(&NewAppInput {
        name: "Survey".into(),
        slug: "survey".into(),
        wire_profile: "numbers".into(),
        logical_schema: "1 bad".into(),
    });
    refused.slug.reject("This organisation has an app of that name already.");
    refused.logical_schema.reject("Use letters, digits and underscores, not beginning with a digit.");
    let new_app = |form| NewAppPage {
        shell: shell().at(Area::Apps),
        base_url_prefix: "https://sync.example.org/t/field-notes/".into(),
        form,
    };
    let audit = |entries: Vec<AuditEntry>, next| AuditPage {
        shell: shell().at(Area::Audit),
        rows: AuditRows { now: NOW, entries, looked_at: Some(10_000), next },
        is_continued: false,
        filter: AuditFilterForm {
            actions: vec!["app.created", "schema.published"],
            apps: vec![("app_1".into(), "Survey".into()), ("app_2".into(), LONG.into())],
            ..AuditFilterForm::default()
        },
        csv: "/d/field-notes/audit.csv".into(),
        ndjson: "/d/field-notes/audit.ndjson".into(),
    };
    let mut asked = audit(vec![], None);
    asked.filter.actor = HOSTILE.into();
    asked.filter.app = "app_9".into();
    asked.filter.since = Field::new("yesterday");
    asked.filter.since.reject("Type a day, like 2026-07-15.");
    let settings = |may_delete, apps, confirmation| TenantSettingsPage {
        shell: shell().at(Area::Settings),
        tenant_id: "ten_0197f0c2a4f87c3eb1d2f60a9be41d55".into(),
        slug: "field-notes".into(),
        created_at: ago(Duration::days(90)),
        rename: Field::new("Field Notes Ltd"),
        apps,
        may_delete,
        confirmation,
    };
    let mut differs = Field::new(LONG);
    differs.reject("Type the organisation's name: Field Notes Ltd");
    let entries = vec![
        entry(
            "maya@fieldnotes.example",
            ActorKind::Account,
            "api_key.issued",
            "production server",
            &[("app", "survey")],
        ),
        entry("ci", ActorKind::ApiKey, "schema.published", "Survey", &[("version", "3"), ("tables", "4")]),
        entry(
            "command line",
            ActorKind::Command,
            "app.created",
            HOSTILE,
            &[("name", LONG), ("quote", HOSTILE)],
        ),
    ];
    vec![
        sample(
            "tenants",
            &TenantsPage { shell: Shell { tenant: None, ..shell() }, memberships: people::memberships() },
        ),
        sample("home", &home(shell().saying(Some(Notice::Done("“Trails” is ready.".into()))), apps)),
        sample("home-empty", &home(shell(), vec![])),
        sample("home-extreme", &home(extreme_shell(), extreme)),
        sample("new-app", &new_app(NewAppForm::default())),
        sample("new-app-refused", &new_app(refused)),
        sample("audit", &audit(entries, Some("?before=aud_1".into()))),
        sample("audit-empty", &audit(vec![], None)),
        sample("audit-filtered", &asked),
        sample("tenant-settings", &settings(true, 0, differs)),
        sample("tenant-settings-apps", &settings(true, 3, Field::default())),
    ]
}

fn key(name: &str, kind: KeyKind, state: KeyState, used: Option<Duration>) -> ApiKeyRow {
    ApiKeyRow {
        id: format!("key_{}", name.len()),
        name: name.into(),
        kind,
        prefix: if kind == KeyKind::Secret { "sk_live_Ab3d" } else { "pk_live_9fQz" }.into(),
        scopes: vec!["tokens".into(), "data".into(), "schema".into(), "keys".into()],
        created_at: ago(Duration::days(12)),
        created_by: Some("maya@fieldnotes.example".into()),
        last_used_at: used.map(ago),
        state,
    }
}

fn api_keys() -> Vec<Sample> {
    let keys = vec![
        key(
            "production server",
            KeyKind::Secret,
            KeyState::Live { expires_at: None },
            Some(Duration::seconds(40)),
        ),
        key(
            "mobile app",
            KeyKind::Publishable,
            KeyState::Live { expires_at: Some(NOW + Duration::days(9)) },
            None,
        ),
        key(
            "old laptop",
            KeyKind::Secret,
            KeyState::Expired { at: ago(Duration::days(2)) },
            Some(Duration::days(3)),
        ),
        key(
            &format!("{LONG} {HOSTILE}"),
            KeyKind::Secret,
            KeyState::Revoked { at: ago(Duration::hours(5)) },
            None,
        ),
    ];
    let issued = IssuedKey {
        name: "production server".into(),
        kind: KeyKind::Secret,
        plain_text: "sk_live_Ab3dK1xkq0aVt7T2f9uYw8GmQz4LrHcEoSbNjXpDi5U".into(),
    };
    let page = |issued, keys| ApiKeysPage {
        shell: app_shell().at(Area::ApiKeys),
        issued,
        keys,
        form: NewApiKeyForm::default(),
    };
    vec![sample("keys", &page(Some(issued), keys)), sample("keys-empty", &page(None, vec![]))]
}

fn settings() -> Vec<Sample> {
    let general = GeneralForm::from(&GeneralInput {
        name: "Survey".into(),
        min_bundles: String::new(),
        max_age_days: "90".into(),
        accepted: String::new(),
    });
    let mut auth = EndUserAuthForm::retry(
        &EndUserAuthInput {
            user_claim: "sub".into(),
            scope_claim: "team_id".into(),
            clock_skew_seconds: "9999".into(),
            ..EndUserAuthInput::default()
        },
        true,
    );
    auth.clock_skew_seconds.reject("The clock skew is 0 to 600 seconds.");
    let page = |shell: Shell, auth, token_test| SettingsPage {
        shell: shell.at(Area::Settings),
        facts: AppFacts {
            app_id: "app_0197f0c2a4f87c3eb1d2f60a9be41d55".into(),
            base_url: "https://sync.example.org/t/field-notes/survey".into(),
            wire_profile: "strings".into(),
            logical_schema: "main".into(),
        },
        general: general.clone(),
        auth,
        token_test,
        confirmation: Default::default(),
    };
    let refused =
        TokenTestResult::Refused { sentence: r#"its aud claim is "other"; the app wants "survey""#.into() };
    let accepted = TokenTestResult::Accepted {
        user: HOSTILE.into(),
        scope: LONG.into(),
        expires_at: NOW + Duration::hours(1),
    };
    let mut asks = page(app_shell(), EndUserAuthForm::default(), None);
    asks.general.question =
        Some(RetentionQuestion { devices: 1_204, at_least: true, accepted: "/90".into() });
    vec![
        sample("settings", &page(app_shell(), auth, Some(refused))),
        sample("settings-question", &asks),
        sample("settings-viewer", &page(extreme_shell(), EndUserAuthForm::default(), Some(accepted))),
    ]
}
