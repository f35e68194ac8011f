//! The OpenAPI 3.1 document of the door, made of the same types that read and write the bodies, and of the same declarations that
//! records are read by.

mod parts;
mod sample;

use crate::batch::{LineResult, Summary};
use crate::keys::{MadeKey, NewKey, Opens, RotatedKey, Rotation};
use crate::line::BatchLine;
use crate::members;
use crate::prices;
use crate::records::Written;
use oltp::Entity;
use oltp::command::{Effect, KINDS, Kind, LookupMember};
use oltp::points::{PointsExpiring, PointsLiability, PointsMonth, PointsOfAge};
use oltp::price::Quote;
use oltp::read::{Filter, PAGE, PAGE_MAX, Takes};
pub use parts::complete;
pub(crate) use parts::{ID, JSON, answer, body, operation, path, query, text, with};
use parts::{LINES, SCHEME, SECRET, TIME, answer_as, headers, if_match, key_page, words, write_headers};
use serde_json::{Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Schema};

const ABOUT: &str = "Business facts in, records out. Authenticate with `Authorization: Bearer <key>`; a reader reads, a writer writes, \
an admin makes keys. A key can be held to scopes such as `orders:write` or `members:read`; personal data (names, birth dates, \
identities unmasked) are shown to keys with the scope `pii:read` only.\n\n\
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
    Rotation,
    RotatedKey,
    LookupMember,
    Quote,
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
    components.schemas.extend(parts::schemas().map(|(name, schema)| (name.to_owned(), schema)));
    for kind in KINDS {
        let mut schemas = Vec::new();
        (kind.schemas)(&mut schemas);
        components.schemas.extend(schemas);
        show(&mut components.schemas, &(kind.schema)(), (kind.example)());
    }
    for (name, example) in examples() {
        show(&mut components.schemas, name, example);
    }
    sample::fill(&mut components.schemas);
    for kind in KINDS {
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
    prices::describe(&mut document);
    add(&mut document, "/api/v1/points/liability", HttpMethod::Get, liability());
    members::describe(&mut document);
    prices::describe(&mut document);
    add(&mut document, "/api/v1/points/liability", HttpMethod::Get, liability());
    add(&mut document, "/api/v1/batch", HttpMethod::Post, batch());
    add(&mut document, "/api/v1/keys", HttpMethod::Post, key_create());
    add(&mut document, "/api/v1/keys", HttpMethod::Get, key_list());
    add(&mut document, "/api/v1/keys/{id}", HttpMethod::Delete, key_revoke());
    add(&mut document, "/api/v1/keys/{id}/rotate", HttpMethod::Post, key_rotate());
    document
}

/// Gives a schema an example.
fn show(schemas: &mut std::collections::BTreeMap<String, RefOr<Schema>>, name: &str, example: Value) {
    if let Some(RefOr::T(Schema::Object(object))) = schemas.get_mut(name) {
        object.examples = vec![example];
    }
}

