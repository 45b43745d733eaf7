//! Connections: HTTP/1.1 with keep-alive, and HTTP/2 without TLS for proxies that speak it.
//!
//! Most connections of a busy server do nothing: a device keeps one open for as long as it watches. So a task holds of
//! its connection only what it needs just now: what speaks HTTP is in boxes, and goes while a long answer is sent.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::HeaderMap,
    response::Response,
};
use futures_util::TryFutureExt as _;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tower::{Service, ServiceExt, service_fn};

use super::long_answer::{Handover, Socket, Tail, may_be_long};
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
    peer: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped when the connection has ended.
    _open: TaskTrackerToken,
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
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection { peer, shared: Arc::clone(&shared), _open: open.token() };
                lifecycle.spawn(connection.run(stream));
            }
            Err(error) => {
                tracing::warn!(error.cause = %error, "A connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    open.close();
    tokio::select! {
        () = open.wait() => {}
        () = tokio::time::sleep(patience) => tracing::warn!("Requests that are still open are cut."),
        () = closing.cancelled() => {}
    }
    lifecycle.close();
}

impl Connection {
    /// Serve it to its end, or until it is cut.
    async fn run(self, stream: TcpStream) {
        tokio::select! {
            () = self.talk(stream) => {}
            () = self.shared.closing.cancelled() => {}
        }
    }

    /// That a client breaks off or speaks nonsense is no event of ours.
    async fn talk(&self, stream: TcpStream) {
        // Answers are written whole; waiting for more to send with them only costs time. If it fails, so will the rest.
        let _ = stream.set_nodelay(true);
        let Some(like_http2) = Box::pin(self.begins_like_http2(&stream)).await else { return };
        if like_http2 {
            return Box::pin(self.talk_either(stream)).await;
        }
        let mut next = Some(stream);
        while let Some(stream) = next {
            let Some(tail) = Box::pin(self.talk_http1(stream)).await else { return };
            next = tail.send().await;
        }
    }

    /// Whether the first bytes may be the beginning of HTTP/2; they stay to be read. None: there is none to talk to.
    async fn begins_like_http2(&self, stream: &TcpStream) -> Option<bool> {
        let mut beginning = [0; HTTP2_PREFACE.len()];
        let read = tokio::select! {
            read = timeout(HEAD_PATIENCE, stream.peek(&mut beginning)) => read.ok()?.ok()?,
            () = self.shared.draining.cancelled() => return None,
        };
        (read > 0).then(|| HTTP2_PREFACE.starts_with(&beginning[..read]))
    }

    /// Answer requests. Something is left to do if one has a long answer.
    async fn talk_http1(&self, stream: TcpStream) -> Option<Tail> {
        let handover = Handover::default();
        let service = service(&self.shared, self.peer, Some(handover.clone()));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(MAX_BUFFERED)
            .serve_connection(Socket::new(stream, handover.clone()), TowerToHyperService::new(service));
        let mut draining = pin!(self.shared.draining.cancelled());
        let mut drains = false;
        let is_handed_over = poll_fn(|cx| {
            if !drains && draining.as_mut().poll(cx).is_ready() {
                drains = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(_) => Poll::Ready(false),
                Poll::Pending if handover.is_due() => Poll::Ready(true),
                Poll::Pending => Poll::Pending,
            }
        });
        if !is_handed_over.await {
            return None;
        }
        let parts = connection.into_parts();
        Some(handover.tail(parts.io, &parts.read_buf))
    }

    /// HTTP/2, or HTTP/1.1 if after more bytes it turns out to be that.
    async fn talk_either(&self, stream: TcpStream) {
        let service = TowerToHyperService::new(service(&self.shared, self.peer, None));
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
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.shared.draining.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// What answers the requests of one connection; the handlers see who is at its other end, the proxy left out, as
/// [`ConnectInfo`]. Long answers are handed over if there is somebody who takes them.
fn service(
    shared: &Shared,
    peer: SocketAddr,
    handover: Option<Handover>,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + use<> {
    let (router, behind_proxy) = (shared.router.clone(), shared.behind_proxy);
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let client = if behind_proxy { forwarded_for(request.headers()) } else { None };
        let client = client.map_or(peer, |address| SocketAddr::new(address, 0));
        request.extensions_mut().insert(ConnectInfo(client));
        let handover = handover.clone().filter(|_| may_be_long(&request));
        router.clone().oneshot(request).map_ok(move |answer| match handover {
            Some(handover) => handover.keep(answer),
            None => answer,
        })
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
    fn a_connection_that_waits_holds_little() {
        fn size_of_future<F: Future>(_: impl FnOnce(Connection, TcpStream) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size_of_future(Connection::run);
        assert!(bytes <= 1_024, "{bytes} bytes: something that is rare is not in a box");
    }

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
