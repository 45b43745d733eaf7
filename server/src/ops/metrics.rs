//! Numbers about the server in the text form of Prometheus. Code records them through the `metrics` macros; names
//! begin with `syncline_`, and no label holds anything that grows without bound (users, scopes, URLs as sent).

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds of the histograms of durations, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

pub const HTTP_REQUESTS: &str = "syncline_http_requests_total";
pub const HTTP_DURATION: &str = "syncline_http_request_duration_seconds";
pub const HTTP_IN_FLIGHT: &str = "syncline_http_requests_in_flight";
pub const DATABASE_CONNECTIONS: &str = "syncline_database_connections";
pub const APP_CONNECTIONS_TAKEN: &str = "syncline_app_connections_taken_total";
pub const JOB_FAILURES: &str = "syncline_job_failures_total";

/// The recorder of this process, installed at the first call.
pub fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("BUG: there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        // It can be refused only when somebody else has installed one, whose numbers then are elsewhere.
        if metrics::set_global_recorder(recorder).is_ok() {
            describe();
        }
        handle
    })
}

fn describe() {
    describe_counter!(HTTP_REQUESTS, "Requests answered, by route, method and status.");
    describe_histogram!(
        HTTP_DURATION,
        "Seconds until the head of the answer was ready, by route and method."
    );
    describe_gauge!(HTTP_IN_FLIGHT, "Requests whose answer is not ready yet.");
    describe_counter!(JOB_FAILURES, "Runs of periodic jobs that failed, by job.");
    describe_counter!(
        APP_CONNECTIONS_TAKEN,
        "Connections taken for an app, by how: one that knew it, was waited for, or had to learn it."
    );
    describe_gauge!(DATABASE_CONNECTIONS, "Open connections, by pool and whether one is in use.");
}
