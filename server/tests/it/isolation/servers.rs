//! The API of tenants' servers: a key is good for one app, and for what it was issued for.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use syncline::control::{
    api_keys::{KeyKind, KeyScope, NewApiKey},
    tenants::AppName,
};

use super::{Neighbours, Route, fingerprint, routes_of};
use crate::support::app::{Answer, TestSyncApp};

/// What a key must be allowed to do for a route.
fn needed_scope(route: &Route) -> KeyScope {
    match route.path.strip_prefix("/t/{tenant}/{app}/").unwrap() {
        "auth/token" => KeyScope::Tokens,
        "api/schema" => KeyScope::Schema,
        path if path.starts_with("api/keys") => KeyScope::Keys,
        other => panic!("this matrix does not know what {other} needs"),
    }
}

fn good_body(route: &Route) -> Option<Json> {
    (route.method == Method::POST).then(|| match route.path.as_str() {
        "/t/{tenant}/{app}/auth/token" => json!({ "user_id": "alice" }),
        "/t/{tenant}/{app}/api/schema" => json!({ "ddl": "create table t (id text primary key not null);" }),
        // A key can give away no more than it has.
        _ => json!({ "name": "another", "kind": "secret", "scopes": ["keys"] }),
    })
}

async fn ask(app: &TestSyncApp, route: &Route, key_in_path: &str, credential: &str) -> Answer {
    let path = route.path.strip_prefix("/t/{tenant}/{app}/").unwrap().replace("{key}", key_in_path);
    assert!(!path.contains('{'), "this matrix does not know how to fill in {path}");
    app.call(route.method.clone(), &path, credential, good_body(route)).await
}

/// A secret key of the app that may do only this.
async fn key_for(neighbours: &Neighbours, app: &TestSyncApp, scopes: Vec<KeyScope>) -> (String, String) {
    let new =
        NewApiKey { kind: KeyKind::Secret, name: AppName::parse("k").unwrap(), scopes, expires_at: None };
    let control = &neighbours.server.state().control;
    let issued = control.issue_api_key(&app.owner.owner.actor(), &app.app, new).await.unwrap();
    (issued.key.api_key_id.to_string(), issued.token.expose().to_owned())
}

#[tokio::test]
async fn a_route_of_servers_is_closed_to_every_other_credential() {
    let neighbours = Neighbours::new().await;
    let app = &neighbours.notes;
    let control = &neighbours.server.state().control;
    let pool = neighbours.server.pool().await;
    let (spare_id, _) = key_for(&neighbours, app, vec![KeyScope::Tokens]).await;
    let (revoked_id, revoked) = key_for(&neighbours, app, KeyScope::ALL.to_vec()).await;
    let actor = app.owner.owner.actor();
    assert!(control.revoke_api_key(&actor, &app.app, revoked_id.parse().unwrap()).await.unwrap());
    let mut short_lived = NewApiKey::unrestricted(KeyKind::Secret, "short").unwrap();
    short_lived.expires_at = Some(control.now() + time::Duration::minutes(1));
    let expired =
        control.issue_api_key(&actor, &app.app, short_lived).await.unwrap().token.expose().to_owned();
    neighbours.server.clock.advance(time::Duration::minutes(2));

    let strangers = [
        ("nobody", String::new()),
        ("made up", "sk_live_made_up".to_owned()),
        ("a key cut short", app.secret_key[..app.secret_key.len() - 1].to_owned()),
        ("a user's token", app.token("alice").await),
        ("the key of the tenant's other app", neighbours.tasks.secret_key.clone()),
        ("the key of another tenant's app of the same name", neighbours.foreign.secret_key.clone()),
        ("a revoked key", revoked),
        ("an expired key", expired),
    ];
    let before = fingerprint(&pool).await;
    for route in routes_of("for_tenants_servers") {
        for (who, credential) in &strangers {
            let answer = ask(app, &route, &spare_id, credential).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{who}: {route:?}: {}", answer.text);
            assert_eq!(answer.code(), "authentication_failed", "{who}: {route:?}");
        }
        let publishable = ask(app, &route, &spare_id, &app.publishable_key).await;
        assert_eq!(publishable.status, StatusCode::FORBIDDEN, "{route:?}: {}", publishable.text);
        let others: Vec<_> =
            KeyScope::ALL.into_iter().filter(|scope| *scope != needed_scope(&route)).collect();
        let (_, weak) = key_for(&neighbours, app, others).await;
        let answer = ask(app, &route, &spare_id, &weak).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route:?}: {}", answer.text);
        assert_eq!(answer.code(), "key_scope_missing", "{route:?}");
    }
    let after = fingerprint(&pool).await;
    let known = ["platform.api_key", "platform.audit", "platform.change", "platform.change_log"];
    let changed: Vec<_> =
        before.iter().zip(&after).filter(|(b, a)| b != a).map(|(b, _)| b.0.as_str()).collect();
    assert!(changed.iter().all(|table| known.contains(table)), "only our own new keys: {changed:?}");

    for route in routes_of("for_tenants_servers") {
        let (_, just_enough) = key_for(&neighbours, app, vec![needed_scope(&route)]).await;
        let answer = ask(app, &route, &spare_id, &just_enough).await;
        assert!(answer.status.is_success(), "rightful: {route:?}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test]
async fn a_key_of_another_app_is_not_found_and_stays_as_it_is() {
    let neighbours = Neighbours::new().await;
    let (foreign_id, foreign) = key_for(&neighbours, &neighbours.foreign, vec![KeyScope::Tokens]).await;
    let (sibling_id, sibling) = key_for(&neighbours, &neighbours.tasks, vec![KeyScope::Tokens]).await;
    let absent = neighbours
        .notes
        .call(
            Method::DELETE,
            &format!("api/keys/{}", syncline::ids::ApiKeyId::new()),
            &neighbours.notes.secret_key,
            None,
        )
        .await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND, "{}", absent.text);
    for id in [foreign_id, sibling_id] {
        let path = format!("api/keys/{id}");
        let answer = neighbours.notes.call(Method::DELETE, &path, &neighbours.notes.secret_key, None).await;
        assert_eq!((answer.status, &answer.text), (absent.status, &absent.text));
    }
    for (app, key) in [(&neighbours.foreign, foreign), (&neighbours.tasks, sibling)] {
        let token = app.call(Method::POST, "auth/token", &key, Some(json!({ "user_id": "u" }))).await;
        assert_eq!(token.status, StatusCode::OK, "{}", token.text);
    }
}
