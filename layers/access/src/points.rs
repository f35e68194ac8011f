//! What the house owes its members in points.

use crate::error;
use crate::http::Door;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use runtime::Problem;
use serde::Deserialize;
use std::sync::Arc;

/// What the report may be asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LiabilityQuery {
    as_of: Option<Timestamp>,
}

/// The report on liabilities, as of a moment that is not ahead.
pub(crate) async fn liability(
    State(door): State<Arc<Door>>,
    query: Result<Query<LiabilityQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| error::query("the query may say as_of=<time>, RFC 3339"))?;
    if query.as_of.is_some_and(|at| at > Timestamp::now()) {
        return Err(error::query("as_of is not ahead of now"));
    }
    let report = door.oltp.points_liability(query.as_of).await.map_err(|error| error::of_store(&error, ""))?;
    Ok(Json(report).into_response())
}
