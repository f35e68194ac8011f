//! A receiver of actions: verifies, drops repeats, and hands each action on once. The demo's shoppers and the tests use it; it also
//! shows what a receiver has to do.

use crate::standard_webhooks::{ID, SIGNATURE, Secret, TIMESTAMP};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use runtime::{Clock, Problem};
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tower_http::limit::RequestBodyLimitLayer;

/// Largest body.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Ids that are remembered; the oldest are forgotten first.
const IDS_MAX: usize = 100_000;

/// Gets each action once.
pub type OnAction = Arc<dyn Fn(Value) + Send + Sync>;

/// What a receiver has seen.
#[derive(Debug, Default)]
pub struct Received {
    accepted: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
}

impl Received {
    /// Genuine actions, each counted once.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Repeats of genuine actions.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Messages that were not genuine or not readable.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Whether the id is new; from now on it is not.
    fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[derive(Clone)]
struct Receiver {
    secret: Secret,
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<Seen>>,
    received: Arc<Received>,
    on_action: OnAction,
}

/// A door, `POST /`, that takes signed actions and hands each on once, before it answers; and its counts.
///
/// What is not genuine gets 401, a body that is no JSON object 400, and a body that is too large 413. Repeats get 200.
pub fn router(secret: Secret, clock: Arc<dyn Clock>, on_action: OnAction) -> (Router, Arc<Received>) {
    let received = Arc::new(Received::default());
    let state = Receiver { secret, clock, seen: Arc::default(), received: Arc::clone(&received), on_action };
    let router =
        Router::new().route("/", post(take)).layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX)).with_state(state);
    (router, received)
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    match receiver.check(&headers, &body) {
        Ok((id, action)) => {
            let is_new = receiver.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            if is_new {
                (receiver.on_action)(action);
                receiver.received.accepted.fetch_add(1, Ordering::Relaxed);
            } else {
                receiver.received.repeated.fetch_add(1, Ordering::Relaxed);
            }
            StatusCode::OK.into_response()
        }
        Err(problem) => {
            receiver.received.refused.fetch_add(1, Ordering::Relaxed);
            problem.into_response()
        }
    }
}

impl Receiver {
    fn check<'a>(&self, headers: &'a HeaderMap, body: &[u8]) -> Result<(&'a str, Value), Problem> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (id, now) = (header(ID), self.clock.now().as_second());
        self.secret
            .verify(id, header(TIMESTAMP), header(SIGNATURE), body, now)
            .map_err(|why| Problem::new(StatusCode::UNAUTHORIZED, "decisions.not_genuine", why.to_string()))?;
        let action = serde_json::from_slice(body).ok().filter(Value::is_object);
        let wrong = || Problem::new(StatusCode::BAD_REQUEST, "decisions.bad_action", "the body is no JSON object");
        action.map(|action| (id, action)).ok_or_else(wrong)
    }
}
