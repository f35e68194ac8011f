//! The door: paths, roles, and how many may come in at a time.

use crate::caller::Caller;
use crate::config::Config;
use crate::{batch, error, keys, members, metrics, points, records};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use oltp::command::KINDS;
use oltp::{Entity, Oltp};
use runtime::auth::{Guard, Keys, Role, require};
use runtime::{Meter, Problem};
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;

/// The header of an answer that says where a reader has seen the write.
pub const POSITION: HeaderName = HeaderName::from_static("storewide-position");

/// What the door needs.
#[derive(Clone)]
pub struct Access {
    /// The store; it knows the keys, too.
    pub oltp: Oltp,
    /// The layer's meter.
    pub meter: Meter,
    /// Limits.
    pub config: Config,
    /// The document at `/openapi.json`: [`crate::openapi()`], merged with that of the listener's other doors.
    pub openapi: OpenApi,
}

/// The door while it is open.
pub(crate) struct Door {
    pub(crate) oltp: Oltp,
    pub(crate) meter: Meter,
    pub(crate) config: Config,
    pub(crate) batches: Arc<Semaphore>,
    requests: Semaphore,
    openapi: OpenApi,
}

/// The routes of the layer, each behind its role. Has no fallback; merge it with the other routers of the listener.
pub fn router(access: Access) -> Router {
    let Access { oltp, meter, config, openapi } = access;
    let keys: Arc<dyn Keys> = Arc::new(oltp.clone());
    let behind = |role| from_fn_with_state(Guard { keys: Arc::clone(&keys), role }, require);
    let door = Arc::new(Door {
        oltp,
        meter,
        batches: Arc::new(Semaphore::new(config.batches_max)),
        requests: Semaphore::new(config.requests_max),
        config,
        openapi,
    });
    let (mut readers, mut writers) = (Router::new(), Router::new().route("/api/v1/batch", post(batch::post)));
    for kind in KINDS {
        writers = writers.route(
            &format!("/api/v1/{}", kind.path),
            post(move |State(door): State<Arc<Door>>, caller: Caller, headers: HeaderMap, body: Body| async move {
                records::put(&door, kind, &caller, &headers, body).await
            }),
        );
    }
    for entity in Entity::ALL.iter().copied() {
        let path = format!("/api/v1/{}", entity.path);
        readers = readers.route(
            &path,
            get(move |State(door): State<Arc<Door>>, caller: Caller, query| async move {
                records::list(&door, entity, &caller, query).await
            }),
        );
        if entity.is_single() {
            readers = readers.route(
                &format!("{path}/{{id}}"),
                get(move |State(door): State<Arc<Door>>, caller: Caller, id, query| async move {
                    records::get(&door, entity, &caller, id, query).await
                }),
            );
        }
    }
    readers = readers
        .route(
            "/api/v1/members/lookup",
            post(|State(door): State<Arc<Door>>, caller: Caller, headers: HeaderMap, body: Body| async move {
                members::lookup(&door, &caller, &headers, body).await
            }),
        )
        .route(
            "/api/v1/members/{id}/export",
            get(|State(door): State<Arc<Door>>, caller: Caller, id, query| async move {
                members::export(&door, &caller, id, query).await
            }),
        );
    readers = readers.route("/api/v1/points/liability", get(points::liability));
    let admins = Router::new()
        .route("/api/v1/keys", post(keys::create).get(keys::list))
        .route("/api/v1/keys/{id}", delete(keys::revoke));
    Router::new()
        .merge(readers.route_layer(behind(Role::Reader)))
        .merge(writers.route_layer(behind(Role::Writer)))
        .merge(admins.route_layer(behind(Role::Admin)))
        .route("/openapi.json", get(document))
        .route_layer(from_fn_with_state(Arc::clone(&door), admit))
        .with_state(door)
}

async fn document(State(door): State<Arc<Door>>) -> Response {
    Json(&door.openapi).into_response()
}

/// Lets a request in while there is room, and counts what goes wrong. Before the keys are checked: a flood of bad keys is a
/// flood, too.
async fn admit(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let Ok(_room) = door.requests.try_acquire() else {
        door.meter.count(metrics::SHED, 1);
        return error::busy().into_response();
    };
    let response = next.run(request).await;
    match response.status() {
        status if status.is_server_error() => door.meter.failed(metrics::STORE, &status.to_string()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {}
        status if status.is_client_error() => door.meter.count(metrics::REFUSED, 1),
        _ => {}
    }
    response
}

/// Room for one more batch.
pub(crate) fn room_for_batch(door: &Door) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
    Arc::clone(&door.batches).try_acquire_owned().map_err(|_| {
        door.meter.count(metrics::SHED, 1);
        error::busy()
    })
}
