//! What operations are made of: parameters, bodies, answers, problems, and the schemas that no Rust type stands behind.

use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, Header, OpenApi, Ref, RefOr, Required, Schema};

/// Name of the security scheme.
pub(crate) const SCHEME: &str = "key";
pub(crate) const JSON: &str = "application/json";
pub(crate) const LINES: &str = "application/x-ndjson";
const PROBLEM: &str = "application/problem+json";

/// Problems that every operation behind a key may answer.
const COMMON: [&str; 6] = ["401", "403", "429", "500", "503", "504"];

/// An operation behind a key, with the problems that it may answer beside those of all.
pub(crate) fn operation(tag: &str, id: &str, summary: &str, problems: &[&str]) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(id))
        .summary(Some(summary))
        .security(SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, []));
    for status in COMMON.iter().chain(problems) {
        operation = operation.response(*status, problem(status));
    }
    operation
}

/// What any door may answer, for operations that other layers describe without it.
const ANY: [&str; 6] = ["400", "404", "408", "413", "415", "422"];

/// Gives the problems of all doors to operations that are described without them.
pub fn complete(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            let known = &mut operation.responses.responses;
            if known.contains_key("401") && known.contains_key("429") {
                continue;
            }
            for status in COMMON.iter().chain(&ANY) {
                known.entry((*status).to_owned()).or_insert_with(|| problem(status).into());
            }
        }
    }
}

/// Adds parameters.
pub(crate) fn with(mut operation: OperationBuilder, parameters: impl IntoIterator<Item = Parameter>) -> Operation {
    for parameter in parameters {
        operation = operation.parameter(parameter);
    }
    operation.build()
}

pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// One of some words.
pub(crate) fn words(words: impl IntoIterator<Item = String>) -> ObjectBuilder {
    text().enum_values(Some(words.into_iter().collect::<Vec<_>>()))
}

pub(crate) fn query(name: &str, about: &str, schema: ObjectBuilder) -> Parameter {
    parameter(name, ParameterIn::Query, about, schema)
}

pub(crate) fn path(name: &str, about: &str) -> Parameter {
    parameter(name, ParameterIn::Path, about, text().min_length(Some(1)))
}

fn parameter(name: &str, place: ParameterIn, about: &str, schema: ObjectBuilder) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(schema.build()))
        .build()
}

/// The headers of writes. Actions are done each time they come, so that they need a key.
pub(crate) fn write_headers(keyed: bool) -> Vec<Parameter> {
    let header = |name, about, schema| parameter(name, ParameterIn::Header, about, schema);
    let key = text().min_length(Some(1)).max_length(Some(255)).pattern(Some("^[!-~]+$"));
    let key = header("Idempotency-Key", "1 to 255 visible characters; a repeat gets the first answer", key);
    let required = if keyed { Required::True } else { Required::False };
    vec![
        ParameterBuilder::from(key).required(required).build(),
        header(
            "X-Reason",
            "Why, for the audit log",
            text().min_length(Some(1)).max_length(Some(512)).pattern(Some("^[!-~]+$")),
        ),
        header(
            "X-Request-Id",
            "Your id of the request, for logs and the audit log; comes back in the answer",
            text().min_length(Some(1)).max_length(Some(128)).pattern(Some("^[!-~]+$")),
        ),
    ]
}

/// The version that a record must have for a write to be done.
pub(crate) fn if_match() -> Parameter {
    let about = "The `ETag` of the record as you know it: it is written only while the record has this version";
    parameter("If-Match", ParameterIn::Header, about, text().pattern(Some("^\"[1-9][0-9]{0,17}\"$")))
}

pub(crate) fn body(media: &str, schema: &str, example: &Value) -> RequestBody {
    RequestBodyBuilder::new().content(media, content(schema, example)).required(Some(Required::True)).build()
}

fn content(schema: &str, example: &Value) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).example(Some(example.clone())).build()
}

/// A good answer of a media type, with the headers of all.
pub(crate) fn answer_as(media: &str, about: &str, schema: &str, example: &Value) -> Response {
    let mut response = ResponseBuilder::new().description(about).content(media, content(schema, example)).build();
    headers(&mut response, &[REQUEST_ID, RATE_LIMIT, RATE_LIMIT_POLICY]);
    response
}

/// A good answer in JSON.
pub(crate) fn answer(about: &str, schema: &str, example: &Value) -> Response {
    answer_as(JSON, about, schema, example)
}

/// A header of answers, and what it says.
pub(crate) type Told = (&'static str, &'static str);

const REQUEST_ID: Told = ("X-Request-Id", "Your id of the request, or ours");
const RETRY_AFTER: Told = ("Retry-After", "Seconds to wait");
const RATE_LIMIT: Told = ("RateLimit", "What the key may still ask: r requests at once now, all again in t seconds");
const RATE_LIMIT_POLICY: Told = ("RateLimit-Policy", "The key's limit: q requests at once, which w seconds bring");

pub(crate) fn headers(response: &mut Response, told: &[Told]) {
    for (name, about) in told {
        let mut header = Header::new(Object::with_type(Type::String));
        header.description = Some((*about).to_owned());
        response.headers.insert((*name).to_owned(), header);
    }
}