/// Examples of the answers, by the schemas' names.
fn examples() -> [(&'static str, Value); 9] {
    [
        ("Effect", json!("created")),
        ("Opens", json!("api")),
        ("Written", written_example()),
        ("BatchLine", json!({"type": "store", "body": {"store_code": "367", "name": "Main Street"}})),
        ("LineResult", line_example()),
        ("BatchSummary", json!({"position": "w-00000016b374d848", "lines": 1, "failed": 0})),
        ("NewKey", new_key_example()),
        ("MadeKey", made_key_example()),
        ("RotatedKey", rotated_key_example()),
    ]
}

fn written_example() -> Value {
    json!({"id": ID, "effect": "created", "repeated": false, "row_version": 1, "position": "w-00000016b374d848"})
}

fn line_example() -> Value {
    json!({"line": 1, "status": 201, "id": ID, "effect": "created", "repeated": false})
}

fn new_key_example() -> Value {
    json!({"name": "till-367", "kind": "api", "role": "writer", "scopes": ["orders:write", "members:read"]})
}

fn made_key_example() -> Value {
    json!({"id": ID, "name": "till-367", "kind": "api", "secret": SECRET})
}

fn rotated_key_example() -> Value {
    json!({"id": ID, "secret": SECRET, "previous_until": TIME})
}

pub(crate) fn add(document: &mut OpenApi, path: &str, method: HttpMethod, operation: Operation) {
    let item = PathItem::new(method, operation);
    match document.paths.paths.get_mut(path) {
        Some(known) => known.merge_operations(item),
        None => drop(document.paths.paths.insert(path.to_owned(), item)),
    }
}

fn put(kind: &Kind) -> Operation {
    let mut problems = vec!["400", "404", "408", "409", "413", "415", "422"];
    let id = if kind.action { kind.noun.to_owned() } else { format!("{}_put", kind.noun) };
    let mut parameters = write_headers(kind.keyed);
    if !kind.action {
        problems.push("412");
        parameters.push(if_match());
    }
    let request = body(JSON, &(kind.schema)(), &(kind.example)());
    let mut operation = operation(kind.area(), &id, kind.about, &problems).request_body(Some(request));
    operation = if kind.action {
        operation.response("200", written("Done"))
    } else {
        let same = "Updated, or unchanged because it was so already or the update was older";
        operation.response("201", written("Created")).response("200", written(same))
    };
    with(operation, parameters)
}

fn written(about: &str) -> Response {
    let mut response = answer(about, "Written", &written_example());
    headers(&mut response, &[("Storewide-Position", "The position of the write")]);
    response
}

/// A record as it may come: what its command would write, with our id.
fn record_example(entity: &Entity) -> Value {
    let mut record = Kind::named(entity.name).map_or_else(|| json!({}), |kind| (kind.example)());
    if let Some(id) = entity.sortable().next() {
        record[id] = if entity.guarded { json!(1) } else { json!(ID) };
    }
    record
}

fn get(entity: &Entity, id: &str) -> Operation {
    let Entity { name, about, .. } = entity;
    let summary = format!("Get {} {name}", article(name));
    let mut found = answer(about, "Record", &record_example(entity));
    headers(&mut found, &[("ETag", "The record's version in quotes, where it has one, for `If-Match`")]);
    let operation = operation(entity.area(), &format!("{name}_get"), &summary, &["400", "404", "422"])
        .description(Some(about_of(entity)))
        .response("200", found);
    with(operation, [path("id", id), fields(), at_least()])
}

fn about_of(entity: &Entity) -> String {
    let guarded = if entity.guarded { " For admins, and keys that name the scope." } else { "" };
    format!("{}.{guarded}", entity.about)
}

fn fields() -> Parameter {
    let names = text().min_length(Some(1)).pattern(Some("^[a-z0-9_]{1,63}(,[a-z0-9_]{1,63}){0,63}$"));
    query("fields", "The fields to show, with commas between; all when absent", names)
}

/// The position that a read is to have reached: taken at every reading door, and always reached at these.
fn at_least() -> Parameter {
    let token = text().pattern(Some("^w-[0-9a-f]{16}$"));
    query("at_least", "The `position` of a write; these doors see every write at once", token)
}

fn list(entity: &Entity) -> Operation {
    let Entity { name, path, .. } = entity;
    let limit = format!("Records on a page, 1 to {PAGE_MAX}; {PAGE} when absent");
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(PAGE_MAX));
    let sorts = entity.sortable().flat_map(|name| [name.to_owned(), format!("-{name}")]);
    let mut parameters = vec![
        query("cursor", "The `next` of the page before, with the same `sort`", text()),
        query("limit", &limit, number),
        query("sort", "What to sort by; with `-` the other way round", words(sorts)),
        fields(),
        at_least(),
    ];
    parameters.extend(entity.filters.iter().map(filter));
    let about = format!("{} In the order in which they were made, where nothing else is asked.", about_of(entity));
    let page = json!({"items": [record_example(entity)], "next": null});
    let operation = operation(entity.area(), &format!("{name}_list"), &format!("List {path}"), &["400", "422"])
        .description(Some(about))
        .response("200", answer("A page", "Page", &page));
    with(operation, parameters)
}

