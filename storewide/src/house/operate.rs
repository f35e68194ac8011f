//! The doors of whoever operates the house: status, quarantine, audit.

use super::Parts;
use crate::audit;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use runtime::Problem;
use runtime::auth::{Guard, Keys, Role, require};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use utoipa::{IntoParams, OpenApi};

/// Most refused events in one answer.
const QUARANTINE_MAX: usize = 500;

/// The doors' part of the API's description.
#[derive(OpenApi)]
#[openapi(paths(status, quarantine, audit))]
pub(super) struct ApiDoc;

pub(super) fn router(parts: &Parts) -> Router {
    let keys: Arc<dyn Keys> = Arc::new(parts.oltp.clone());
    let guard = |role, scope: &'static str| {
        from_fn_with_state(Guard { keys: Arc::clone(&keys), role, scope: scope.into() }, require)
    };
    let reading = Router::new().route("/api/v1/status", get(status)).route_layer(guard(Role::Reader, "status:read"));
    let operating = Router::new()
        .route("/api/v1/quarantine", get(quarantine))
        .route("/api/v1/audit", post(audit))
        .route_layer(guard(Role::Admin, "operate:write"));
    reading.merge(operating).with_state(parts.clone())
}

/// Rate, lag, position and errors of each layer, and which store this is.
#[utoipa::path(get, path = "/api/v1/status", tag = "operate", responses((status = 200, body = Object)), security(("key" = [])))]
async fn status(State(parts): State<Parts>) -> Json<Value> {
    Json(json!({
        "deployment": parts.deployment,
        "layers": parts.telemetry.status(),
        "freshness": parts.serving.freshness.summary(),
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Entries of the page, 1 to 500; 20 when absent.
    limit: Option<usize>,
}

/// Events that the gateway refused, newest first, with the reason.
#[utoipa::path(get, path = "/api/v1/quarantine", tag = "operate", params(Page), responses((status = 200, body = Object)), security(("key" = [])))]
async fn quarantine(
    State(parts): State<Parts>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let limit =
        page.ok().map(|Query(page)| page.limit.unwrap_or(20)).filter(|limit| (1..=QUARANTINE_MAX).contains(limit));
    let limit = limit.ok_or_else(|| {
        let detail = format!("the query may have `limit`, from 1 to {QUARANTINE_MAX}");
        Problem::new(StatusCode::BAD_REQUEST, "operate.bad_query", detail)
    })?;
    let found = gateway::quarantine::list(parts.bus.as_ref(), limit, None).await;
    let found = found.map_err(|error| unavailable("gateway.quarantine_unavailable", &error.to_string()))?;
    Ok(Json(json!(found)))
}

/// Compares the store with the serving layer, row by row.
///
/// Answers at once and sends the report when it is done: an audit of a large store takes longer than a request may.
#[utoipa::path(post, path = "/api/v1/audit", tag = "operate", responses((status = 200, body = Object)), security(("key" = [])))]
async fn audit(State(parts): State<Parts>) -> Response {
    let report = async move {
        let report = audit::run(&parts.sides()).await;
        let report = report.map(|report| json!(report));
        let failed =
            |error: anyhow::Error| json!({ "problem": unavailable("serving.audit_failed", &format!("{error:#}")) });
        Ok::<_, Infallible>(report.unwrap_or_else(failed).to_string())
    };
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(futures_util::stream::once(report)))
        .into_response()
}

fn unavailable(code: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).after(1)
}