/// What a problem's status says, and a code that it comes with.
fn meaning(status: &str) -> (&'static str, &'static str, &'static str) {
    match status {
        "400" => ("Not JSON, not UTF-8, or a bad header, path or query", "Bad Request", "access.invalid_json"),
        "401" => ("No key, or one that is unknown, expired or revoked", "Unauthorized", "access.unauthorised"),
        "403" => ("The key's role or scopes do not allow this", "Forbidden", "access.forbidden"),
        "404" => ("There is no such record", "Not Found", "access.not_found"),
        "408" => ("The body did not arrive in time", "Request Timeout", "access.body_timeout"),
        "409" => ("It contradicts what the store holds", "Conflict", "oltp.identity_taken"),
        "412" => {
            ("The record has another version than `If-Match` says", "Precondition Failed", "oltp.version_mismatch")
        }
        "413" => ("The body is too large", "Payload Too Large", "access.body_too_large"),
        "415" => {
            ("Not the content type that this path takes", "Unsupported Media Type", "access.unsupported_media_type")
        }
        "422" => (
            "A field is missing, unknown, of the wrong type or not possible",
            "Unprocessable Entity",
            "access.invalid_body",
        ),
        "429" => {
            ("The key has asked too often; wait `Retry-After` seconds", "Too Many Requests", "access.rate_limited")
        }
        "500" => ("A fault of ours", "Internal Server Error", "oltp.internal"),
        "504" => ("It took too long", "Gateway Timeout", "http.timeout"),
        _ => (
            "Busy or away; retry after `Retry-After` seconds with the same idempotency key",
            "Service Unavailable",
            "access.busy",
        ),
    }
}

fn problem(status: &str) -> Response {
    let (about, title, code) = meaning(status);
    let retry = ["408", "429", "500", "503", "504"].contains(&status);
    let number: u16 = status.parse().unwrap_or_default();
    let example = json!({"type": format!("/problems/{code}"), "status": number, "title": title, "detail": about, "code": code,
        "retry": retry});
    let mut response = ResponseBuilder::new().description(about).content(PROBLEM, content("Problem", &example)).build();
    headers(&mut response, &[REQUEST_ID]);
    match status {
        "429" => headers(&mut response, &[RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_POLICY]),
        "503" => headers(&mut response, &[RETRY_AFTER]),
        _ => {}
    }
    response
}

/// The schemas that no Rust type stands behind.
pub(crate) fn schemas() -> [(&'static str, RefOr<Schema>); 5] {
    [
        ("Problem", problem_schema()),
        ("Record", record_schema()),
        ("Page", page_schema("Record", "A page of records.")),
        ("KeyPage", keys_schema()),
        ("RevokedKey", revoked_schema()),
    ]
}

fn problem_schema() -> RefOr<Schema> {
    let told = |about: &str| text().description(Some(about));
    let number = ObjectBuilder::new().schema_type(Type::Integer).description(Some("HTTP status"));
    let retry = ObjectBuilder::new().schema_type(Type::Boolean);
    let mut schema = ObjectBuilder::new()
        .description(Some("What failed, whether to retry, and what to do (RFC 9457)."))
        .property("type", told("`/problems/<code>`"))
        .property("status", number)
        .property("title", told("The status' own phrase"))
        .property("detail", told("What is wrong in this request, and what would be right"))
        .property("code", told("Stable code, such as `oltp.unknown_sku`"))
        .property("retry", retry.description(Some("Whether the same request may succeed later")))
        .property("pointer", told("Where in the request, as a JSON pointer"))
        .examples([json!({"type": "/problems/oltp.unknown_sku", "status": 422, "title": "Unprocessable Entity",
            "detail": "there is no SKU with this code; put the SKU first", "code": "oltp.unknown_sku", "retry": false,
            "pointer": "/lines/0/sku_code"})]);
    for name in ["type", "status", "title", "detail", "code", "retry"] {
        schema = schema.required(name);
    }
    schema.into()
}

fn record_schema() -> RefOr<Schema> {
    let about = "A record with our ids, the fields that were written, `row_version`, `created_at` and `updated_at`.";
    ObjectBuilder::new()
        .description(Some(about))
        .schema_type(Type::Object)
        .examples([
            json!({"store_id": ID, "store_code": "367", "name": "Main Street", "row_version": 1, "updated_at": TIME}),
        ])
        .into()
}

fn nullable_text(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::String, Type::Null])).description(Some(about))
}

fn page_schema(item: &str, about: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .description(Some(about))
        .property("items", ArrayBuilder::new().items(Ref::from_schema_name(item)).build())
        .property("next", nullable_text("Cursor of the next page; null on the last"))
        .required("items")
        .required("next")
        .examples([json!({"items": [], "next": null})])
        .into()
}

fn keys_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .description(Some("All keys, without their secrets."))
        .property("items", ArrayBuilder::new().items(Ref::from_schema_name("Record")).build())
        .required("items")
        .examples([key_page()])
        .into()
}

fn revoked_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .description(Some("A key that works no more."))
        .property("id", text().description(Some("Its id")))
        .property("revoked", ObjectBuilder::new().schema_type(Type::Boolean).description(Some("true")))
        .required("id")
        .required("revoked")
        .examples([json!({"id": ID, "revoked": true})])
        .into()
}

/// An id for examples.
pub(crate) const ID: &str = "0198c5d2-7a40-7c3a-9f10-2b6f0c1d4e5f";
/// A time for examples.
pub(crate) const TIME: &str = "2026-01-31T12:00:00Z";
/// A secret for examples.
pub(crate) const SECRET: &str = "swk_…";

/// An answer to the question for keys.
pub(crate) fn key_page() -> Value {
    json!({"items": [{"id": ID, "name": "till-367", "kind": "api", "role": "writer", "scopes": ["orders:write"],
        "requests_per_s": null, "burst": null, "created_at": TIME, "expires_at": null, "revoked_at": null, "rotated_at": null,
        "previous_until": null, "last_used_at": TIME}]})
}
