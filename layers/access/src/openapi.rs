//! The OpenAPI 3.1 document of the door, made of the same types that read and write the bodies.

use crate::batch::{LineResult, Summary};
use crate::keys::{MadeKey, NewKey, Opens};
use crate::line::BatchLine;
use crate::members;
use crate::records::Written;
use oltp::Effect;
use oltp::Entity;
use oltp::command::{KINDS, Kind, LookupMember};
use oltp::points::{PointsExpiring, PointsLiability, PointsMonth, PointsOfAge};
use oltp::read::{Filter, PAGE, PAGE_MAX, Takes};
use serde_json::{Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, ContentBuilder, Header, OpenApi, Ref, RefOr, Required, Schema};

/// Name of the security scheme.
const SCHEME: &str = "key";
pub(crate) const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

const ABOUT: &str = "Business facts in, records out. Authenticate with `Authorization: Bearer <key>`; a reader reads, a writer writes, \
an admin makes keys.\n\n\
A write is committed before it is answered. It creates or updates by your own number or code, so a repeat is harmless; with an \
`Idempotency-Key` a repeat gets the first answer. The answer's `position` can be passed on as `at_least` to the reading doors, which \
then wait until they have seen the write.\n\n\
Errors are problem documents (RFC 9457) with a stable `code`, whether to `retry`, and a JSON `pointer` to the field.";

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    Effect,
    Written,
    BatchLine,
    LineResult,
    Summary,
    NewKey,
    MadeKey,
    Opens,
    LookupMember,
    PointsLiability,
    PointsExpiring,
    PointsOfAge,
    PointsMonth
)))]
struct Schemas;

/// The document of this layer's doors; merge it with others' by [`OpenApi::merge`].
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = Schemas::openapi();
    document.info.title = "Storewide API".to_owned();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(ABOUT.to_owned());
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key: `storewide keys create`"))
        .build();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    components.schemas.insert("Problem".to_owned(), problem_schema());
    components.schemas.insert("Record".to_owned(), record_schema());
    components.schemas.insert("Page".to_owned(), page_schema());
    for kind in KINDS {
        let mut schemas = Vec::new();
        (kind.schemas)(&mut schemas);
        document.components.get_or_insert_default().schemas.extend(schemas);
        add(&mut document, &format!("/api/v1/{}", kind.path), HttpMethod::Post, put(kind));
    }
    for entity in Entity::ALL {
        let path = format!("/api/v1/{}", entity.path);
        add(&mut document, &path, HttpMethod::Get, list(entity));
        if let Some(id) = entity.named_by() {
            add(&mut document, &format!("{path}/{{id}}"), HttpMethod::Get, get(entity, &id));
        }
    }
    members::describe(&mut document);
    add(&mut document, "/api/v1/points/liability", HttpMethod::Get, liability());
    add(&mut document, "/api/v1/batch", HttpMethod::Post, batch());
    add(&mut document, "/api/v1/keys", HttpMethod::Post, key_create());
    add(
        &mut document,
        "/api/v1/keys",
        HttpMethod::Get,
        operation("keys", "keys_list", "List the keys, without their secrets", &["401", "403", "503"])
            .response("200", answer("The keys", "Record"))
            .build(),
    );
    add(
        &mut document,
        "/api/v1/keys/{id}",
        HttpMethod::Delete,
        operation(
            "keys",
            "keys_revoke",
            "Revoke a key, at once here and within five seconds elsewhere",
            &["401", "403", "404", "503"],
        )
        .parameter(parameter("id", ParameterIn::Path, "Id of the key", Type::String))
        .response("200", answer("Revoked", "Record"))
        .build(),
    );
    document
}

pub(crate) fn add(document: &mut OpenApi, path: &str, method: HttpMethod, operation: Operation) {
    let item = PathItem::new(method, operation);
    match document.paths.paths.get_mut(path) {
        Some(known) => known.merge_operations(item),
        None => drop(document.paths.paths.insert(path.to_owned(), item)),
    }
}

/// An operation behind a key, with the problems that it may answer.
pub(crate) fn operation(tag: &str, id: &str, summary: &str, problems: &[&str]) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(id))
        .summary(Some(summary))
        .security(SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, []));
    for status in problems {
        operation = operation.response(*status, problem(status));
    }
    operation
}

