//! The public door: Segment's HTTP API.

use crate::room::Room;
use crate::wire::{Call, Sent};
use crate::{Accepted, Gateway, Refusal, body, metrics};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use runtime::Problem;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long browsers may remember the answer to a preflight request.
const PREFLIGHT_AGE: Duration = Duration::from_secs(24 * 3600);

impl Gateway {
    /// The routes of the public door.
    pub fn router(&self) -> Router {
        // Any page may send events: there are no cookies, and the write key only allows writing.
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::any())
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .max_age(PREFLIGHT_AGE);
        Router::new()
            // A method that a route does not take passes by the layers: OPTIONS is named, so that preflights are answered.
            .route("/v1/{call}", post(take).options(no_content))
            .route("/v1/projects/{write_key}/settings", get(settings).options(no_content))
            .layer(cors)
            .with_state(self.clone())
    }
}

async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn take(State(gateway): State<Gateway>, call: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let Some(call) = call.ok().and_then(|Path(call)| Call::of(&call)) else {
        return Problem::new(StatusCode::NOT_FOUND, "gateway.unknown_call", "there is no such call").into_response();
    };
    let (parts, body) = request.into_parts();
    match gateway.handle(call, &parts.headers, body).await {
        Ok(accepted) => Json(answer(&accepted)).into_response(),
        Err(refusal) => {
            gateway.inner.meter.failed(metrics::REFUSED, refusal.code());
            refusal.into_response()
        }
    }
}

fn answer(accepted: &Accepted) -> Value {
    let mut answer = json!({ "success": true, "accepted": accepted.accepted, "rejected": accepted.rejected });
    if let (Some(position), Some(fields)) = (&accepted.position, answer.as_object_mut()) {
        fields.insert("position".to_owned(), Value::String(position.to_string()));
    }
    answer
}

impl Gateway {
    async fn handle(&self, call: Call, headers: &HeaderMap, body: Body) -> Result<Accepted, Refusal> {
        if !self.is_ready() {
            return Err(Refusal::Starting);
        }
        let config = &self.inner.config;
        let limit = match call {
            Call::One(_) => config.event_bytes_max,
            Call::Batch => config.batch_bytes_max,
        };
        // A known key first: strangers' bodies are not worth keeping.
        let known = basic_key(headers).map(|key| self.source(&key));
        if matches!(known, Some(None)) {
            body::drain(headers, body.into_data_stream()).await;
            return Err(Refusal::WriteKey);
        }
        let mut room = Room::new(Arc::clone(&self.inner.in_flight));
        let body = body::read(headers, body, limit, Duration::from_millis(config.body_time_max_ms), &mut room).await?;
        let arrived = body.len();
        let body: Bytes = body::inflate(headers, body, limit)?;
        room.grow(body.len().saturating_sub(arrived))?;
        let sent = Sent::read(call, &body, config)?;
        let in_body = || sent.write_key.as_deref().and_then(|key| self.source(key));
        let source = known.flatten().or_else(in_body).ok_or(Refusal::WriteKey)?;
        self.accept(call, &sent, &source, &mut room).await
    }
}

/// The write key of Basic authentication: its user; the password is empty.
fn basic_key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || credentials.len() > 1_024 {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let key = decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user);
    Some(key.to_owned())
}

/// What the browser SDK asks first; without this answer it sends nothing.
async fn settings(
    State(gateway): State<Gateway>,
    key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    if !gateway.is_ready() {
        return Refusal::Starting.into_response();
    }
    let Some(Path(key)) = key.ok().filter(|Path(key)| gateway.source(key).is_some()) else {
        let detail = "the write key is unknown or revoked";
        return Problem::new(StatusCode::NOT_FOUND, "gateway.write_key", detail).into_response();
    };
    let config = &gateway.inner.config;
    let host = config.public_host.clone().or_else(|| host(&headers).map(|host| format!("{host}/v1")));
    let protocol = config.public_protocol.clone().unwrap_or_else(|| protocol(&headers).to_owned());
    let mut segment = json!({ "apiKey": key, "protocol": protocol });
    if let (Some(host), Some(fields)) = (host, segment.as_object_mut()) {
        fields.insert("apiHost".to_owned(), Value::String(host));
    }
    let everything = json!({ "__default": { "enabled": true, "integrations": {} } });
    let answer = json!({ "integrations": { "Segment.io": segment }, "plan": { "track": everything, "identify":
        { "__default": { "enabled": true } }, "group": { "__default": { "enabled": true } } } });
    // The answer holds the asker's own Host header: no shared cache may give it to others.
    ([(header::CACHE_CONTROL, "private, max-age=60")], Json(answer)).into_response()
}

fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (host.len() <= 255 && host.bytes().all(sane)).then_some(host)
}

fn protocol(headers: &HeaderMap) -> &'static str {
    match headers.get("x-forwarded-proto").map(|value| value.as_bytes()) {
        Some(b"https") => "https",
        _ => "http",
    }
}
