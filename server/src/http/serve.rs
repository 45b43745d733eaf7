//! Connections: HTTP/1.1 with keep-alive, and HTTP/2 without TLS for proxies that speak it.
//!
//! Most connections of a busy server do nothing: a device keeps one open for as long as it watches. So what a
//! connection holds while it waits is kept small: its state is in the task once, that of HTTP/2 only where it is spoken,
//! and a buffer of 8 KiB to read into, which is the least that hyper has.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::HeaderMap,
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::app::Syncline;

/// How long a connection may take to send the head of a request, and may stay idle between two.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);
/// Requests that one HTTP/2 connection may have open; a proxy carries many devices over one.
const MAX_STREAMS: u32 = 1_000;
/// The most that an HTTP/1.1 connection holds of what it has read, which bounds heads, and about how much of an answer
/// waits for the client before more of it is asked for.
const MAX_BUFFERED: usize = 64 * 1024;
/// Pause after a failed accept. It fails while the process has no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a connection of HTTP/2 begins with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all connections share.
struct Shared {
    router: Router,
    behind_proxy: bool,
    draining: CancellationToken,
    closing: CancellationToken,
}

/// A connection that was accepted.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    /// Tells when to end after the request that is open; and that this has happened, by being dropped.
    open: Watcher,
}

/// Answer requests until the server drains, then let the open ones finish for `http.shutdown_seconds`, then cut them.
/// Returns when no connection is left; the lifecycle is closing then.
pub async fn serve(listener: TcpListener, state: Syncline) {
    let lifecycle = state.lifecycle.clone();
    let (draining, closing) = (lifecycle.draining(), lifecycle.closing());
    let patience = Duration::from_secs(state.config.http.shutdown_seconds);
    let shared = Arc::new(Shared {
        behind_proxy: state.config.http.behind_proxy,
        router: super::router(state),
        draining: draining.clone(),
        closing: closing.clone(),
    });
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection =
                    Connection { stream, peer, shared: Arc::clone(&shared), open: open.watcher() };
                lifecycle.spawn(connection.run());
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

impl Connection {
    /// Serve it to its end, or until it is cut.
    async fn run(self) {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = self.talk() => {}
            () = shared.closing.cancelled() => {}
        }
    }

    /// That a client breaks off or speaks nonsense is no event of ours.
    async fn talk(self) {
        // Answers are written whole; waiting for more to send with them only costs time. If it fails, so will the rest.
        let _ = self.stream.set_nodelay(true);
        let like_http2 = tokio::select! {
            beginning = timeout(HEAD_PATIENCE, begins_like_http2(&self.stream)) => beginning,
            () = self.shared.draining.cancelled() => return,
        };
        let Ok(Ok(like_http2)) = like_http2 else { return };
        if like_http2 {
            Box::pin(self.talk_either()).await;
        } else {
            self.talk_http1().await;
        }
    }

    async fn talk_http1(self) {
        let service = TowerToHyperService::new(service(&self.shared, self.peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(MAX_BUFFERED)
            .serve_connection(TokioIo::new(self.stream), service);
        let _ = self.open.watch(connection).await;
    }

    /// HTTP/2, or HTTP/1.1 if after more bytes it turns out to be that.
    async fn talk_either(self) {
        let service = TowerToHyperService::new(service(&self.shared, self.peer));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(MAX_BUFFERED)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(HEAD_PATIENCE)
            .keep_alive_timeout(HEAD_PATIENCE);
        let connection = builder.serve_connection(TokioIo::new(self.stream), service).into_owned();
        let _ = self.open.watch(connection).await;
    }
}

/// Whether the first bytes may be the beginning of HTTP/2. They stay to be read.
async fn begins_like_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut beginning = [0; HTTP2_PREFACE.len()];
    let read = stream.peek(&mut beginning).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(HTTP2_PREFACE.starts_with(&beginning[..read]))
}

/// What answers the requests of one connection; the handlers see who is at its other end, the proxy left out, as
/// [`ConnectInfo`].
fn service(
    shared: &Shared,
    peer: SocketAddr,
) -> impl Service<Request<Incoming>, Response = Response, Error = std::convert::Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    let behind_proxy = shared.behind_proxy;
    shared.router.clone().map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let client = if behind_proxy { forwarded_for(request.headers()) } else { None };
        let client = client.map_or(peer, |address| SocketAddr::new(address, 0));
        request.extensions_mut().insert(ConnectInfo(client));
        request
    })
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
