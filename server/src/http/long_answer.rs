//! Answers that go on for hours and say little, on HTTP/1.1: a device that watches.
//!
//! To hyper a connection is 16 KiB of buffers, whatever goes over it. There may be tens of thousands of these, so hyper
//! answers with the head only. Then the socket and the body are taken from it, what it held is dropped, and what comes is
//! written as it comes, each piece a chunk (RFC 9112, 7.1). When the answer ends, hyper gets the connection back.
//!
//! 1. A handler marks its answer with [`LongAnswer`] in the extensions.
//! 2. [`Handover::keep`] puts the body aside and gives hyper one that is never ready.
//! 3. Hyper writes the head, asks that body, and waits. If the head is in the socket, [`Handover::is_due`].
//! 4. [`Tail::send`] sends the body that was put aside.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, Method, Request, StatusCode, Version, header},
    response::Response,
};
use hyper::{
    body::Frame,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Marks an answer whose body comes in small pieces with long pauses.
#[derive(Debug, Clone, Copy)]
pub(super) struct LongAnswer;

/// Between hyper's connection and the task that drives it: the body of a long answer, and how far hyper is with its head.
/// One a connection; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<Slot>);

#[derive(Default)]
struct Slot {
    body: Mutex<Option<Body>>,
    /// Hyper has asked for the body, so it has written the head, into its buffer at least.
    asked: AtomicBool,
    /// The socket did not take what hyper wrote last.
    blocked: AtomicBool,
}

/// The socket as hyper has it.
pub(super) struct Socket {
    stream: TokioIo<TcpStream>,
    handover: Handover,
}

/// What follows the head of a long answer.
pub(super) struct Tail {
    stream: TcpStream,
    body: Body,
    /// Nothing more than the answer may come: the client has sent bytes before its end, which hyper has read.
    is_last: bool,
}

/// Whether the answer to a request may be handed over: HTTP/1.1, the answer has a body, and the connection stays. The
/// request must have none: what hyper has not read of it when it goes would be taken for the next request.
pub(super) fn may_be_long(request: &Request<Body>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.body().is_end_stream()
        && stays(request.headers())
}

fn stays(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().all(|value| {
        value.to_str().is_ok_and(|value| {
            value.split(',').all(|option| {
                // Anything else means something to hyper that we do not do.
                option.trim().is_empty() || option.trim().eq_ignore_ascii_case("keep-alive")
            })
        })
    })
}

impl Handover {
    /// Put the body aside if the answer is a long one.
    pub(super) fn keep(&self, answer: Response) -> Response {
        if answer.status() != StatusCode::OK || answer.extensions().get::<LongAnswer>().is_none() {
            return answer;
        }
        answer.map(|body| {
            *self.0.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
            Body::new(NeverReady(self.clone()))
        })
    }

    /// Whether the head of a long answer has gone out, to the last byte. To be asked when hyper waits.
    pub(super) fn is_due(&self) -> bool {
        // Hyper writes what it has before it waits, and until the socket takes no more.
        self.0.asked.load(Ordering::Relaxed) && !self.0.blocked.load(Ordering::Relaxed)
    }

    /// The end of hyper's part; `read` is what it has read beyond the request.
    pub(super) fn tail(&self, socket: Socket, read: &Bytes) -> Tail {
        let body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        Tail {
            stream: socket.stream.into_inner(),
            body: body.expect("BUG: a handover without a body"),
            is_last: !read.is_empty(),
        }
    }
}

/// The body that hyper gets in place of a long answer's.
struct NeverReady(Handover);

impl HttpBody for NeverReady {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.0.asked.store(true, Ordering::Relaxed);
        Poll::Pending
    }
}

impl Socket {
    pub(super) fn new(stream: TcpStream, handover: Handover) -> Self {
        Self { stream: TokioIo::new(stream), handover }
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.handover.0.blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Tail {
    /// Send it to its end. Answers with the connection, for its next request; None when there is none any more.
    pub(super) async fn send(mut self) -> Option<TcpStream> {
        while let Some(piece) = self.next_piece().await? {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(&piece);
            chunk.extend_from_slice(b"\r\n");
            self.stream.write_all(&chunk).await.ok()?;
        }
        self.stream.write_all(b"0\r\n\r\n").await.ok()?;
        (!self.is_last).then_some(self.stream)
    }

    /// The next piece, not empty; None inside at the end of the answer, None outside when the client has gone or the
    /// answer has broken off, which the client sees as an end without the last chunk.
    async fn next_piece(&mut self) -> Option<Option<Bytes>> {
        let Self { stream, body, .. } = self;
        // Bytes that come before the end of the answer are the next request, which hyper shall read. As long as they
        // lie there, nobody sees the client go; hyper would not either.
        let mut goes = true;
        let mut next = [0];
        loop {
            let frame = tokio::select! {
                frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)) => frame,
                peeked = stream.peek(&mut next), if goes => match peeked {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {
                        goes = false;
                        continue;
                    }
                },
            };
            match frame {
                None => return Some(None),
                Some(Err(_)) => return None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => return Some(Some(piece)),
                    // A chunk without bytes would be the last one.
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn request(method: Method, version: Version, connection: &[&'static str]) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.version_mut() = version;
        for value in connection {
            request.headers_mut().append(header::CONNECTION, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn only_answers_that_are_chunked_and_leave_the_connection_open_are_handed_over() {
        let may = |request| may_be_long(&request);
        let get = || request(Method::GET, Version::HTTP_11, &[]);
        assert!(!may(get().map(|_| Body::from("GET /another HTTP/1.1\r\n\r\n"))));
        assert!(may(get()));
        assert!(may(request(Method::GET, Version::HTTP_11, &["Keep-Alive"])));
        assert!(!may(request(Method::GET, Version::HTTP_10, &["keep-alive"])));
        assert!(!may(request(Method::HEAD, Version::HTTP_11, &[])));
        assert!(!may(request(Method::GET, Version::HTTP_11, &["close"])));
        assert!(!may(request(Method::GET, Version::HTTP_11, &["keep-alive", "TE, Close"])));
        assert!(!may(request(Method::GET, Version::HTTP_11, &["upgrade"])));
    }
}
