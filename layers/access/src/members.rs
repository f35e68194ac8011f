//! Members found by what they show at the till, and all that is held about one.

use crate::caller::Caller;
use crate::http::Door;
use crate::openapi::{JSON, add, answer, body as document_body, operation, parameter};
use crate::reason::parse;
use crate::{body, error, metrics};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use oltp::command::LookupMember;
use runtime::Problem;
use serde::Deserialize;
use serde_json::json;
use std::time::Instant;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{HttpMethod, ParameterIn};
use utoipa::openapi::schema::Type;
use uuid::Uuid;

/// What of an export is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ExportQuery {
    section: Option<String>,
    after: Option<Uuid>,
}

/// Whom identities lead to. They stand in the body: what is personal is in no URL, and in no log of one.
pub(crate) async fn lookup(door: &Door, caller: &Caller, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let body = body::json(headers, body, &door.config).await?;
    let started = Instant::now();
    let ask: LookupMember = parse(&body, "")?;
    drop(body);
    let found = door.oltp.lookup(&ask, caller.sees_personal).await.map_err(|error| error::of_store(&error, ""))?;
    door.meter.took(metrics::LOOKUP, started.elapsed());
    Ok(Json(found).into_response())
}

/// All that is held about a member, or a page of one section of it.
pub(crate) async fn export(
    door: &Door,
    caller: &Caller,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<ExportQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| error::path())?;
    let told = "the query may say section=<name>, and after=<the `next` of its page before>";
    let Query(ExportQuery { section, after }) = query.map_err(|_| error::query(told))?;
    if !caller.sees_personal {
        let detail = "an export is personal: this key may not see it";
        return Err(Problem::new(StatusCode::FORBIDDEN, "access.forbidden", detail));
    }
    let found = match (section, after) {
        (Some(section), after) => door.oltp.export_section(&id, &section, after).await,
        (None, None) => door.oltp.export(&id).await,
        (None, Some(_)) => return Err(error::query(told)),
    };
    let found = found.map_err(|error| error::of_store(&error, ""))?;
    found.map(|found| Json(found).into_response()).ok_or_else(|| error::not_found("member or section"))
}

/// Adds these doors to the document of the API.
pub(crate) fn describe(document: &mut OpenApi) {
    let problems = ["400", "401", "408", "413", "415", "422", "503"];
    let example =
        json!({"candidates": [{"kind": "phone", "value": "+15550109999"}, {"kind": "card", "value": "4711"}]});
    let lookup = operation("members", "member_lookup", "Find a member by what is shown at the till", &problems)
        .description(Some(
            "`member` is whom strong identities lead to, with tier, points that can be spent and the number of coupons that can be used; \
             names only for keys that see personal data. Where weak identities speak for members, or strong ones for several, they are \
             `candidates`, and nobody is `member`.",
        ))
        .request_body(Some(document_body(JSON, "LookupMember", &example)))
        .response("200", answer("Whom they lead to", "Record"));
    add(document, "/api/v1/members/lookup", HttpMethod::Post, lookup.build());
    let export = operation(
        "members",
        "member_export",
        "Export all that is held about a member",
        &["400", "401", "403", "404", "503"],
    )
    .description(Some(
        "Identities, personal data, consents with their history, orders, returns, points, coupons, tickets, decisions, merges and the last \
         lines of the audit log. Each of `sections` has its first 100 rows; where `next` is not null, `section` and `after` get the next.",
    ))
    .parameter(parameter("id", ParameterIn::Path, "Our id, or your own `member_no`", Type::String))
    .parameter(parameter("section", ParameterIn::Query, "One section only, by its name", Type::String))
    .parameter(parameter("after", ParameterIn::Query, "The `next` of its page before", Type::String))
    .response("200", answer("The export, or the rows of one section", "Record"));
    add(document, "/api/v1/members/{id}/export", HttpMethod::Get, export.build());
}
