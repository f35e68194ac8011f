//! What goods cost now.

use crate::http::Door;
use crate::openapi::{JSON, add, answer, body as document_body, operation, with};
use crate::reason::parse;
use crate::{body, error};
use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use oltp::price::Quote;
use runtime::Problem;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::HttpMethod;

/// The prices of SKUs as they are now, in a store and on a channel.
pub(crate) async fn quote(door: &Door, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let body = body::json(headers, body, &door.config).await?;
    let ask: Quote = parse(&body, "")?;
    let prices = door.oltp.quote(&ask, Timestamp::now()).await.map_err(|error| error::of_store(&error, ""))?;
    Ok(Json(answered(&prices)).into_response())
}

fn answered(prices: &Value) -> Value {
    json!({ "items": prices })
}

/// The operation's part of the document.
pub(crate) fn describe(document: &mut OpenApi) {
    let ask = json!({"sku_codes": ["1039126"], "store_code": "367", "channel": "pos", "currency": "USD"});
    let price = json!([{"sku_code": "1039126", "known": true, "amount_minor": 699, "type": "list", "price_code": null,
        "valid_until": null}]);
    let quote = operation("prices", "prices_quote", "Ask what goods cost now", &["400", "408", "413", "415", "422"])
        .description(Some(
            "In the order asked for: `amount_minor` (null where there is no price in this currency), `type` (`promo`, `regular`, or `list`: \
             the SKU's own), `price_code` and `valid_until`.",
        ))
        .request_body(Some(document_body(JSON, "Quote", &ask)))
        .response("200", answer("The prices", "Record", &answered(&price)));
    add(document, "/api/v1/prices/quote", HttpMethod::Post, with(quote, []));
}
