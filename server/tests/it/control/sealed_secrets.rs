//! An app's own JWT secret is not to be read in the database, and good all the same.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use syncline::{
    control::end_user_auth::{JwtSecretChange, NewEndUserAuthSettings},
    tables::spec::WireProfile,
};

use crate::support::{
    app::{TestApp, TestSyncApp},
    sync_app::SyncClient,
};

const SECRET: &str = "the app's own hs256 sécret";

async fn set(app: &TestApp, notes: &TestSyncApp, jwt_secret: JwtSecretChange) {
    let settings = NewEndUserAuthSettings {
        jwt_secret,
        issuer: None,
        audience: None,
        clock_skew_seconds: 0,
        user_claim: "sub".to_owned(),
        scope_claim: None,
    };
    let (control, owner) = (&app.state().control, notes.owner.owner.actor());
    control.change_end_user_auth(&owner, &notes.app, &settings).await.unwrap();
    app.state().directory.refresh().await;
}

/// A device with a token that the app's own server has signed.
fn device(app: &TestApp, notes: &TestSyncApp) -> SyncClient {
    let claims = json!({ "sub": "ada", "exp": app.clock.now().unix_timestamp() + 60 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    SyncClient::of(notes, &token, "phone")
}

type Stored = (Option<String>, Option<Vec<u8>>);

async fn stored(app: &TestApp) -> Stored {
    let query = "select jwt_secret, sealed_jwt_secret from platform.app_end_user_auth";
    sqlx::query_as(query).fetch_one(&app.pool().await).await.unwrap()
}

#[tokio::test]
async fn an_apps_own_secret_is_sealed_also_one_from_before_there_was_a_key() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    set(&app, &notes, JwtSecretChange::Set(SECRET.to_owned())).await;
    let (plain, sealed) = stored(&app).await;
    let sealed = sealed.expect("a sealed secret");
    assert!(plain.is_none() && !sealed.windows(8).any(|bytes| bytes == &SECRET.as_bytes()[..8]));
    let phone = device(&app, &notes);
    phone.connect(false).await.ok();

    // Other settings are changed, and it is kept.
    set(&app, &notes, JwtSecretChange::Keep).await;
    assert_eq!(stored(&app).await, (None, Some(sealed)));
    phone.get("sync/pull?after_bundle_seq=0").await.ok();

    let pool = app.pool().await;
    let old = "update platform.app_end_user_auth set jwt_secret = $1, sealed_jwt_secret = null";
    sqlx::query(old).bind(SECRET).execute(&pool).await.unwrap();
    set(&app, &notes, JwtSecretChange::Keep).await;
    phone.get("sync/pull?after_bundle_seq=0").await.ok();
    let control = &app.state().control;
    assert_eq!(control.seal_stored_secrets().await.unwrap(), 1);
    assert_eq!(control.seal_stored_secrets().await.unwrap(), 0);
    assert!(matches!(stored(&app).await, (None, Some(_))));
    set(&app, &notes, JwtSecretChange::Keep).await;
    phone.get("sync/pull?after_bundle_seq=0").await.ok();

    set(&app, &notes, JwtSecretChange::Remove).await;
    assert_eq!(stored(&app).await, (None, None));
    phone.get("sync/pull?after_bundle_seq=0").await.refused(401, "authentication_failed");
}

#[tokio::test]
async fn a_server_with_another_key_than_the_one_that_sealed_does_not_start() {
    let app = TestApp::start().await;
    let notes = app.create_app(WireProfile::Strings, "").await;
    set(&app, &notes, JwtSecretChange::Set(SECRET.to_owned())).await;
    let (_, sealed) = stored(&app).await;
    let mut of_another = sealed.unwrap();
    // The name of the key that sealed it.
    of_another[1] ^= 1;
    let query = "update platform.app_end_user_auth set sealed_jwt_secret = $1";
    sqlx::query(query).bind(of_another).execute(&app.pool().await).await.unwrap();
    let told = app.state().control.seal_stored_secrets().await.unwrap_err().to_string();
    assert!(told.contains("of 1 apps") && told.contains("SYNCLINE_SECRET_KEY"), "{told}");
}
