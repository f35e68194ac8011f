//! `/hooks/{connector}/{account}`: the door of sources. A delivery is known to be theirs by its own signature or key, over the bytes
//! as they came; it is answered once those bytes are committed, and read later.

use crate::intake::Intake;
use crate::receiver::{Raw, kept_headers, refused};
use crate::{error, metrics};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oltp::inbox::NewDelivery;
use runtime::http::{Unread, read};
use runtime::{Clock as _, Problem, SystemClock};
use std::sync::Arc;
use std::time::Duration;

/// Takes a delivery.
#[utoipa::path(post, path = "/hooks/{connector}/{account}", tag = "sources",
    params(("connector" = String, Path, description = "standard_webhooks, json, or the name of a channel"),
        ("account" = String, Path, description = "An account of a source, as its contract names it")),
    request_body(content = Object, description = "The delivery, signed or keyed as its source does"),
    responses((status = 202, description = "Kept: a receipt", body = Object), (status = 200, description = "It had come before: the first receipt", body = Object),
        (status = 400, description = "A bad path, or a body that broke off"), (status = 401, description = "The signature or key is not theirs"), (status = 404, description = "There is no such source"),
        (status = 408, description = "Too slow"), (status = 413, description = "Too large"), (status = 415, description = "Encoded"), (status = 503, description = "Busy, away, or without a secret: retry")))]
pub(crate) async fn post(
    State(intake): State<Intake>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path((connector, account)) = path.map_err(|_| error::path())?;
    let Ok(_room) = intake.deliveries.try_acquire() else {
        intake.meter.count(metrics::SHED, 1);
        return Err(error::busy());
    };
    let receiver = intake.receivers.at(&connector, &account).map(Arc::clone);
    let receiver = receiver.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "access.unknown_source", "no source delivers to this path")
    })?;
    // What is signed are the bytes on the wire: there is no way back to them behind a decoder.
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(error::encoding());
    }
    let (limit, time) = (intake.config.inbox.body_bytes_max, intake.config.body_ms_max);
    let body = read(body, limit, Duration::from_millis(time)).await.map_err(|unread| match unread {
        Unread::TooLarge => {
            let detail = format!("the delivery is larger than {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "access.body_too_large", detail)
        }
        Unread::Slow => error::body_slow(time),
        Unread::Broken => error::body_broken(),
    })?;
    let kept = kept_headers(receiver.contract(), &headers);
    let source = receiver.contract().name.clone();
    let verified = {
        let (account, body) = (account.clone(), body.clone());
        let verify =
            move || receiver.verify(&Raw { account: &account, headers: &headers, body: &body, at: SystemClock.now() });
        tokio::task::spawn_blocking(verify).await
    };
    let fault =
        |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "access.internal", "a fault of ours; the log has it");
    let arrival = verified.map_err(fault)?.map_err(|rejection| {
        intake.meter.count(metrics::UNSIGNED, 1);
        refused(rejection)
    })?;
    let delivery = NewDelivery {
        source: &source,
        account: &account,
        delivery_id: &arrival.delivery_id,
        kind: arrival.kind.as_deref(),
        entity_key: &arrival.entity_key,
        headers: &kept,
        payload: &body,
    };
    let receipt = intake.oltp.receive_delivery(&delivery).await.map_err(|error| error::of_store(&error, ""))?;
    if receipt.repeated {
        intake.meter.count(metrics::REPEATED_DELIVERY, 1);
        return Ok(Json(receipt).into_response());
    }
    intake.meter.count(metrics::RECEIVED, 1);
    intake.delivered.notify_one();
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}
