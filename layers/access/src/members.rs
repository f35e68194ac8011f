//! Members found by what they show at the till, and all that is held about one.

use crate::caller::Caller;
use crate::http::Door;
use crate::openapi::{ID, JSON, add, answer, body as document_body, operation, path, query, text, with};
use crate::reason::parse;
use crate::{body, error, metrics};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use oltp::command::LookupMember;
use runtime::Problem;
use runtime::auth::{PERSONAL, forbidden};
use serde::Deserialize;
use serde_json::json;
use std::time::Instant;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
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
    let found = door.oltp.lookup(&ask, caller.sees_personal()).await.map_err(|error| error::of_store(&error, ""))?;
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
    if !caller.sees_personal() {
        return Err(forbidden(PERSONAL));
    }
    let found = match (section, after) {
        (Some(section), after) => door.oltp.export_section(&caller.context, &id, &section, after).await,
        (None, None) => door.oltp.export(&caller.context, &id).await,
        (None, Some(_)) => return Err(error::query(told)),
    };
    let found = found.map_err(|error| error::of_store(&error, ""))?;
    found.map(|found| Json(found).into_response()).ok_or_else(|| error::not_found("member or section"))
}

/// Adds these doors to the document of the API.
pub(crate) fn describe(document: &mut OpenApi) {
    let example =
        json!({"candidates": [{"kind": "phone", "value": "+15550109999"}, {"kind": "card", "value": "4711"}]});
    let member =
        json!({"member": {"member_id": ID, "member_no": "household-1", "tier_code": "gold"}, "candidates": []});
    let problems = ["400", "408", "413", "415", "422"];
    let lookup = operation("members", "member_lookup", "Find a member by what is shown at the till", &problems)
        .description(Some(
            "`member` is whom strong identities lead to, with tier, points that can be spent and the number of coupons that can be used; \
             names only for keys that see personal data. Where weak identities speak for members, or strong ones for several, they are \
             `candidates`, and nobody is `member`.",
        ))
        .request_body(Some(document_body(JSON, "LookupMember", &example)))
        .response("200", answer("Whom they lead to", "Record", &member));
    add(document, "/api/v1/members/lookup", HttpMethod::Post, with(lookup, []));
    let shown = json!({"member_id": ID, "sections": {}});
    let about = "Export all that is held about a member";
    let export = operation("members", "member_export", about, &["400", "404"])
        .description(Some(
            "Identities, personal data, consents with their history, orders, returns, points, coupons, tickets, decisions, merges and the last \
             lines of the audit log. Each of `sections` has its first 100 rows; where `next` is not null, `section` and `after` get the next. \
             For keys that see personal data; who asked for it stands in the audit log.",
        ))
        .response("200", answer("The export, or the rows of one section", "Record", &shown));
    let after = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    let parameters = [
        path("id", "Our id, or your own `member_no`"),
        query("section", "One section only, by its name", text()),
        query("after", "The `next` of its page before", after),
    ];
    add(document, "/api/v1/members/{id}/export", HttpMethod::Get, with(export, parameters));
}