fn put(kind: &Kind) -> Operation {
    let problems = ["400", "401", "403", "408", "409", "413", "415", "422", "503"];
    let tag = kind.path.split('/').next().unwrap_or(kind.path);
    let id = if kind.action { kind.noun.to_owned() } else { format!("{}_put", kind.noun) };
    let mut operation =
        operation(tag, &id, kind.about, &problems).request_body(Some(body(JSON, &(kind.schema)(), &(kind.example)())));
    operation = if kind.action {
        operation.response("200", written("Done"))
    } else {
        operation
            .response("201", written("Created"))
            .response("200", written("Updated, or unchanged because it was so already or the update was older"))
    };
    for header in write_headers(kind.keyed) {
        operation = operation.parameter(header);
    }
    operation.build()
}

fn tag(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

fn get(entity: &Entity, id: &str) -> Operation {
    let Entity { name, path, about, .. } = entity;
    operation(
        tag(path),
        &format!("{name}_get"),
        &format!("Get {} {name}", article(name)),
        &["400", "401", "404", "422", "503"],
    )
    .description(Some(format!("{about}.")))
    .parameter(parameter("id", ParameterIn::Path, id, Type::String))
    .parameter(fields())
    .parameter(at_least())
    .response("200", record(about))
    .build()
}

fn record(about: &str) -> Response {
    let mut header = Header::new(Object::with_type(Type::String));
    header.description = Some("The record's version in quotes, where it has one".to_owned());
    let mut response = answer(about, "Record");
    response.headers.insert("ETag".to_owned(), header);
    response
}

fn fields() -> Parameter {
    parameter("fields", ParameterIn::Query, "The fields to show, with commas between; all when absent", Type::String)
}

/// The position that a read is to have reached: taken at every reading door, and always reached at these.
fn at_least() -> Parameter {
    parameter(
        "at_least",
        ParameterIn::Query,
        "The `position` of a write; these doors see every write at once",
        Type::String,
    )
}

fn list(entity: &Entity) -> Operation {
    let Entity { name, path, about, .. } = entity;
    let query = |name, text, schema: ObjectBuilder| {
        let base = parameter(name, ParameterIn::Query, text, Type::String);
        ParameterBuilder::from(base).schema(Some(schema.build())).build()
    };
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let words = |words: Vec<String>| text().enum_values(Some(words));
    let limit = format!("Records on a page, 1 to {PAGE_MAX}; {PAGE} when absent");
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(PAGE_MAX));
    let sorts = entity.order().flat_map(|(_, name, _)| [name.to_owned(), format!("-{name}")]).collect();
    let mut operation =
        operation(tag(path), &format!("{name}_list"), &format!("List {path}"), &["400", "401", "422", "503"])
            .description(Some(format!("{about}. In the order in which they were made, where nothing else is asked.")))
            .parameter(query("cursor", "The `next` of the page before, with the same `sort`", text()))
            .parameter(query("limit", &limit, number))
            .parameter(query("sort", "What to sort by; with `-` the other way round", words(sorts)))
            .parameter(fields())
            .parameter(at_least());
    for Filter { name, about, takes, .. } in entity.filters {
        let schema = match takes {
            Takes::OneOf(all) => words(all.iter().map(|word| (*word).to_owned()).collect()),
            Takes::Text | Takes::Code => text().min_length(Some(1)).max_length(Some(512)),
            Takes::Time => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
            Takes::Day => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))),
            Takes::Flag => ObjectBuilder::new().schema_type(Type::Boolean),
            Takes::Whole => ObjectBuilder::new().schema_type(Type::Integer),
        };
        operation = operation.parameter(query(name, about, schema));
    }
    operation.response("200", answer("A page", "Page")).build()
}

fn batch() -> Operation {
    let line = |kind: &Kind| json!({"type": kind.noun, "body": (kind.example)()}).to_string();
    let lines: Vec<String> = KINDS.iter().take(3).map(line).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("LineResult"))).build();
    let mut operation = operation("batch", "batch", "Write many records, as lines", &["400", "401", "403", "415", "503"])
        .description(Some(
            "One JSON object a line, of any kinds, in any number. The answer has one line for each, in order, and a last line with \
             `position`, `lines` and `failed`. A bad line is answered with its problem and harms no other. Read while you send: the \
             server reads on only when its answers are taken. Whoever cannot, asks for `results=failed`.",
        ))
        .parameter(parameter("results", ParameterIn::Query, "all (default), or failed for the lines that failed only", Type::String))
        .request_body(Some(body(LINES, "BatchLine", &Value::String(lines.join("\n")))))
        .response("200", ResponseBuilder::new().description("A LineResult for each line, then a Summary").content(LINES, content).build());
    for header in write_headers(false) {
        operation = operation.parameter(header);
    }
    operation.build()
}

