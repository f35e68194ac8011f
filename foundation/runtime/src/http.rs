//! HTTP listeners: the same limits, request ids and graceful stop at every door.

use crate::Problem;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

/// Longest time that one request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest time in which the head of a request must come, and longest rest between two requests of a connection.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// Most connections of one listener; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1_024;
/// Pause after a connection could not be accepted: without file descriptors the next try would fail, too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest time that an answer waits for its reader to take more of it: whoever reads nothing would hold its place for ever.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest time that the requests under way get to come to their end at a stop; below what the tasks of a layer get.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);
/// What a refused sender may still send before the connection is cut.
const DRAIN_BYTES_MAX: usize = 256 << 20;
/// Longest time that goes into it.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The header that names a request in answers, logs and the audit log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the caller's where it is a sane one, else ours.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Opens a listener.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; choose another port"))
    })
}

/// Serves a router until told to stop; requests under way may finish, within limits.
///
/// # Errors
/// Never today: what fails is a connection, and the next one is taken.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    serve_within(listener, router, stop, WRITE_TIME_MAX, STOP_TIME_MAX).await;
    Ok(())
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    write_time: Duration,
    stop_time: Duration,
) {
    let service = TowerToHyperService::new(clothed(router));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    let (room, open) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), GracefulShutdown::new());
    // Dropped at the end, and with it the connections that are still open.
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, accept(&listener).await)
        };
        let (place, stream) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
            Some(_ended) = connections.join_next() => continue,
        };
        let stream = TokioIo::new(Patient::new(stream, write_time));
        let connection = open.watch(http.serve_connection(stream, service.clone()));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: "storewide", %error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(stop_time, open.shutdown()).await.is_err() {
        tracing::warn!(target: "storewide", "requests that did not come to their end were cut off");
    }
}

/// A router with what all doors have in common.
fn clothed(router: Router) -> Router {
    router
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "http.not_found", "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "http.method_not_allowed",
                "this path does not take this method",
            )
        })
        .layer(CatchPanicLayer::custom(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "http.panic", "a fault of ours; the log has the details")
                .into_response()
        }))
        .layer(middleware::from_fn(guard))
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and awaited: they must not wait for more to send. A refusal costs nothing but time.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(target: "storewide", %error, "TCP_NODELAY was refused");
                }
                return stream;
            }
            Err(error) => {
                tracing::warn!(target: "storewide", %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Why a body was not read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is larger than allowed; its rest is read and forgotten beside the answer.
    TooLarge,
    /// It did not arrive in time.
    Slow,
    /// It ended before its time.
    Broken,
}

/// Reads a body of at most so many bytes in at most so much time. One that says that it is larger is not read at all.
///
/// # Errors
/// Why it was not read.
pub async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, Unread> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        drain(body);
        return Err(Unread::TooLarge);
    }
    let mut pieces = body.into_data_stream();
    let mut whole = BytesMut::with_capacity(declared);
    let collect = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Unread::Broken)?;
            if whole.len() + piece.len() > limit {
                return Err(Unread::TooLarge);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(())
    };
    let read = tokio::time::timeout(time, collect).await.unwrap_or(Err(Unread::Slow));
    if read == Err(Unread::TooLarge) {
        drain(Body::from_stream(pieces));
    }
    read.map(|()| whole.freeze())
}

/// As [`read`], with the problem to answer.
///
/// # Errors
/// 413 when it is larger, 408 when it is slower, 400 when it breaks off.
pub async fn body(body: Body, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    read(body, limit, time).await.map_err(|unread| match unread {
        Unread::TooLarge => {
            let detail = format!("the body is larger than {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "http.body_too_large", detail)
        }
        Unread::Slow => {
            let detail = format!("the body did not arrive within {} ms", time.as_millis());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "http.body_timeout", detail)
        }
        Unread::Broken => Problem::new(StatusCode::BAD_REQUEST, "http.body_broken", "the body ended before its time"),
    })
}

/// Reads and forgets the rest of a refused body beside the answer, within limits: a sender that is cut off while it sends may miss
/// the answer.
pub fn drain(body: Body) {
    tokio::spawn(tokio::time::timeout(DRAIN_TIME_MAX, async move {
        let mut pieces = body.into_data_stream();
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(piece)) = pieces.next().await
            && let Some(rest) = left.checked_sub(piece.len())
        {
            left = rest;
        }
    }));
}

/// Gives each request an id and a time limit, and each answer the headers of all.
async fn guard(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = match given {
        Some(id) if !id.is_empty() && id.len() <= 128 => id.to_owned(),
        _ => uuid::Uuid::now_v7().to_string(),
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "http.timeout",
            "the request took longer than 60 s; retry it with the same idempotency key",
        )
        .into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    // Answers hold what only the asker may see, unless a door says otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A stream that fails when its other side takes nothing for a while.
struct Patient {
    stream: TcpStream,
    time: Duration,
    /// Runs while a write waits.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    const fn new(stream: TcpStream, time: Duration) -> Self {
        Self { stream, time, patience: None }
    }

    /// Passes on what a write came to, unless it has waited too long.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let time = self.time;
        ready!(self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(time))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer was not read")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    const FOREVER: Duration = Duration::from_secs(3_600);

    /// A server with an answer that never ends, and one client that reads only its beginning. The receiver hears of the answer's end.
    async fn unread(
        write: Duration,
        stop: Duration,
    ) -> (TcpStream, oneshot::Receiver<()>, CancellationToken, JoinSet<()>) {
        let (alive, gone) = oneshot::channel::<()>();
        let alive = Arc::new(std::sync::Mutex::new(Some(alive)));
        let endless = get(move || async move {
            let held = alive.lock().unwrap().take();
            let pieces = futures_util::stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, io::Error>(Bytes::from_static(&[0; 65_536]))
            });
            Body::from_stream(pieces)
        });
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (token, mut server) = (CancellationToken::new(), JoinSet::new());
        server.spawn(serve_within(listener, Router::new().route("/", endless), token.clone(), write, stop));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        (client, gone, token, server)
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (_client, gone, _stop, _server) = unread(Duration::from_millis(50), FOREVER).await;
        assert!(soon(gone).await.is_err(), "the sender was dropped with the answer");
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_ever() {
        let (_client, gone, stop, mut server) = unread(FOREVER, Duration::from_millis(50)).await;
        stop.cancel();
        soon(server.join_next()).await.unwrap().unwrap();
        assert!(soon(gone).await.is_err(), "the connection was cut");
    }
}
