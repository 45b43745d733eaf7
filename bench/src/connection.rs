//! One keep-alive HTTP/1.1 connection, which is one simulated device. Lean on purpose: the driver shares the cores with the
//! server that it measures.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpSocket;

use crate::target::Target;

const SOURCE_ID: HeaderName = HeaderName::from_static("oversync-source-id");

/// A connection to a target's server; paths are relative to the base path it was opened with.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    local: Ipv4Addr,
    host: HeaderValue,
    path: String,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("unexpected answer: {}", self.text()))
    }

    /// The beginning of the body, for error messages.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned()
    }
}

impl Connection {
    /// Connect from `local`: each loopback address has ephemeral ports of its own.
    pub(crate) async fn open(target: &Target, local: Ipv4Addr) -> Result<Self> {
        let sender = connect(target.address, local).await?;
        Ok(Self {
            sender,
            address: target.address,
            local,
            host: target.host.clone(),
            path: target.path.clone(),
        })
    }

    /// Speak to another app of the same server from now on.
    pub(crate) fn turn_to(&mut self, target: &Target) {
        self.path.clone_from(&target.path);
    }

    pub(crate) async fn get(
        &mut self,
        authorization: &HeaderValue,
        source: &HeaderValue,
        path: &str,
    ) -> Result<Answer> {
        let request = self.request(Method::GET, authorization, Some(source), path, Bytes::new())?;
        self.whole(request).await
    }

    pub(crate) async fn post(
        &mut self,
        authorization: &HeaderValue,
        source: Option<&HeaderValue>,
        path: &str,
        body: Bytes,
    ) -> Result<Answer> {
        let request = self.request(Method::POST, authorization, source, path, body)?;
        self.whole(request).await
    }

    /// A GET whose answer is read as it comes.
    pub(crate) async fn stream(
        &mut self,
        authorization: &HeaderValue,
        source: &HeaderValue,
        path: &str,
    ) -> Result<(StatusCode, Incoming)> {
        let request = self.request(Method::GET, authorization, Some(source), path, Bytes::new())?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok((head.status, body))
    }

    fn request(
        &self,
        method: Method,
        authorization: &HeaderValue,
        source: Option<&HeaderValue>,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.path))
            .header(HOST, &self.host)
            .header(AUTHORIZATION, authorization);
        if let Some(source) = source {
            request = request.header(SOURCE_ID, source);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request.body(Full::new(body))?)
    }

    async fn whole(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        if self.sender.is_closed() {
            // The server may close one that nobody uses.
            self.sender = connect(self.address, self.local).await?;
        }
        self.sender.ready().await.context("the server closed the connection")?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer { status: head.status, body: body.collect().await?.to_bytes() })
    }
}

/// An HTTP/1.1 connection to `address` that is kept.
pub(crate) async fn connect(address: SocketAddr, local: Ipv4Addr) -> Result<SendRequest<Full<Bytes>>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    socket.bind(SocketAddr::new(IpAddr::V4(local), 0))?;
    let stream = socket.connect(address).await.context("connect")?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with the sender, or when the server closes; a failure shows up in the request it breaks.
    tokio::task::spawn_local(connection);
    Ok(sender)
}
