//! A whole server on a real socket, with a database of its own and a clock that tests move; tenants, apps, keys and
//! tokens for it; and browsers that look at its pages as somebody.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use syncline::{
    app::Syncline,
    auth::{password::Password, sealing::SecretKey, totp::TotpSecret},
    clock::Clock,
    control::{
        accounts::{Account, Email, NewAccount},
        api_keys::{KeyKind, NewApiKey},
        apps::{
            App,
            life::{LogicalSchema, NewApp},
        },
        invitations::NewInvitation,
        members::MemberAdmin,
        roles::Role,
        security_events::Origin,
        slugs::Slug,
        tenants::{AppName, Tenant, TenantName},
    },
    http::router,
    ids::Chance,
    ops::config::Config,
    tables::spec::WireProfile,
};

use super::{
    browser::Browser,
    database::{self, TestDatabase},
};

/// The key of every server that tests start.
pub(crate) fn secret_key() -> SecretKey {
    SecretKey::generate(&Chance::seeded(5))
}

/// The secret that the page shows which sets an authenticator up, as people type it.
pub(crate) fn totp_secret(shown: &str) -> TotpSecret {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in shown.chars().filter(|letter| !letter.is_whitespace()) {
        bits = (bits << 5 | ALPHABET.find(letter).expect("base32") as u32) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    TotpSecret::from_bytes(&bytes).expect("a secret")
}

/// The password of every account that tests make.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server, and the database under it.
pub(crate) struct TestApp {
    pub(crate) node: TestNode,
    pub(crate) clock: Clock,
    database: TestDatabase,
}

/// One server process, as far as others can tell.
pub(crate) struct TestNode {
    /// `http://127.0.0.1:{port}`
    pub(crate) url: String,
    pub(crate) state: Syncline,
}

/// A tenant with its owner.
#[derive(Debug, Clone)]
pub(crate) struct TestTenant {
    pub(crate) tenant: Tenant,
    pub(crate) owner: Account,
}

/// An app that syncs, with a key of each kind.
#[derive(Debug, Clone)]
pub(crate) struct TestSyncApp {
    pub(crate) owner: TestTenant,
    pub(crate) app: App,
    /// `http://127.0.0.1:{port}/t/{tenant}/{app}`
    pub(crate) base_url: String,
    pub(crate) secret_key: String,
    pub(crate) publishable_key: String,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The `error` member.
    pub(crate) fn code(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server whose configuration `change` has changed.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let database = database::fresh().await;
        let mut config = Config::default();
        change(&mut config);
        let clock = Clock::for_testing();
        let node = TestNode::start(config, clock.clone(), &database).await;
        Self { node, clock, database }
    }

    /// One more server on the same database, with the same clock.
    pub(crate) async fn another_node(&self) -> TestNode {
        TestNode::start((*self.node.state.config).clone(), self.clock.clone(), &self.database).await
    }

    pub(crate) fn state(&self) -> &Syncline {
        &self.node.state
    }

    pub(crate) fn url(&self) -> &str {
        &self.node.url
    }

    /// A connection pool of the login role's, for looking at what the server did.
    pub(crate) async fn pool(&self) -> sqlx::PgPool {
        self.database.pool().await
    }

    /// A browser with an empty cookie jar.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.url())
    }

    /// A tenant of that slug, whose owner is `owner@{slug}.example`.
    pub(crate) async fn tenant(&self, slug: &str) -> TestTenant {
        let new = NewAccount {
            email: Email::parse(&format!("owner@{slug}.example")).unwrap(),
            password: Password::new(PASSWORD).unwrap(),
            tenant_name: TenantName::parse(&format!("Tenant {slug}")).unwrap(),
            tenant_slug: Slug::parse_new(slug).unwrap(),
        };
        let (owner, tenant) = self.state().control.sign_up(new, &Origin::default()).await.unwrap();
        TestTenant { tenant, owner }
    }

    /// The owner of a new tenant of that slug, who also joins `tenant` in that role, by an invitation of its owner's.
    pub(crate) async fn member(&self, tenant: &TestTenant, slug: &str, role: Role) -> TestTenant {
        let other = self.tenant(slug).await;
        let control = &self.state().control;
        let by = MemberAdmin { tenant: &tenant.tenant, actor: tenant.owner.actor(), role: Role::Owner };
        let new = NewInvitation::new(role, &other.owner.email, 7).unwrap();
        let (_, token) = control.invite(&by, &new).await.unwrap();
        control.accept_invitation(&other.owner, &other.owner.actor(), &token).await.unwrap();
        other
    }

    /// An app of a new tenant `acme`, of that profile and logical schema `main`, with the tables of `ddl` (may be empty).
    pub(crate) async fn create_app(&self, profile: WireProfile, ddl: &str) -> TestSyncApp {
        let owner = self.tenant("acme").await;
        self.create_app_of(&owner, "notes", profile, ddl).await
    }

    /// An app of that tenant and slug.
    pub(crate) async fn create_app_of(
        &self,
        owner: &TestTenant,
        slug: &str,
        profile: WireProfile,
        ddl: &str,
    ) -> TestSyncApp {
        let control = &self.state().control;
        let actor = owner.owner.actor();
        let new = NewApp {
            name: AppName::parse(&format!("App {slug}")).unwrap(),
            slug: Slug::parse_new(slug).unwrap(),
            profile,
            logical_schema: LogicalSchema::parse("main").unwrap(),
        };
        let app = control.create_app(&actor, &owner.tenant, &new).await.unwrap();
        if !ddl.is_empty() {
            control.publish_schema(&actor, &app, ddl, None, None).await.unwrap();
        }
        let mut keys = Vec::new();
        for kind in [KeyKind::Secret, KeyKind::Publishable] {
            let key = NewApiKey::unrestricted(kind, "test").unwrap();
            let issued = control.issue_api_key(&actor, &app, key).await.unwrap();
            keys.push(issued.token.expose().to_owned());
        }
        self.state().directory.refresh().await;
        let publishable_key = keys.pop().unwrap();
        TestSyncApp {
            base_url: format!("{}/t/{}/{slug}", self.url(), owner.tenant.slug),
            owner: owner.clone(),
            app,
            secret_key: keys.pop().unwrap(),
            publishable_key,
        }
    }
}

impl TestNode {
    async fn start(mut config: Config, clock: Clock, database: &TestDatabase) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        config.http.public_url = Some(url.clone());
        config.http.listen = listener.local_addr().unwrap();
        let state = Syncline::new(config, secret_key(), clock, Chance::system(), database.databases().await);
        state.start_tasks();
        let service = router(state.clone()).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, state }
    }
}

impl Drop for TestNode {
    /// Background tasks end with their node, or they would outlive the database.
    fn drop(&mut self) {
        self.state.lifecycle.close();
    }
}

impl TestSyncApp {
    /// A token for `user`, whose scope is their own, good for an hour.
    pub(crate) async fn token(&self, user: &str) -> String {
        self.token_with(json!({ "user_id": user })).await
    }

    /// A token for `user` in the scope `scope`.
    pub(crate) async fn token_in_scope(&self, user: &str, scope: &str) -> String {
        self.token_with(json!({ "user_id": user, "scope_id": scope })).await
    }

    async fn token_with(&self, request: Value) -> String {
        let answer = self.call(Method::POST, "auth/token", &self.secret_key, Some(request)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A request to `{base_url}/{path}` with a bearer credential (none if empty) and a JSON body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        credential: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = reqwest::Client::new().request(method, format!("{}/{path}", self.base_url));
        if !credential.is_empty() {
            request = request.bearer_auth(credential);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request).await
    }
}
