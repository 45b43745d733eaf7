//! The base URL of an app may be configured in a client with a slash at its end; what it then asks for has two.

use axum::{
    extract::Request,
    http::{Uri, uri::PathAndQuery},
};

/// `/t/{tenant}/{app}//sync/…` asks for `/t/{tenant}/{app}/sync/…` (PROTOCOL.md). Only there: anywhere else an empty
/// segment is nothing of ours.
pub(in crate::http) fn after_base_url(mut request: Request) -> Request {
    if let Some(uri) = with_one_slash(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn with_one_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let (base, rest) = path.strip_prefix("/t/")?.split_once("//")?;
    let is_base = base.split('/').count() == 2 && !base.contains("//");
    let asked = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/t/{base}/{rest}{asked}");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(is_base.then(|| PathAndQuery::try_from(path).ok())??);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_slash_after_a_base_url_goes_and_no_other() {
        let asked = |uri: &str| with_one_slash(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(asked("/t/a/b//sync/pull?after=//").as_deref(), Some("/t/a/b/sync/pull?after=//"));
        assert_eq!(asked("/t/a/b//").as_deref(), Some("/t/a/b/"));
        for other in [
            "/t/a/b/sync/pull",
            "/t/a//b/sync",
            "/t//a/b/sync",
            "/d/a/b//keys",
            "//t/a/b/x",
            "/t/a/b/sync//pull",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
