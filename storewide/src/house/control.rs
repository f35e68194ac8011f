//! The doors to the store's own state, for whoever operates the house.

use super::Parts;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use oltp::OltpError;
use runtime::Problem;
use runtime::auth::{Guard, Keys, Role, require};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::OpenApi;

/// The doors' part of the API's description.
#[derive(OpenApi)]
#[openapi(paths(status, vacuum, partitions))]
pub(super) struct ApiDoc;

pub(super) fn router(parts: &Parts) -> Router {
    let keys: Arc<dyn Keys> = Arc::new(parts.oltp.clone());
    Router::new()
        .route("/api/v1/oltp/status", get(status))
        .route("/api/v1/oltp/vacuum", get(vacuum))
        .route("/api/v1/oltp/partitions", get(partitions))
        .route_layer(from_fn_with_state(Guard { keys, role: Role::Admin, scope: "operate:read".into() }, require))
        .with_state(parts.clone())
}

/// How the store is: schema, connections, locks, log, archive, sizes, slow statements, and what needs a hand.
#[utoipa::path(get, path = "/api/v1/oltp/status", tag = "operate", responses((status = 200, body = Object)), security(("key" = [])))]
async fn status(State(parts): State<Parts>) -> Result<Json<Value>, Problem> {
    parts.oltp.status().await.map(|status| Json(json!(status))).map_err(|error| problem(&error))
}

/// Dead rows, bloat and the age of transaction ids of each table, with what to do.
#[utoipa::path(get, path = "/api/v1/oltp/vacuum", tag = "operate", responses((status = 200, body = [Object])), security(("key" = [])))]
async fn vacuum(State(parts): State<Parts>) -> Result<Json<Value>, Problem> {
    parts.oltp.vacuum_report().await.map(|tables| Json(json!(tables))).map_err(|error| problem(&error))
}

/// The partitions of the ledgers, with sizes and rows.
#[utoipa::path(get, path = "/api/v1/oltp/partitions", tag = "operate", responses((status = 200, body = [Object])), security(("key" = [])))]
async fn partitions(State(parts): State<Parts>) -> Result<Json<Value>, Problem> {
    parts.oltp.partition_sizes().await.map(|all| Json(json!(all))).map_err(|error| problem(&error))
}

fn problem(error: &OltpError) -> Problem {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let problem = Problem::new(status, error.code(), error.detail());
    if error.retry() { problem.after(1) } else { problem }
}
