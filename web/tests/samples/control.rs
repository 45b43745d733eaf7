//! Pages about tenants, apps and keys.

use syncline_web::{
    forms::Field,
    pages::{api_keys::*, apps::*, audit::*, errors::*, landing::*, settings::*, tenants::*},
    shell::Notice,
};
use time::Duration;

use super::{people, *};

pub fn samples() -> Vec<Sample> {
    [outside(), people::samples(), tenants(), new_app(), audit(), tenant_settings(), api_keys(), settings()]
        .concat()
}

fn outside() -> Vec<Sample> {
    let gone = ErrorPage::new(
        404,
        "This page does not exist",
        "The address may be mistyped, or the thing it names is gone.",
    );
    let way = |label: &str| WayOut { label: label.into(), href: format!("/{HOSTILE}") };
    let extreme = ErrorPage {
        ways_out: vec![way(LONG), way(HOSTILE), way(RIGHT_TO_LEFT)],
        ..ErrorPage::new(500, worst(), worst())
    };
    let nowhere = ErrorPage { ways_out: vec![], ..ErrorPage::new(503, "Not now", "Come back in a minute.") };
    vec![
        // Nobody's texts are on it: all that varies is whether somebody is signed in.
        sample("landing-empty", &LandingPage { signed_in: false }),
        sample("landing-typical", &LandingPage { signed_in: false }),
        sample("landing-extreme", &LandingPage { signed_in: true }),
        sample("error-empty", &nowhere),
        sample("error-typical", &gone),
        sample("error-extreme", &extreme),
    ]
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

fn tenants() -> Vec<Sample> {
    let list = |shell: Shell, memberships| TenantsPage { shell: outside_tenants(shell), memberships };
    let home = |shell: Shell, apps| TenantHomePage { shell: outside_apps(shell).at(Area::Apps), apps };
    let apps = vec![app_card("survey", "Survey", 3), app_card("trails", "Trails", 0)];
    let extreme = full_page(&[
        app_card(&"z".repeat(40), LONG, i64::MAX),
        app_card("rtl", RIGHT_TO_LEFT, 1),
        app_card("h", HOSTILE, 0),
        app_card("w", &worst(), 0),
    ]);
    let said = Some(Notice::Done("“Trails” is ready.".into()));
    vec![
        sample("tenants-empty", &list(shell(), vec![])),
        sample("tenants-typical", &list(shell(), people::memberships())),
        sample("tenants-extreme", &list(extreme_owner(), people::extreme_memberships())),
        sample("home-empty", &home(shell(), vec![])),
        sample("home-typical", &home(shell().saying(said), apps)),
        sample("home-extreme", &home(extreme_owner().saying(Some(Notice::Failed(worst()))), extreme)),
        sample("home-viewer", &home(extreme_shell(), vec![])),
    ]
}

fn new_app() -> Vec<Sample> {
    let page = |shell: Shell, base_url_prefix: &str, form| NewAppPage {
        shell: outside_apps(shell).at(Area::Apps),
        base_url_prefix: base_url_prefix.into(),
        form,
    };
    let prefix = "https://sync.example.org/t/field-notes/";
    let mut typical = NewAppForm::from(&NewAppInput {
        name: "Survey".into(),
        slug: "survey".into(),
        ..NewAppInput::default()
    });
    typical.slug.reject("This organisation has an app of that name already.");
    let mut extreme = NewAppForm::from(&NewAppInput {
        name: worst(),
        slug: worst(),
        wire_profile: "numbers".into(),
        logical_schema: worst(),
    });
    extreme.name.reject("The name is too long.");
    extreme.slug.reject("Use only lowercase letters a–z, digits and dashes.");
    extreme.wire_profile.reject("Choose one of the two.");
    extreme.logical_schema.reject("Use letters, digits and underscores, not beginning with a digit.");
    extreme.error = Some(worst());
    let long_prefix = format!("https://{0}.example.org/t/{0}/", "x".repeat(40));
    vec![
        sample("new-app-empty", &page(shell(), prefix, NewAppForm::default())),
        sample("new-app-typical", &page(shell(), prefix, typical)),
        sample("new-app-extreme", &page(extreme_owner(), &long_prefix, extreme)),
    ]
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
        app: (actor_kind == ActorKind::ApiKey).then(|| "Survey".into()),
        subject: subject.into(),
        details: details.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}

fn audit() -> Vec<Sample> {
    let page = |shell: Shell, entries: Vec<AuditEntry>| AuditPage {
        shell: outside_apps(shell).at(Area::Audit),
        rows: AuditRows { now: NOW, entries, looked_at: None, next: None },
        is_continued: false,
        filter: AuditFilterForm {
            actions: vec!["app.created", "schema.published"],
            apps: vec![("app_1".into(), "Survey".into()), ("app_2".into(), "Trails".into())],
            ..AuditFilterForm::default()
        },
        csv: "/d/field-notes/audit.csv".into(),
        ndjson: "/d/field-notes/audit.ndjson".into(),
    };
    let maya = "maya@fieldnotes.example";
    let versions = [("version", "3"), ("tables", "4")];
    let entries = vec![
        entry(maya, ActorKind::Account, "api_key.issued", "production server", &[("app", "survey")]),
        entry("ci", ActorKind::ApiKey, "schema.published", "Survey", &versions),
        entry("command line", ActorKind::Command, "app.created", "Survey", &[]),
    ];
    let mut asked = page(shell(), vec![]);
    asked.filter.actor = "eve@example.org".into();
    asked.filter.app = "app_9".into();
    asked.filter.since = Field::new("yesterday");
    asked.filter.since.reject("Type a day, like 2026-07-15.");
    vec![
        sample("audit-empty", &page(shell(), vec![])),
        sample("audit-typical", &page(shell(), entries)),
        sample("audit-extreme", &extreme_audit(page(extreme_shell(), vec![]))),
        sample("audit-none", &asked),
    ]
}

fn extreme_audit(mut page: AuditPage) -> AuditPage {
    let worst = worst();
    let details: Vec<(&str, &str)> = vec![("name", HOSTILE), ("before", LONG), ("after", RIGHT_TO_LEFT)];
    page.rows.entries = full_page(&[
        AuditEntry {
            app: Some(worst.clone()),
            ..entry(&worst, ActorKind::ApiKey, "schema.published", &worst, &details)
        },
        entry(&worst_email(), ActorKind::Account, "tenant.renamed", RIGHT_TO_LEFT, &details),
        entry("command line", ActorKind::Command, LONG, HOSTILE, &[]),
    ]);
    (page.rows.looked_at, page.rows.next) = (Some(1_234_567), Some("?before=aud_1".into()));
    page.is_continued = true;
    page.filter.actor = worst.clone();
    page.filter.apps = vec![("app_1".into(), worst), ("app_2".into(), LONG.into())];
    page.filter.app = "app_1".into();
    for day in [&mut page.filter.since, &mut page.filter.until] {
        *day = Field::new(HOSTILE);
        day.reject("Type a day, like 2026-07-15.");
    }
    page
}

fn tenant_settings() -> Vec<Sample> {
    let page = |shell: Shell, may_delete, apps| TenantSettingsPage {
        slug: shell.tenant.as_ref().map(|tenant| tenant.slug.clone()).unwrap_or_default(),
        rename: Field::new(shell.tenant.as_ref().map(|tenant| tenant.name.clone()).unwrap_or_default()),
        shell: outside_apps(shell).at(Area::Settings),
        tenant_id: "ten_0197f0c2a4f87c3eb1d2f60a9be41d55".into(),
        created_at: ago(Duration::days(90)),
        apps,
        may_delete,
        confirmation: Field::default(),
    };
    let mut extreme = page(extreme_owner(), true, 0);
    extreme.rename.reject("The name is too long.");
    extreme.confirmation = Field::new(worst());
    extreme.confirmation.reject("Type the organisation's name.");
    vec![
        sample("tenant-settings-empty", &page(shell(), true, 0)),
        sample("tenant-settings-typical", &page(shell(), true, 3)),
        sample("tenant-settings-extreme", &extreme),
        sample("tenant-settings-extreme-apps", &page(extreme_owner(), true, i64::MAX)),
        sample("tenant-settings-admin", &page(shell(), false, 1)),
    ]
}

fn key(id: &str, name: &str, kind: KeyKind, state: KeyState, used: Option<Duration>) -> ApiKeyRow {
    ApiKeyRow {
        id: format!("key_{id}"),
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
    let live = KeyState::Live { expires_at: None };
    let ending = KeyState::Live { expires_at: Some(NOW + Duration::days(9)) };
    let expired = KeyState::Expired { at: ago(Duration::days(2)) };
    let revoked = KeyState::Revoked { at: ago(Duration::hours(5)) };
    let keys = vec![
        key("1", "production server", KeyKind::Secret, live, Some(Duration::seconds(40))),
        key("2", "mobile app", KeyKind::Publishable, ending, None),
        key("3", "old laptop", KeyKind::Secret, expired, Some(Duration::days(3))),
        key("4", "trial", KeyKind::Secret, revoked, None),
    ];
    let issued = |name: &str, kind, prefix| IssuedKey {
        name: name.into(),
        kind,
        plain_text: format!("{prefix}_live_Ab3dK1xkq0aVt7T2f9uYw8GmQz4LrHcEoSbNjXpDi5U"),
    };
    let page = |shell: Shell, issued, keys| ApiKeysPage {
        shell: shell.at(Area::ApiKeys),
        issued,
        keys,
        form: NewApiKeyForm::default(),
    };
    let extreme_key = |id: &str, state| ApiKeyRow {
        created_by: Some(worst_email()),
        ..key(id, &worst(), KeyKind::Secret, state, None)
    };
    let mut many = vec![extreme_key("1", live), extreme_key("2", ending)];
    many.extend(vec![extreme_key("3", expired); PAGE / 2]);
    many.extend(vec![extreme_key("4", revoked); PAGE / 2]);
    let mut extreme = page(extreme_owner(), Some(issued(&worst(), KeyKind::Publishable, "pk")), many);
    let typed = NewApiKeyInput { name: worst(), expires_in_days: worst(), ..NewApiKeyInput::default() };
    extreme.form = NewApiKeyForm::from(&typed);
    extreme.form.name.reject("The name is too long.");
    extreme.form.kind.reject("Choose a kind.");
    extreme.form.scopes_error = Some("A secret key may do one thing at least.".into());
    extreme.form.expires_in_days.reject("Type a number of days from 1 to 3650.");
    let viewer = page(extreme_shell(), None, vec![extreme_key("1", live)]);
    vec![
        sample("keys-empty", &page(shell().in_app("survey", "Survey"), None, vec![])),
        sample(
            "keys-typical",
            &page(app_shell(), Some(issued("production server", KeyKind::Secret, "sk")), keys),
        ),
        sample("keys-extreme", &extreme),
        sample("keys-viewer", &viewer),
        sample("keys-viewer-empty", &page(extreme_shell(), None, vec![])),
    ]
}

fn settings_page(shell: Shell, name: &str) -> SettingsPage {
    SettingsPage {
        shell: shell.at(Area::Settings),
        facts: AppFacts {
            app_id: "app_0197f0c2a4f87c3eb1d2f60a9be41d55".into(),
            base_url: BASE_URL.into(),
            wire_profile: "strings".into(),
            logical_schema: "main".into(),
        },
        general: GeneralForm::from(&GeneralInput { name: name.into(), ..GeneralInput::default() }),
        auth: EndUserAuthForm {
            user_claim: "sub".into(),
            clock_skew_seconds: "60".into(),
            ..EndUserAuthForm::default()
        },
        token_test: None,
        confirmation: Field::default(),
    }
}

fn settings() -> Vec<Sample> {
    let mut typical = settings_page(app_shell(), "Survey");
    typical.general.max_age_days = "90".into();
    typical.auth.has_secret = true;
    typical.auth.scope_claim = "team_id".into();
    typical.token_test = Some(TokenTestResult::Refused {
        sentence: r#"its aud claim is "other"; the app wants "survey""#.into(),
    });
    let mut asks = settings_page(app_shell(), "Survey");
    asks.general.question = Some(RetentionQuestion { devices: 1, at_least: false, accepted: "/90".into() });
    let mut refused = settings_page(app_shell(), "Survey");
    refused.token_test = Some(TokenTestResult::Refused { sentence: worst() });
    vec![
        sample("settings-empty", &settings_page(app_shell(), "Survey")),
        sample("settings-typical", &typical),
        sample("settings-extreme", &extreme_settings()),
        sample("settings-extreme-token", &refused),
        sample("settings-question", &asks),
        sample("settings-viewer", &settings_page(extreme_shell(), &worst())),
    ]
}

fn extreme_settings() -> SettingsPage {
    let mut page = settings_page(extreme_owner(), &worst());
    page.facts.base_url = format!("https://{0}.example.org/t/{0}/{0}", "x".repeat(40));
    (page.facts.wire_profile, page.facts.logical_schema) = ("numbers".into(), LONG.into());
    let worst = worst();
    let typed = EndUserAuthInput {
        issuer: worst.clone(),
        audience: worst.clone(),
        user_claim: worst.clone(),
        scope_claim: worst.clone(),
        clock_skew_seconds: worst.clone(),
        ..EndUserAuthInput::default()
    };
    page.auth = EndUserAuthForm::retry(&typed, true);
    page.auth.jwt_hs256_secret.reject("Use at least 16 characters.");
    let (general, auth) = (&mut page.general, &mut page.auth);
    (general.min_bundles, general.max_age_days) = (Field::new(&worst), Field::new(&worst));
    let fields = [
        &mut general.name,
        &mut general.min_bundles,
        &mut general.max_age_days,
        &mut auth.issuer,
        &mut auth.audience,
        &mut auth.user_claim,
        &mut auth.scope_claim,
        &mut auth.clock_skew_seconds,
    ];
    for field in fields {
        field.reject("This is too long, or no number.");
    }
    general.question = Some(RetentionQuestion { devices: i64::MAX, at_least: true, accepted: worst.clone() });
    page.confirmation = Field::new(&worst);
    page.confirmation.reject("This is not the app's name.");
    page.token_test = Some(TokenTestResult::Accepted {
        user: worst.clone(),
        scope: worst,
        expires_at: NOW + Duration::hours(1),
    });
    page
}
