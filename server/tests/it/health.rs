//! What those who operate the server ask it.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use syncline::{app::Syncline, clock::Clock, http::router, ids::Chance, ops::config::Config};
use tower::ServiceExt;

use crate::support::{app::secret_key, database};

async fn get(state: &Syncline, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = router(state.clone()).oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_server_that_stops_is_alive_but_not_ready_and_takes_no_requests() {
    let database = database::fresh().await;
    let databases = database.databases().await;
    let state =
        Syncline::new(Config::default(), secret_key(), Clock::for_testing(), Chance::seeded(1), databases);
    assert_eq!(get(&state, "/livez").await, (StatusCode::OK, "alive\n".to_owned()));
    assert_eq!(get(&state, "/readyz").await, (StatusCode::OK, "ready\n".to_owned()));
    let (status, body) = get(&state, "/t/acme/notes/api/keys").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");

    state.lifecycle.drain();
    assert_eq!(get(&state, "/livez").await.0, StatusCode::OK);
    assert_eq!(get(&state, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()));
    let (status, body) = get(&state, "/t/acme/notes/api/keys").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("\"service_unavailable\""), "{body}");
}

#[tokio::test]
async fn a_server_without_its_database_is_alive_but_not_ready() {
    let database = database::fresh().await;
    let databases = database.databases().await;
    let state =
        Syncline::new(Config::default(), secret_key(), Clock::for_testing(), Chance::seeded(1), databases);
    state.databases.close().await;
    assert_eq!(get(&state, "/livez").await.0, StatusCode::OK);
    assert_eq!(get(&state, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_url() {
    let database = database::fresh().await;
    let databases = database.databases().await;
    let state =
        Syncline::new(Config::default(), secret_key(), Clock::for_testing(), Chance::seeded(1), databases);
    get(&state, "/metrics").await;
    get(&state, "/t/some-tenant/some-app/api/keys").await;
    get(&state, "/nothing-here").await;
    let (status, numbers) = get(&state, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(numbers.contains("route=\"/t/{tenant}/{app}/api/keys\""), "{numbers}");
    assert!(numbers.contains("syncline_database_connections{pool=\"apps\",state=\"idle\"}"), "{numbers}");
    assert!(!numbers.contains("some-tenant") && !numbers.contains("nothing-here"), "{numbers}");
}

#[tokio::test]
async fn a_body_in_an_unknown_encoding_is_refused_with_a_sentence() {
    let database = database::fresh().await;
    let databases = database.databases().await;
    let state =
        Syncline::new(Config::default(), secret_key(), Clock::for_testing(), Chance::seeded(1), databases);
    let request =
        Request::post("/t/a/b/auth/token").header("content-encoding", "br").body(Body::from("x")).unwrap();
    let answer = router(state).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{\"error\":\"unsupported_encoding\""));
}
