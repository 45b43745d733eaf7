//! An app with the tables that simulated devices sync, behind a server that listens.

use std::sync::Arc;

use reqwest::Client;
use serde_json::{Value as Json, json};
use sqlx::PgPool;
use syncline::{
    app::Syncline,
    auth::password::Password,
    clock::Clock,
    control::{
        accounts::{Email, NewAccount},
        api_keys::{KeyKind, NewApiKey},
        apps::life::{LogicalSchema, NewApp},
        audit::Actor,
        slugs::Slug,
        tenants::{AppName, TenantName},
    },
    ids::Chance,
    ops::{config::Config, database::Databases},
    tables::spec::WireProfile,
};

use super::{
    app::{PASSWORD, TestApp, secret_key},
    device::{
        Device,
        schema::{DDL, Profile},
        tally::Tally,
        transport::Transport,
    },
    server::RealServer,
};

/// Where devices sync. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppForDevices {
    pub(crate) client: Client,
    /// `http://host:port/t/tenant/app`.
    pub(crate) base_url: String,
    pub(crate) secret_key: String,
    pub(crate) profile: Profile,
    /// What happened to all of its devices.
    pub(crate) tally: Tally,
    /// The app's inside, where a test may look at it.
    pub(crate) inside: Option<Inside>,
}

/// What only a test in the server's own process can reach.
#[derive(Clone)]
pub(crate) struct Inside {
    /// The app's schema, which is its role's name as well.
    pub(crate) schema: String,
    /// Connections of the login role.
    pub(crate) pool: PgPool,
    /// The server; it ends with the last of its owners.
    _app: Arc<TestApp>,
}

impl AppForDevices {
    /// A token for a user, as the tenant's own backend would get it.
    pub(crate) async fn token(&self, user: &str) -> String {
        let request = self.client.post(format!("{}/auth/token", self.base_url)).bearer_auth(&self.secret_key);
        let answer = request.json(&json!({ "user_id": user })).send().await.expect("an answer");
        assert!(answer.status().is_success(), "no token: {}", answer.status());
        let answer: Json = answer.json().await.expect("JSON");
        answer["access_token"].as_str().expect("an access token").to_owned()
    }

    pub(crate) fn device(&self, name: &str, token: &str) -> Device {
        let transport = Transport::new(self.client.clone(), &self.base_url, token.to_owned());
        let mut device = Device::new(name, self.profile, transport);
        device.tally = self.tally.clone();
        device
    }
}

/// An app in a server of this process.
pub(crate) async fn app_for_devices(profile: Profile) -> AppForDevices {
    let server = TestApp::start().await;
    let app = server.create_app(wire_profile(profile), DDL).await;
    AppForDevices {
        client: Client::new(),
        base_url: app.base_url,
        secret_key: app.secret_key,
        profile,
        tally: Tally::default(),
        inside: Some(Inside {
            schema: app.app.app_id.schema().to_string(),
            pool: server.pool().await,
            _app: Arc::new(server),
        }),
    }
}

/// An app in a server of its own, made beside it in its database, as a second node would.
pub(crate) async fn app_for_devices_on(server: &RealServer, profile: Profile) -> AppForDevices {
    let config = Config::default();
    let databases =
        Databases::connect(&server.database_url(), &config.database).await.expect("the server's database");
    let node = Syncline::new(config, secret_key(), Clock::system(), Chance::system(), databases);
    let account = NewAccount {
        email: Email::parse("owner@acme.example").unwrap(),
        password: Password::new(PASSWORD).unwrap(),
        tenant_name: TenantName::parse("Acme").unwrap(),
        tenant_slug: Slug::parse_new("acme").unwrap(),
    };
    let (_, tenant) = node.control.sign_up(account, &Default::default()).await.unwrap();
    let new = NewApp {
        name: AppName::parse("Notes").unwrap(),
        slug: Slug::parse_new("notes").unwrap(),
        profile: wire_profile(profile),
        logical_schema: LogicalSchema::parse("main").unwrap(),
    };
    let app = node.control.create_app(&Actor::Command, &tenant, &new).await.unwrap();
    node.control.publish_schema(&Actor::Command, &app, DDL, None, None).await.unwrap();
    let key = NewApiKey::unrestricted(KeyKind::Secret, "devices").unwrap();
    let key = node.control.issue_api_key(&Actor::Command, &app, key).await.unwrap();
    node.databases.close().await;
    AppForDevices {
        client: Client::new(),
        base_url: format!("{}/t/acme/notes", server.base_url()),
        secret_key: key.token.expose().to_owned(),
        profile,
        tally: Tally::default(),
        inside: None,
    }
}

fn wire_profile(profile: Profile) -> WireProfile {
    match profile {
        Profile::Strings => WireProfile::Strings,
        Profile::Numbers => WireProfile::Numbers,
    }
}
