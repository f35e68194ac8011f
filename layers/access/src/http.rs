//! The door: paths, roles, and how many may come in at a time.

use crate::caller::Caller;
use crate::config::Config;
use crate::intake::Intake;
use crate::tap::{self, Tap};
use crate::{batch, error, keys, members, metrics, points, prices, records};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
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
    /// What comes in raw; its doors are among the routes.
    pub intake: Intake,
}

/// The door while it is open.
pub(crate) struct Door {
    pub(crate) oltp: Oltp,
    pub(crate) meter: Meter,
    pub(crate) config: Config,
    pub(crate) batches: Arc<Semaphore>,
    requests: Semaphore,
    pub(crate) tap: Tap,
    openapi: OpenApi,
}

/// The routes of the layer, each behind its role. Has no fallback; merge it with the other routers of the listener.
pub fn router(access: Access) -> Router {
    let Access { oltp, meter, config, openapi, intake } = access;
    let keys: Arc<dyn Keys> = Arc::new(oltp.clone());
    let door = Arc::new(Door {
        oltp,
        meter,
        batches: Arc::new(Semaphore::new(config.batches_max)),
        requests: Semaphore::new(config.requests_max),
        tap: intake.tap.clone(),
        config,
        openapi,
    });
    let behind = |routes: MethodRouter<Arc<Door>>, role, scope: String| {
        let guard = Guard { keys: Arc::clone(&keys), role, scope: scope.into() };
        // The last is asked first.
        routes
            .route_layer(from_fn_with_state(door.tap.clone(), tap::turn))
            .route_layer(from_fn_with_state(guard, require))
    };
    let mut routes = Router::new();
    for kind in KINDS {
        let put =
            post(move |State(door): State<Arc<Door>>, caller: Caller, headers: HeaderMap, body: Body| async move {
                records::put(&door, kind, &caller, &headers, body).await
            });
        let put = behind(put, Role::Writer, kind.scope());
        routes = routes.route(&format!("/api/v1/{}", kind.path), put);
    }
    for entity in Entity::ALL.iter().copied() {
        let (path, scope) = (format!("/api/v1/{}", entity.path), format!("{}:read", entity.area()));
        let list = get(move |State(door): State<Arc<Door>>, caller: Caller, query| async move {
            records::list(&door, entity, &caller, query).await
        });
        routes = routes.route(&path, behind(list, Role::Reader, scope.clone()));
        if entity.is_single() {
            let one = get(move |State(door): State<Arc<Door>>, caller: Caller, id, query| async move {
                records::get(&door, entity, &caller, id, query).await
            });
            routes = routes.route(&format!("{path}/{{id}}"), behind(one, Role::Reader, scope));
        }
    }
    let lookup = post(|State(door): State<Arc<Door>>, caller: Caller, headers: HeaderMap, body: Body| async move {
        members::lookup(&door, &caller, &headers, body).await
    });
    let export = get(|State(door): State<Arc<Door>>, caller: Caller, id, query| async move {
        members::export(&door, &caller, id, query).await
    });
    let quote = post(|State(door): State<Arc<Door>>, headers: HeaderMap, body: Body| async move {
        prices::quote(&door, &headers, body).await
    });
    let admin = |routes, action: &str| behind(routes, Role::Admin, format!("keys:{action}"));
    routes
        .route("/api/v1/members/lookup", behind(lookup, Role::Reader, "members:read".to_owned()))
        .route("/api/v1/members/{id}/export", behind(export, Role::Reader, "members:read".to_owned()))
        .route("/api/v1/points/liability", behind(get(points::liability), Role::Reader, "points:read".to_owned()))
        .route("/api/v1/prices/quote", behind(quote, Role::Reader, "prices:read".to_owned()))
        // What a line may do is asked line by line.
        .route("/api/v1/batch", behind(post(batch::post), Role::Writer, String::new()))
        .route("/api/v1/keys", admin(get(keys::list), "read"))
        .route("/api/v1/keys", admin(post(keys::create), "write"))
        .route("/api/v1/keys/{id}", admin(delete(keys::revoke), "write"))
        .route("/api/v1/keys/{id}/rotate", admin(post(keys::rotate), "write"))
        .route("/openapi.json", get(document))
        .route_layer(from_fn_with_state(Arc::clone(&door), admit))
        .with_state(door)
        .merge(intake.router())
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
