//! Bad request lines, query strings and headers.

use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Caller, Checker, ROW, assert_harmless};
use crate::support::device::schema::Profile;

pub(super) const HOSTILE_SEGMENTS: [&str; 22] = [
    "..",
    "%2e%2e",
    ".",
    "%2e",
    "%00",
    "a%00b",
    "%ff%fe",
    "%c3%28",
    "%",
    "%zz",
    "a%2Fb",
    "%20",
    "%0d%0aX-Evil:%201",
    "ACME",
    "app_00000000000000000000000000000000",
    "platform",
    "'%3b%20drop%20table%20users%3b--",
    "%F0%9F%98%80",
    "xn--80ak6aa92e",
    "%E2%80%AE",
    "~",
    "*",
];

#[tokio::test]
async fn hostile_path_segments_find_nothing() {
    let checker = Checker::new(Profile::Strings).await;
    let (server, tenant_and_app) = checker.app.base_url.split_once("/t/").unwrap();
    let (tenant, app) = tenant_and_app.split_once('/').unwrap();
    let host = server.strip_prefix("http://").unwrap();
    let long = "x".repeat(6_000);
    for segment in HOSTILE_SEGMENTS.into_iter().chain([long.as_str()]) {
        for path in [
            format!("/t/{segment}/{app}/sync/capabilities"),
            format!("/t/{tenant}/{segment}/sync/capabilities"),
            format!("/t/{tenant}/{app}/v/{segment}/sync/capabilities"),
            format!("/t/{tenant}/{app}/{segment}"),
            format!("/t/{tenant}/{app}/sync/{segment}"),
            format!("/t/{tenant}/{app}/sync/push-sessions/{segment}/commit"),
            format!("/t/{tenant}/{app}/sync/committed-bundles/{segment}/rows"),
            format!("/t/{tenant}/{app}/sync/snapshot-sessions/{segment}"),
            format!("/t/{tenant}/{app}/api/keys/{segment}"),
        ] {
            let method = if path.ends_with("/commit") { "POST" } else { "GET" };
            // By hand: an HTTP client would tidy the path up before it leaves.
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\noversync-source-id: hostile\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n",
                checker.token,
            );
            let (status, body) = raw(host, request.as_bytes()).await;
            let what = format!("{method} {}", &path[..path.len().min(200)]);
            assert!((400..500).contains(&status), "{what}: {status} {body}");
            if !body.is_empty() {
                assert_harmless(&what, status, &body);
            }
        }
    }
}

#[tokio::test]
async fn bad_query_strings_are_refused_in_words() {
    let checker = Checker::new(Profile::Strings).await;
    const VALUES: [&str; 18] = [
        "",
        "x",
        "-1",
        "1.5",
        "1e3",
        "+1",
        "%201",
        "01x",
        "9223372036854775808",
        "-9223372036854775809",
        "0x10",
        "%00",
        "%ff",
        "%",
        "null",
        "true",
        "%F0%9F%98%80",
        "1,2",
    ];
    let queries = [
        ("sync/pull", "after_bundle_seq"),
        ("sync/pull", "max_bundles"),
        ("sync/pull", "target_bundle_seq"),
        ("sync/watch", "after_bundle_seq"),
        ("sync/committed-bundles/1/rows", "after_row_ordinal"),
        ("sync/committed-bundles/1/rows", "max_rows"),
        (&format!("sync/snapshot-sessions/{ROW}"), "after_row_ordinal"),
        (&format!("sync/snapshot-sessions/{ROW}"), "max_rows"),
        (&format!("sync/snapshot-sessions/{ROW}"), "max_bytes"),
    ];
    for (path, name) in queries {
        for value in VALUES {
            let url = format!("{path}?{name}={value}");
            let headers = checker.headers(Caller::Device);
            let (status, text) = checker.send(Method::GET, &url, headers, "a bad query", Vec::new()).await;
            assert!(status >= 400, "{url} was answered {status}: {text}");
        }
        let url = format!("{path}?{name}=1&{name}=2");
        checker.send(Method::GET, &url, checker.headers(Caller::Device), "given twice", Vec::new()).await;
        let url = format!("{path}?{name}={}", "1".repeat(5_000));
        let headers = checker.headers(Caller::Device);
        let (status, _) = checker.send(Method::GET, &url, headers, "5000 digits", Vec::new()).await;
        assert!(status >= 400);
    }
}