fn liability() -> Operation {
    let as_of = parameter("as_of", ParameterIn::Query, "The moment, not ahead; now when absent", Type::String);
    operation("points", "points_liability", "What members hold in points", &["400", "401", "503"])
        .description(Some("Reads the whole ledger: for reports, not for pages."))
        .parameter(ParameterBuilder::from(as_of).required(Required::False).build())
        .response("200", answer("The report", "PointsLiability"))
        .build()
}

fn key_create() -> Operation {
    operation(
        "keys",
        "keys_create",
        "Make an API key or a write key; its secret is shown this once",
        &["400", "401", "403", "413", "415", "422", "503"],
    )
    .request_body(Some(body(JSON, "NewKey", &json!({"name": "till-367", "kind": "api", "role": "writer"}))))
    .response("201", answer("The key", "MadeKey"))
    .build()
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The headers of writes. Actions are done each time they come, so that they need a key.
fn write_headers(keyed: bool) -> [Parameter; 3] {
    let header = |name, text, required| {
        ParameterBuilder::from(parameter(name, ParameterIn::Header, text, Type::String)).required(required).build()
    };
    let key = if keyed { Required::True } else { Required::False };
    [
        header("Idempotency-Key", "1 to 255 visible characters; a repeat gets the first answer", key),
        header("X-Reason", "Why, for the audit log", Required::False),
        header("X-Request-Id", "Your id of the request, for logs and the audit log", Required::False),
    ]
}

pub(crate) fn parameter(name: &str, place: ParameterIn, text: &str, kind: Type) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let schema = ObjectBuilder::new().schema_type(kind).build();
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(text))
        .schema(Some(schema))
        .build()
}

pub(crate) fn body(media: &str, schema: &str, example: &Value) -> RequestBody {
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).example(Some(example.clone())).build();
    RequestBodyBuilder::new().content(media, content).required(Some(Required::True)).build()
}

fn named(schema: &str) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}

pub(crate) fn answer(text: &str, schema: &str) -> Response {
    ResponseBuilder::new().description(text).content(JSON, named(schema)).build()
}

fn written(text: &str) -> Response {
    let mut header = Header::new(Object::with_type(Type::String));
    header.description = Some("The position of the write".to_owned());
    let mut response = answer(text, "Written");
    response.headers.insert("Storewide-Position".to_owned(), header);
    response
}

fn problem(status: &str) -> Response {
    let text = match status {
        "400" => "Not JSON, not UTF-8, or a bad header or query",
        "401" => "No key, or one that is unknown, expired or revoked",
        "403" => "The key's role may not do this",
        "404" => "There is no such record",
        "408" => "The body did not arrive in time",
        "409" => "It contradicts what the store holds",
        "413" => "The body is too large",
        "415" => "Not the content type that this path takes",
        "422" => "A field is missing, unknown, of the wrong type or not possible",
        _ => "Busy or away; retry after `Retry-After` seconds with the same idempotency key",
    };
    ResponseBuilder::new().description(text).content("application/problem+json", named("Problem")).build()
}

fn problem_schema() -> RefOr<Schema> {
    let text = |about: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(about)).build();
    ObjectBuilder::new()
        .description(Some("What failed, whether to retry, and what to do (RFC 9457)."))
        .property("type", text("`/problems/<code>`"))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).description(Some("HTTP status")))
        .property("title", text("The status' own phrase"))
        .property("detail", text("What is wrong in this request, and what would be right"))
        .property("code", text("Stable code, such as `oltp.unknown_sku`"))
        .property(
            "retry",
            ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .description(Some("Whether the same request may succeed later")),
        )
        .property("pointer", text("Where in the request, as a JSON pointer"))
        .required("type")
        .required("status")
        .required("title")
        .required("detail")
        .required("code")
        .required("retry")
        .into()
}

fn record_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .description(Some(
            "A record with our ids, the fields that were written, `row_version`, `created_at` and `updated_at`.",
        ))
        .schema_type(Type::Object)
        .into()
}

fn page_schema() -> RefOr<Schema> {
    let items = utoipa::openapi::schema::ArrayBuilder::new().items(Ref::from_schema_name("Record")).build();
    ObjectBuilder::new()
        .description(Some("A page of records."))
        .property("items", items)
        .property(
            "next",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("Cursor of the next page; null on the last")),
        )
        .required("items")
        .into()
}
