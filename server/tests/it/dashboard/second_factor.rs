//! The second factor at sign-in: codes, recovery codes, and what is refused.

use reqwest::StatusCode;
use syncline::auth::totp::TotpSecret;
use time::Duration;

use crate::support::{
    app::{PASSWORD, TestApp, totp_secret},
    browser::Browser,
};

const EMAIL: &str = "owner@acme.example";

/// An account with a second factor.
struct Enrolled {
    app: TestApp,
    /// Signed in.
    browser: Browser,
    secret: TotpSecret,
    /// The one that turned the factor on.
    first_code: String,
    recovery_codes: Vec<String>,
}

impl Enrolled {
    async fn new() -> Self {
        let app = TestApp::start().await;
        app.tenant("acme").await;
        // The tests' clock goes on by itself; here a code has just begun.
        let into = app.clock.now().unix_timestamp() % 30;
        app.clock.advance(Duration::seconds(30 - into));
        let mut browser = app.browser();
        browser.sign_in(EMAIL).await.location();
        let answer =
            browser.submit("/account", "/account/totp/begin", &[("factor_password", PASSWORD)]).await;
        assert_eq!(answer.location(), "/account/totp");
        let page = browser.follow(&answer).await;
        let secret = totp_secret(&page.text(".enrol pre"));
        assert!(page.attribute("svg.qr path", "d").unwrap().len() > 500);
        let code = secret.code_at(app.clock.now());
        let page = browser.submit("/account/totp", "/account/totp/confirm", &[("code", &code)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
        let recovery_codes: Vec<_> = page.text(".issued pre").split_whitespace().map(str::to_owned).collect();
        assert_eq!(recovery_codes.len(), 10);
        // Neither is shown again.
        assert_eq!(browser.get("/account/totp").await.location(), "/account");
        let page = browser.get("/account").await;
        assert!(!page.html.contains(&recovery_codes[0]) && !page.html.contains(&secret.base32()));
        Self { app, browser, secret, first_code: code, recovery_codes }
    }

    /// A browser whose password was right.
    async fn half_way(&self) -> Browser {
        let mut browser = self.app.browser();
        assert_eq!(browser.sign_in(EMAIL).await.location(), "/sign-in/code");
        browser
    }

    fn code(&self) -> String {
        self.secret.code_at(self.app.clock.now())
    }
}

async fn type_code(browser: &mut Browser, code: &str) -> crate::support::browser::Page {
    browser.submit("/sign-in/code", "/sign-in/code", &[("code", code)]).await
}

#[tokio::test]
async fn signing_in_takes_a_code_after_the_password() {
    let ada = Enrolled::new().await;
    let mut browser = ada.app.browser();
    let fields = [("email", EMAIL), ("password", PASSWORD)];
    let answer = browser.submit("/sign-in?next=/d/acme/members", "/sign-in", &fields).await;
    let second = answer.location();
    assert!(second.starts_with("/sign-in/code?next="), "{second}");
    // Half-way in is not in.
    assert!(browser.get("/d/acme").await.location().starts_with("/sign-in"));
    assert!(browser.get("/account").await.location().starts_with("/sign-in"));
    ada.app.clock.advance(Duration::seconds(30));
    let typed = format!("{} {}", &ada.code()[..3], &ada.code()[3..]);
    let answer = browser.submit(&second, "/sign-in/code", &[("code", &typed)]).await;
    assert_eq!(answer.location(), "/d/acme/members");
    assert_eq!(browser.follow(&answer).await.status, StatusCode::OK);

    // Without the first step there is no second; a wrong password does not get there.
    assert!(ada.app.browser().get("/sign-in/code").await.location().starts_with("/sign-in"));
    let wrong = [("email", EMAIL), ("password", "wrong password")];
    let page = ada.app.browser().submit("/sign-in", "/sign-in", &wrong).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_code_is_good_once_and_around_now() {
    let ada = Enrolled::new().await;
    let mut browser = ada.half_way().await;
    let page = type_code(&mut browser, &ada.first_code).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.error_at("code").contains("used already"), "{}", page.html);

    // A clock that is half a minute slow, or fast, is near enough.
    let slow = ada.secret.code_at(ada.app.clock.now() + Duration::seconds(30));
    ada.app.clock.advance(Duration::seconds(60));
    let fast = ada.secret.code_at(ada.app.clock.now() + Duration::seconds(30));
    type_code(&mut browser, &slow).await.location();
    let (mut one, mut two) = (ada.half_way().await, ada.half_way().await);
    type_code(&mut one, &fast).await.location();
    assert_eq!(type_code(&mut two, &fast).await.status, StatusCode::UNPROCESSABLE_ENTITY, "again");

    // Two minutes are too far.
    ada.app.clock.advance(Duration::minutes(5));
    let mut browser = ada.half_way().await;
    let off = ada.secret.code_at(ada.app.clock.now() + Duration::minutes(2));
    assert_eq!(type_code(&mut browser, &off).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    type_code(&mut browser, &ada.code()).await.location();
}

#[tokio::test]
async fn guessing_codes_is_slowed_down_whichever_browser_it_is() {
    let ada = Enrolled::new().await;
    ada.app.clock.advance(Duration::minutes(2));
    let mut thief = ada.half_way().await;
    let wrong = if ada.code() == "000000" { "000001" } else { "000000" };
    let mut refused = 0;
    while type_code(&mut thief, wrong).await.status == StatusCode::UNPROCESSABLE_ENTITY {
        refused += 1;
        assert!(refused < 10, "nobody stops it");
    }
    assert!(refused >= 5);
    let mut again = ada.half_way().await;
    let page = type_code(&mut again, &ada.code()).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "the right code does not help either");
    ada.app.clock.advance(Duration::minutes(3));
    type_code(&mut again, &ada.code()).await.location();
    let page = again.get("/account").await;
    assert!(page.html.contains("A wrong code was typed after the right password"), "{}", page.html);
}

#[tokio::test]
async fn a_recovery_code_signs_in_once() {
    let ada = Enrolled::new().await;
    let code = ada.recovery_codes[3].to_lowercase().replace('-', " ");
    type_code(&mut ada.half_way().await, &code).await.location();
    let mut browser = ada.half_way().await;
    assert_eq!(type_code(&mut browser, &code).await.status, StatusCode::UNPROCESSABLE_ENTITY, "again");
    type_code(&mut browser, &ada.recovery_codes[4]).await.location();
    let page = browser.get("/account").await;
    assert!(page.text("#second-factor").contains("8 of your recovery codes"), "{}", page.html);
}

#[tokio::test]
async fn new_recovery_codes_replace_the_old_and_take_both_proofs() {
    let mut ada = Enrolled::new().await;
    ada.app.clock.advance(Duration::seconds(30));
    let path = "/account/recovery-codes";
    let code = ada.code();
    for (password, code, field) in
        [("wrong password", code.as_str(), "factor_password"), (PASSWORD, "123", "factor_code")]
    {
        let fields = [("factor_password", password), ("factor_code", code)];
        let page = ada.browser.submit("/account", path, &fields).await;
        assert!(!page.error_at(field).is_empty(), "{field}: {}", page.html);
    }
    let fields = [("factor_password", PASSWORD), ("factor_code", code.as_str())];
    let page = ada.browser.submit("/account", path, &fields).await;
    assert_eq!(page.texts(".issued pre").len(), 1, "{}", page.html);
    let mut browser = ada.half_way().await;
    let old = type_code(&mut browser, &ada.recovery_codes[0]).await;
    assert_eq!(old.status, StatusCode::UNPROCESSABLE_ENTITY);
    let new = page.text(".issued pre");
    type_code(&mut browser, new.split_whitespace().next().unwrap()).await.location();
}

#[tokio::test]
async fn turning_it_off_takes_password_and_code() {
    let mut ada = Enrolled::new().await;
    ada.app.clock.advance(Duration::seconds(30));
    let token = ada.browser.get("/account").await.csrf();
    let mut off = async |password: &str, code: &str| {
        let fields = [("csrf_token", token.as_str()), ("factor_password", password), ("factor_code", code)];
        let fields: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        ada.browser.post("/account/totp/disable", &fields).await
    };
    let code = ada.secret.code_at(ada.app.clock.now());
    assert_eq!(off("wrong password", &code).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(off(PASSWORD, "").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(off(PASSWORD, &code).await.location(), "/account");
    assert_eq!(ada.app.browser().sign_in(EMAIL).await.location(), "/d/acme");
}

#[tokio::test]
async fn setting_it_up_takes_the_password_and_a_code_and_not_for_ever() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut browser = app.browser();
    browser.sign_in(EMAIL).await.location();
    let begin = "/account/totp/begin";
    let page = browser.submit("/account", begin, &[("factor_password", "wrong password")]).await;
    assert_eq!(page.error_at("factor_password"), "This is not your password.");
    browser.submit("/account", begin, &[("factor_password", PASSWORD)]).await.location();
    let page = browser.submit("/account/totp", "/account/totp/confirm", &[("code", "12345")]).await;
    assert!(page.error_at("code").contains("not right"), "{}", page.html);
    // Nothing is asked for before it is confirmed.
    assert_eq!(app.browser().sign_in(EMAIL).await.location(), "/d/acme");
    let page = browser.get("/account/totp").await;
    let (mut form, secret) = (page.form("/account/totp/confirm"), totp_secret(&page.text(".enrol pre")));
    app.clock.advance(Duration::minutes(31));
    let code = secret.code_at(app.clock.now());
    form.retain(|(name, _)| name != "code");
    form.push(("code".to_owned(), code));
    assert_eq!(browser.post("/account/totp/confirm", &form).await.location(), "/account");
    assert_eq!(app.browser().sign_in(EMAIL).await.location(), "/d/acme");
}

#[tokio::test]
async fn a_changed_password_ends_sessions_that_wait_for_a_code() {
    let mut ada = Enrolled::new().await;
    let mut thief = ada.half_way().await;
    let fields = [("current", PASSWORD), ("new", "a new passphrase")];
    ada.browser.submit("/account", "/account/password", &fields).await.location();
    assert!(thief.get("/sign-in/code").await.location().starts_with("/sign-in"));
    // And one that waits too long ends by itself.
    let mut slow = ada.app.browser();
    let fields = [("email", EMAIL), ("password", "a new passphrase")];
    assert_eq!(slow.submit("/sign-in", "/sign-in", &fields).await.location(), "/sign-in/code");
    ada.app.clock.advance(Duration::minutes(11));
    assert!(slow.get("/sign-in/code").await.location().starts_with("/sign-in"));
}

async fn stored(app: &TestApp) -> Vec<u8> {
    let secret = sqlx::query_scalar("select secret from platform.totp");
    secret.fetch_one(&app.pool().await).await.unwrap()
}

#[tokio::test]
async fn a_secret_from_before_there_was_a_key_is_sealed_and_still_good() {
    let ada = Enrolled::new().await;
    let sealed = stored(&ada.app).await;
    let plain = ada.secret.as_bytes();
    assert!(!sealed.windows(plain.len()).any(|bytes| bytes == plain), "it is not to be read in the database");

    let pool = ada.app.pool().await;
    sqlx::query("update platform.totp set secret = $1").bind(plain).execute(&pool).await.unwrap();
    ada.app.clock.advance(Duration::seconds(30));
    type_code(&mut ada.half_way().await, &ada.code()).await.location();
    let control = &ada.app.state().control;
    assert_eq!(control.seal_stored_secrets().await.unwrap(), 1);
    assert_eq!(control.seal_stored_secrets().await.unwrap(), 0);
    let now = stored(&ada.app).await;
    assert!(now.len() == sealed.len() && now != sealed);
    ada.app.clock.advance(Duration::seconds(30));
    type_code(&mut ada.half_way().await, &ada.code()).await.location();
}

#[tokio::test]
async fn a_server_with_another_key_says_so_and_recovery_codes_still_let_in() {
    let ada = Enrolled::new().await;
    let mut of_another = stored(&ada.app).await;
    // The name of the key that sealed it.
    of_another[1] ^= 1;
    let pool = ada.app.pool().await;
    sqlx::query("update platform.totp set secret = $1").bind(of_another).execute(&pool).await.unwrap();
    let told = ada.app.state().control.seal_stored_secrets().await.unwrap_err().to_string();
    assert!(told.contains("of 1 accounts") && told.contains("SYNCLINE_SECRET_KEY"), "{told}");

    ada.app.clock.advance(Duration::seconds(30));
    let mut browser = ada.half_way().await;
    let page = type_code(&mut browser, &ada.code()).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.error_at("code").contains("Use a recovery code"), "{}", page.html);
    type_code(&mut browser, &ada.recovery_codes[0]).await.location();
}