fn filter(Filter { name, about, takes, .. }: &Filter) -> Parameter {
    let schema = match takes {
        Takes::OneOf(all) => words(all.iter().map(|word| (*word).to_owned())),
        Takes::Text | Takes::Code => text().min_length(Some(1)).max_length(Some(512)),
        Takes::Time => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        Takes::Day => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))),
        Takes::Flag => ObjectBuilder::new().schema_type(Type::Boolean),
        Takes::Whole => ObjectBuilder::new().schema_type(Type::Integer),
    };
    query(name, about, schema)
}

fn batch() -> Operation {
    let line = |kind: &Kind| json!({"type": kind.noun, "body": (kind.example)()}).to_string();
    let lines: Vec<String> = KINDS.iter().take(3).map(line).collect();
    let about = "One JSON object a line, of any kinds, in any number. The answer has one line for each, in order, and a last line with \
        `position`, `lines` and `failed`. A bad line is answered with its problem and harms no other. Read while you send: the \
        server reads on only when its answers are taken. Whoever cannot, asks for `results=failed`.";
    let results = words(["all", "failed"].map(str::to_owned));
    let operation = operation("batch", "batch", "Write many records, as lines", &["400", "415"])
        .description(Some(about))
        .request_body(Some(body(LINES, "BatchLine", &Value::String(lines.join("\n")))))
        .response(
            "200",
            answer_as(LINES, "A LineResult for each line, then a BatchSummary", "LineResult", &line_example()),
        );
    let results = query("results", "all (default), or failed for the lines that failed only", results);
    with(operation, write_headers(false).into_iter().chain([results]))
}

fn liability() -> Operation {
    let report = json!({"as_of": TIME, "spendable": 0, "pending": 0, "reserved": 0, "owed": 0, "undated": 0,
        "by_expiry": [], "by_age": [], "months": []});
    let operation = operation("points", "points_liability", "What members hold in points", &["400"])
        .description(Some("Reads the whole ledger: for reports, not for pages."))
        .response("200", answer("The report", "PointsLiability", &report));
    let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    with(operation, [query("as_of", "The moment, not ahead; now when absent", time)])
}

fn key_create() -> Operation {
    let about = "Make an API key or a write key; its secret is shown this once";
    let operation = operation("keys", "keys_create", about, &["400", "408", "413", "415", "422"])
        .request_body(Some(body(JSON, "NewKey", &new_key_example())))
        .response("201", answer("The key", "MadeKey", &made_key_example()));
    with(operation, [])
}

fn key_list() -> Operation {
    let operation = operation("keys", "keys_list", "List the keys, without their secrets", &[]);
    with(operation.response("200", answer("The keys", "KeyPage", &key_page())), [])
}

fn key_revoke() -> Operation {
    let about = "Revoke a key, at once here and within five seconds elsewhere";
    let operation = operation("keys", "keys_revoke", about, &["400", "404"])
        .response("200", answer("Revoked", "RevokedKey", &json!({"id": ID, "revoked": true})));
    with(operation, [path("id", "Id of the key")])
}

fn key_rotate() -> Operation {
    let about = "Give an API key a new secret, which is shown this once; the old one works on for as long as you say";
    let operation = operation("keys", "keys_rotate", about, &["400", "404", "408", "413", "415", "422"])
        .request_body(Some(body(JSON, "Rotation", &json!({"overlap_s": 86_400}))))
        .response("200", answer("The key", "RotatedKey", &rotated_key_example()));
    with(operation, [path("id", "Id of the key")])
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
