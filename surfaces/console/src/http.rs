//! The pages over HTTP: rates and tokens, never values of people.

use crate::door::{Door, admit, challenge};
use crate::facts::Facts;
use crate::snapshot::{Snapshot, Snapshots};
use crate::{page, reference};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime::auth::{Guard, Keys, Principal, Role};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Whoever knows how the house is doing, and the snapshots of it.
#[derive(Clone)]
struct Pages {
    facts: Arc<dyn Facts>,
    snapshots: Arc<Snapshots>,
}

/// Whoever showed a key; none, where none is needed.
type Looker = Option<Extension<Principal>>;

impl Pages {
    async fn snapshot(&self, looker: &Looker) -> Arc<Snapshot> {
        let whole = self.snapshots.get().await;
        if looker.is_some() { whole } else { Arc::new(whole.without_words()) }
    }
}

/// The console's pages: `/`, `/status.json` and `/key` for whoever has a reader's key, and `/docs`, which tells nothing of this
/// house, for everybody. `open` says that nobody but this machine reaches the listener: then it may look without a key. Has no
/// fallback; merge it with the other routers of the listener.
pub fn router(facts: Arc<dyn Facts>, keys: Arc<dyn Keys>, open: bool) -> Router {
    let pages = Pages { snapshots: Arc::new(Snapshots::new(Arc::clone(&facts))), facts };
    let door = Door { guard: Guard { keys, role: Role::Reader, scope: "status:read".into() }, open };
    Router::new()
        .route("/", get(first))
        .route("/status.json", get(status))
        .route("/key", get(key))
        .route_layer(middleware::from_fn_with_state(door, admit))
        .route("/docs", get(docs))
        .layer(middleware::from_fn_with_state(policy(), secured))
        .with_state(pages)
}

async fn first(State(pages): State<Pages>, looker: Looker) -> Html<String> {
    let snapshot = pages.snapshot(&looker).await;
    Html(page::first(&snapshot, looker.is_some()).into_string())
}

async fn status(State(pages): State<Pages>, looker: Looker) -> Response {
    let snapshot = pages.snapshot(&looker).await;
    Json(snapshot.as_ref()).into_response()
}

/// Where a browser asks for a key although it may look without one. From then on it sends it along.
async fn key(looker: Looker) -> Response {
    match looker {
        Some(_) => Redirect::to("/").into_response(),
        None => challenge("an API key is the password; `storewide keys create` makes one"),
    }
}

async fn docs(State(pages): State<Pages>) -> Html<String> {
    Html(reference::page(&pages.facts.openapi()).into_string())
}

/// Only our own style and script, known by their hashes, run in the pages; nothing is loaded, framed or sent elsewhere.
fn policy() -> HeaderValue {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(page::STYLE),
        hash(page::SCRIPT)
    );
    // Base64 and the words above are plain ASCII; `none` would only close the page.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

async fn secured(State(policy): State<HeaderValue>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
