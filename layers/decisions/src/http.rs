//! The door of decisions: what was decided, and why.
#![expect(unused_qualifications, reason = "in the code that utoipa generates")]

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router, middleware};
use model::ids::{MemberId, RecommendationId};
use oltp::outcome::{ActionRecord, Decision, DecisionDetail, DecisionsAsked, DeliveryRecord, OutcomeRecord};
use oltp::{Oltp, OltpError};
use runtime::Problem;
use runtime::auth::{Guard, Keys, Role, require};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, OpenApi, ToSchema};

/// Decisions of a page, unless asked otherwise.
const LIMIT: u32 = 50;
/// Most decisions of a page.
const LIMIT_MAX: u32 = 500;
/// What a recommendation may be.
const STATUSES: [&str; 5] = ["blocked", "executing", "executed", "failed", "retracted"];

/// The door's part of the API's description.
#[derive(OpenApi)]
#[openapi(
    paths(list, read),
    components(schemas(Decisions, Decision, DecisionDetail, ActionRecord, DeliveryRecord, OutcomeRecord))
)]
pub struct ApiDoc;

/// A page of decisions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decisions {
    /// Newest first.
    pub items: Vec<Decision>,
    /// Where the next page begins: pass it as `cursor`; none on the last page.
    pub next_cursor: Option<String>,
}

/// Which decisions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Decisions of the page, 1 to 500; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only blocked, executing, executed, failed or retracted ones.
    status: Option<String>,
    /// Only those of this member.
    member_id: Option<String>,
}

/// `GET /api/v1/decisions` and `GET /api/v1/decisions/{id}`, for whoever has a reader's key.
pub fn router(oltp: Oltp, keys: Arc<dyn Keys>) -> Router {
    Router::new()
        .route("/api/v1/decisions", get(list))
        .route("/api/v1/decisions/{id}", get(read))
        .route_layer(middleware::from_fn_with_state(
            Guard { keys, role: Role::Reader, scope: "decisions:read".into() },
            require,
        ))
        .with_state(oltp)
}

/// Decisions, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/decisions",
    tag = "decisions",
    params(Asked),
    responses((status = 200, body = Decisions), (status = 400, description = "a parameter is wrong"), (status = 401, description = "no valid key")),
    security(("key" = []))
)]
async fn list(
    State(oltp): State<Oltp>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Decisions>, Problem> {
    // The rejection's text may repeat what was sent.
    let Query(asked) = query.map_err(|_| bad("the query may have `limit`, `cursor`, `status` and `member_id`"))?;
    let limit = asked.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(bad(format!("`limit` is 1 to {LIMIT_MAX}")));
    }
    if asked.status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
        return Err(bad(format!("`status` is one of {}", STATUSES.join(", "))));
    }
    let before = asked.cursor.map(|text| text.parse::<RecommendationId>()).transpose();
    let before = before.map_err(|_| bad("`cursor` is not what `next_cursor` of a page was"))?;
    let member = asked.member_id.map(|text| text.parse::<MemberId>()).transpose();
    let member = member.map_err(|_| bad("`member_id` is no UUID"))?;
    // One more than asked for tells whether there is a next page.
    let wanted = DecisionsAsked { before, status: asked.status, member, limit: limit + 1 };
    let mut items = oltp.decisions(&wanted).await.map_err(|error| problem(&error))?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let last = items.last().filter(|_| more);
    Ok(Json(Decisions { next_cursor: last.map(|last| last.recommendation_id.to_string()), items }))
}

/// One decision with its verdicts, action, deliveries and outcome.
#[utoipa::path(
    get,
    path = "/api/v1/decisions/{id}",
    tag = "decisions",
    params(("id" = uuid::Uuid, Path, description = "the recommendation")),
    responses((status = 200, body = DecisionDetail), (status = 401, description = "no valid key"), (status = 404, description = "no such decision")),
    security(("key" = []))
)]
async fn read(
    State(oltp): State<Oltp>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<DecisionDetail>, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "decisions.not_found", "there is no decision with this id");
    let id: RecommendationId = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or_else(unknown)?;
    oltp.decision(id).await.map_err(|error| problem(&error))?.map(Json).ok_or_else(unknown)
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "decisions.bad_query", detail)
}

fn problem(error: &OltpError) -> Problem {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let problem = Problem::new(status, error.code(), error.detail());
    if error.retry() { problem.after(1) } else { problem }
}
