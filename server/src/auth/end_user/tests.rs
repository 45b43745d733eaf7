//! Every check of a token, failing alone.

use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

fn own() -> OwnJwt {
    OwnJwt {
        secret: SigningSecret::new("the app's own secret"),
        issuer: Some("https://app.example".to_owned()),
        audience: Some("syncline".to_owned()),
        clock_skew: Duration::seconds(30),
        user_claim: "sub".to_owned(),
        scope_claim: None,
    }
}

fn auth(own: Option<OwnJwt>) -> EndUserAuth {
    EndUserAuth::new(
        AppId::from_uuid(uuid::Uuid::nil()),
        "mint-1".to_owned(),
        SigningSecret::new([1; 32]),
        own,
    )
}

fn signed(claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn verify(auth: &EndUserAuth, token: &str) -> Result<EndUser, TokenFailure> {
    auth.verify(&UnverifiedToken::parse(token)?, now())
}

/// The app's own token with some claims replaced (null: left out).
fn own_token(changes: Value) -> String {
    let mut claims = json!({
        "sub": "ada", "exp": NOW + 60, "iss": "https://app.example", "aud": ["other", "syncline"],
    });
    for (claim, value) in changes.as_object().unwrap() {
        claims[claim] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    signed(&claims, "the app's own secret")
}

#[test]
fn a_minted_token_names_its_user_and_scope_until_it_expires() {
    let auth = auth(None);
    let (user, scope) = (UserId::parse("ada").unwrap(), ScopeId::parse("team/7 é").unwrap());
    let token = auth.mint(&user, &scope, now(), Duration::seconds(60));
    let verified = verify(&auth, &token).unwrap();
    assert_eq!((verified.user(), verified.scope()), (&user, &scope));
    assert_eq!(verified.expires_at(), now() + Duration::seconds(60));

    let later = now() + Duration::seconds(60);
    let failure = auth.verify(&UnverifiedToken::parse(&token).unwrap(), later).unwrap_err();
    assert!(matches!(failure, TokenFailure::Expired { .. }));
}

#[test]
fn a_token_minted_for_one_app_is_refused_by_another() {
    let (user, scope) = (UserId::parse("ada").unwrap(), ScopeId::parse("ada").unwrap());
    let token = auth(None).mint(&user, &scope, now(), Duration::seconds(60));

    let same_keys = EndUserAuth { app: AppId::new(), ..auth(None) };
    assert!(matches!(verify(&same_keys, &token), Err(TokenFailure::Audience { .. })));
    let same_key_id = EndUserAuth { mint_secret: SigningSecret::new([2; 32]), ..auth(None) };
    assert_eq!(verify(&same_key_id, &token), Err(TokenFailure::Signature { ours: true }));
    let other = EndUserAuth { mint_key_id: "mint-2".to_owned(), ..auth(Some(own())) };
    assert_eq!(verify(&other, &token), Err(TokenFailure::Signature { ours: false }));
}

#[test]
fn the_apps_own_token_is_accepted() {
    let verified = verify(&auth(Some(own())), &own_token(json!({}))).unwrap();
    assert_eq!((verified.user().as_str(), verified.scope().as_str()), ("ada", "ada"));

    let teams = OwnJwt { scope_claim: Some("team".to_owned()), ..own() };
    let verified = verify(&auth(Some(teams)), &own_token(json!({"team": "blue"}))).unwrap();
    assert_eq!((verified.user().as_str(), verified.scope().as_str()), ("ada", "blue"));
}

#[test]
fn clocks_may_differ_by_the_configured_skew_and_no_more() {
    let auth = auth(Some(own()));
    assert!(verify(&auth, &own_token(json!({"exp": NOW - 29}))).is_ok());
    assert!(matches!(verify(&auth, &own_token(json!({"exp": NOW - 30}))), Err(TokenFailure::Expired { .. })));
    assert!(verify(&auth, &own_token(json!({"nbf": NOW + 30}))).is_ok());
    assert!(matches!(
        verify(&auth, &own_token(json!({"nbf": NOW + 31}))),
        Err(TokenFailure::NotYetValid { .. })
    ));
    assert!(verify(&auth, &own_token(json!({"exp": NOW as f64 + 0.5}))).is_ok());
    assert!(verify(&auth, &own_token(json!({"exp": 1e300}))).is_ok());
    assert!(verify(&auth, &own_token(json!({"exp": i64::MIN}))).is_err());
}

#[test]
fn each_check_of_the_apps_own_token_fails_by_its_name() {
    let auth = auth(Some(own()));
    let failure = |changes: Value| verify(&auth, &own_token(changes)).unwrap_err();
    assert_eq!(failure(json!({"exp": null})), TokenFailure::NoExpiry);
    assert_eq!(failure(json!({"exp": "soon"})), TokenFailure::NoExpiry);
    assert!(matches!(failure(json!({"iss": "https://evil.example"})), TokenFailure::Issuer { .. }));
    assert!(matches!(failure(json!({"iss": null})), TokenFailure::Issuer { .. }));
    assert!(matches!(failure(json!({"aud": "other"})), TokenFailure::Audience { .. }));
    assert!(matches!(failure(json!({"sub": null})), TokenFailure::NoUser { .. }));
    assert!(matches!(failure(json!({"sub": 7})), TokenFailure::NoUser { .. }));
    assert!(matches!(failure(json!({"sub": "a\u{0}b"})), TokenFailure::User { .. }));
    assert!(matches!(failure(json!({"sub": "x".repeat(256)})), TokenFailure::User { .. }));

    let teams = self::auth(Some(OwnJwt { scope_claim: Some("team".to_owned()), ..own() }));
    assert!(matches!(verify(&teams, &own_token(json!({}))), Err(TokenFailure::NoScope { .. })));
    assert!(matches!(verify(&teams, &own_token(json!({"team": ""}))), Err(TokenFailure::Scope { .. })));
    assert_eq!(verify(&self::auth(None), &own_token(json!({}))), Err(TokenFailure::NoOwnSecret));
    let forged = signed(&json!({"sub": "ada", "exp": NOW + 60}), "another secret, a guess");
    assert_eq!(verify(&auth, &forged), Err(TokenFailure::Signature { ours: false }));
}

#[test]
fn what_is_no_hs256_jwt_is_refused() {
    let parse = |text: &str| UnverifiedToken::parse(text).unwrap_err();
    assert_eq!(parse(""), TokenFailure::Malformed);
    assert_eq!(parse("a.b.c"), TokenFailure::Malformed);
    assert_eq!(parse(&"x".repeat(100_000)), TokenFailure::Malformed);
    // {"alg":"none"} and {"alg":"RS256"}
    assert_eq!(parse("eyJhbGciOiJub25lIn0.e30."), TokenFailure::Algorithm { found: "none".to_owned() });
    assert_eq!(parse("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), TokenFailure::Algorithm { found: "RS256".to_owned() });
    let good_header_bad_claims = "eyJhbGciOiJIUzI1NiJ9.bm90IGpzb24.c2ln";
    assert!(matches!(
        verify(&auth(Some(own())), good_header_bad_claims),
        Err(TokenFailure::Signature { .. })
    ));
}

#[test]
fn revoked_tokens_are_those_that_are_not_surely_newer() {
    let revoked_at = |seconds: i64| {
        let at = now() + Duration::seconds(seconds);
        auth(Some(own())).with_revocations([("ada".to_owned(), at)].into_iter().collect())
    };
    let (ada, bob) = (UserId::parse("ada").unwrap(), UserId::parse("bob").unwrap());
    let minted = |user: &UserId| auth(None).mint(user, &user.own_scope(), now(), Duration::seconds(60));
    assert!(matches!(verify(&revoked_at(0), &minted(&ada)), Err(TokenFailure::Revoked { .. })));
    assert!(verify(&revoked_at(-1), &minted(&ada)).is_ok());
    assert!(verify(&revoked_at(0), &minted(&bob)).is_ok());

    // The app's own server may be ahead by 30 seconds.
    let own = |issued: i64| own_token(json!({"iat": NOW + issued}));
    assert!(verify(&revoked_at(-31), &own(0)).is_ok());
    assert!(matches!(verify(&revoked_at(-30), &own(0)), Err(TokenFailure::Revoked { .. })));
    let undated = own_token(json!({}));
    assert!(matches!(verify(&revoked_at(-1_000_000), &undated), Err(TokenFailure::RevokedUndated { .. })));
    assert!(verify(&auth(Some(self::own())), &undated).is_ok());
}

#[test]
fn a_refused_token_still_tells_whom_it_names_and_whether_that_is_signed() {
    let auth = auth(Some(OwnJwt { scope_claim: Some("team".to_owned()), ..own() }));
    let forged = signed(&json!({"sub": "ada", "team": "blue"}), "another secret, a guess");
    let named = auth.named_by(&forged).unwrap();
    assert_eq!((named.user.as_str(), named.scope.as_str()), ("ada", "blue"));
    assert!(!verify(&auth, &forged).unwrap_err().is_signed());
    let minted = auth.mint(&named.user, &named.scope, now(), Duration::seconds(-1));
    assert_eq!(auth.named_by(&minted), Some(named));
    let expired = verify(&auth, &minted).unwrap_err();
    assert_eq!((expired.check(), expired.is_signed()), ("expiry", true));
    for nothing in ["", "a.b.c", "a", "e30.e30.", &"x".repeat(100_000)] {
        assert_eq!(auth.named_by(nothing), None);
    }
}