#[tokio::test]
async fn odd_headers_are_refused_in_words() {
    let checker = Checker::new(Profile::Strings).await;
    let bytes = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
    let long = "x".repeat(8_000);
    let token = &checker.token;
    let credentials = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "bearer x",
        "Basic dXNlcjpwYXNz",
        "Bearer a b",
        "Bearer \u{e9}",
        &format!("Bearer {token}x"),
        &format!("Bearer {}", token.to_uppercase()),
        &format!("Token {token}"),
        &format!("Bearer {long}"),
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer ..",
        "Bearer .e30.",
    ];
    for credential in credentials {
        let mut headers = checker.headers(Caller::Device);
        headers.insert("authorization", bytes(credential.as_bytes()));
        let (status, text) =
            checker.send(Method::GET, "sync/capabilities", headers, credential, Vec::new()).await;
        assert_eq!(status, 401, "{credential}: {text}");
        assert!(text.contains("\"authentication_failed\""), "{credential}: {text}");
    }
    let mut two = checker.headers(Caller::Device);
    two.append("authorization", bytes(b"Bearer another"));
    checker.send(Method::GET, "sync/capabilities", two, "two credentials", Vec::new()).await;

    for source in
        ["", " ", "a b", "\u{e9}", "server:sql", "server:dashboard", &"x".repeat(257), "\u{7f}", "a\tb"]
    {
        let mut headers: HeaderMap = checker.headers(Caller::Device);
        match HeaderValue::from_bytes(source.as_bytes()) {
            Ok(value) => headers.insert("oversync-source-id", value),
            Err(_) => continue,
        };
        for path in ["sync/pull?after_bundle_seq=0", "sync/capabilities"] {
            checker.send(Method::GET, path, headers.clone(), source, Vec::new()).await;
        }
        let (status, text) =
            checker.send(Method::GET, "sync/pull?after_bundle_seq=0", headers, source, Vec::new()).await;
        assert_eq!(status, 400, "source {source:?}: {text}");
        assert!(text.contains("\"invalid_request\""), "source {source:?}: {text}");
    }
    let mut without = checker.headers(Caller::Device);
    without.remove("oversync-source-id");
    let (status, text) =
        checker.send(Method::GET, "sync/pull?after_bundle_seq=0", without, "no source", Vec::new()).await;
    assert_eq!(status, 400, "{text}");

    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        ";",
        "application/\u{e9}",
    ] {
        let mut headers = checker.headers(Caller::Device);
        headers.insert("content-type", bytes(kind.as_bytes()));
        let body = br#"{"has_local_pending_rows":false}"#.to_vec();
        checker.send(Method::POST, "sync/connect", headers, kind, body).await;
    }
    for accepted in ["br", "gzip;q=0", "identity;q=0", "*;q=0", "\u{e9}", "gzip, deflate, br, zstd"] {
        let mut headers = checker.headers(Caller::Device);
        headers.insert("accept-encoding", bytes(accepted.as_bytes()));
        headers.insert("accept", bytes(b"image/png"));
        checker.send(Method::GET, "syncx/status", headers, accepted, Vec::new()).await;
    }
}

#[tokio::test]
async fn broken_http_costs_one_connection() {
    let checker = Checker::new(Profile::Strings).await;
    let host = checker.app.base_url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let long_header = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(600_000));
    let many_headers = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(500));
    let pieces: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        long_header.as_bytes(),
        many_headers.as_bytes(),
    ];
    for piece in pieces {
        let (status, body) = raw(host, piece).await;
        assert!(
            status < 500,
            "{:?}: {status} {body}",
            String::from_utf8_lossy(&piece[..piece.len().min(80)])
        );
    }
    // A body that ends before its length.
    let path = checker.app.base_url.split_once(host).unwrap().1;
    let short = format!(
        "POST {path}/sync/connect HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\noversync-source-id: hostile\r\n\
         content-type: application/json\r\ncontent-length: 500\r\n\r\n{{\"has_local",
        checker.token
    );
    let (status, body) = raw(host, short.as_bytes()).await;
    assert!(status < 500, "{status} {body}");
    super::still_works(&checker, Profile::Strings).await;
}

/// Send bytes, end our side, read until the server ends its; status 0 when it said nothing.
async fn raw(host: &str, bytes: &[u8]) -> (u16, String) {
    let talk = async {
        let mut stream = TcpStream::connect(host).await.unwrap();
        // The server may have heard enough before the end.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer =
        tokio::time::timeout(std::time::Duration::from_secs(60), talk).await.expect("the server hangs");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { body.split("\r\n").nth(1).unwrap_or_default() } else { body };
    (status, body.to_owned())
}
