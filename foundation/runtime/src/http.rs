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
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
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
/// What a refused sender may still send before the connection is cut: one that is cut off while it sends may miss the answer.
const DRAIN_BYTES_MAX: usize = 256 << 20;
/// Longest time that goes into it.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

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

/// Serves a router until told to stop; requests under way may finish.
///
/// # Errors
/// Never today: what fails is a connection, and the next one is taken.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    let router = router
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
        .layer(middleware::from_fn(guard));
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    let (room, open) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), GracefulShutdown::new());
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, accept(&listener).await)
        };
        let (place, stream) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and awaited: they must not wait for more to send. A refusal costs nothing but time.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY was refused");
                }
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Reads a body of at most so many bytes in at most so much time.
///
/// # Errors
/// 413 when it is larger, 408 when it is slower, 400 when it breaks off.
pub async fn body(body: Body, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut pieces = body.into_data_stream();
    let mut whole = BytesMut::with_capacity(declared.min(limit));
    let collect = async {
        if declared > limit {
            return Ok(false);
        }
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| {
                Problem::new(StatusCode::BAD_REQUEST, "http.body_broken", "the body ended before its time")
            })?;
            if whole.len() + piece.len() > limit {
                return Ok(false);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(true)
    };
    let fits = tokio::time::timeout(time, collect).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} ms", time.as_millis());
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "http.body_timeout", detail))
    })?;
    if fits {
        return Ok(whole.freeze());
    }
    let drain = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(piece)) = pieces.next().await
            && let Some(rest) = left.checked_sub(piece.len())
        {
            left = rest;
        }
    };
    // Whether the sender came to its end does not change the answer.
    let _ended = tokio::time::timeout(DRAIN_TIME_MAX, drain).await;
    let detail = format!("the body is larger than {limit} bytes");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "http.body_too_large", detail))
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
