//! Connections: HTTP/1.1 with keep-alive, and HTTP/2 without TLS for proxies that speak it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::HeaderMap,
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::app::Syncline;

/// How long a connection may take to send the head of a request, and may stay idle between two.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);
/// Requests that one HTTP/2 connection may have open; a proxy carries many devices over one.
const MAX_STREAMS: u32 = 1_000;
/// Pause after a failed accept. It fails while the process has no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answer requests until the server drains, then let the open ones finish for `http.shutdown_seconds`, then cut them.
/// Returns when no connection is left; the lifecycle is closing then.
pub async fn serve(listener: TcpListener, state: Syncline) {
    let lifecycle = state.lifecycle.clone();
    let (draining, closing) = (lifecycle.draining(), lifecycle.closing());
    let behind_proxy = state.config.http.behind_proxy;
    let patience = Duration::from_secs(state.config.http.shutdown_seconds);
    let router = super::router(state);
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = open.watch(connection(stream, peer, behind_proxy, router.clone()));
                let cut = closing.clone();
                lifecycle.spawn(async move {
                    tokio::select! {
                        // A client that breaks off or speaks nonsense is no event of ours.
                        _ = connection => {}
                        () = cut.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(error.cause = %error, "A connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = open.shutdown() => {}
        () = tokio::time::sleep(patience) => tracing::warn!("Requests that are still open are cut."),
        () = closing.cancelled() => {}
    }
    lifecycle.close();
}

/// One connection; the handlers see who is at its other end, the proxy left out, as [`ConnectInfo`].
fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    behind_proxy: bool,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error: Send> + Send {
    // Answers are written whole; waiting for more to send with them only costs time. If it fails, so will the rest.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let client = if behind_proxy { forwarded_for(request.headers()) } else { None };
        let client = client.map_or(peer, |address| SocketAddr::new(address, 0));
        request.extensions_mut().insert(ConnectInfo(client));
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(HEAD_PATIENCE)
        .keep_alive_timeout(HEAD_PATIENCE);
    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned()
}

/// The last entry of `X-Forwarded-For`: what our proxy saw. Those before it are what the client claimed.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_proxy_itself_saw_is_believed() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            forwarded_for(&headers).map(|address| address.to_string())
        };
        assert_eq!(of(&["203.0.113.9"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(of(&["10.0.0.1, 203.0.113.9"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(of(&["10.0.0.1", "2001:db8::7"]).as_deref(), Some("2001:db8::7"));
        assert_eq!(of(&["nonsense"]), None);
        assert_eq!(of(&[]), None);
    }
}
