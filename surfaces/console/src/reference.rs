//! The API's reference, rendered from its OpenAPI document.

use crate::page::{frame, head};
use maud::{Markup, html};
use serde_json::{Map, Value};

/// One operation of a path.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    body: &'a Value,
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        self.body["operationId"].as_str().map_or_else(|| format!("{}{}", self.method, self.path), str::to_owned)
    }

    fn tag(&self) -> &str {
        self.body["tags"][0].as_str().unwrap_or("other")
    }
}

/// The page of an OpenAPI document.
pub(crate) fn page(document: &Value) -> Markup {
    let operations = operations(document);
    let mut tags: Vec<&str> = Vec::new();
    for operation in &operations {
        if !tags.contains(&operation.tag()) {
            tags.push(operation.tag());
        }
    }
    let schemas = document["components"]["schemas"].as_object();
    let body = html! {
        (head("/docs", &html! { span.muted { "v" (text(&document["info"]["version"])) } }))
        main.reference #main {
            nav aria-label="Contents" {
                @for tag in &tags {
                    b { (tag) }
                    ul { @for operation in operations.iter().filter(|operation| operation.tag() == *tag) {
                        li { a href={ "#" (operation.anchor()) } { (operation.method.to_uppercase()) " " (operation.path) } }
                    } }
                }
                @if schemas.is_some() { a href="#schemas" { "Schemas" } }
            }
            div {
                h1 { (text(&document["info"]["title"])) }
                (prose(&document["info"]["description"]))
                @for tag in &tags {
                    h2 { (tag) }
                    @for operation in operations.iter().filter(|operation| operation.tag() == *tag) { (panel(operation)) }
                }
                @if let Some(schemas) = schemas {
                    h2 #schemas { "Schemas" }
                    @for (name, schema) in schemas { (schema_panel(name, schema)) }
                }
            }
        }
    };
    frame("Storewide API", false, &body)
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if let Some(body) = methods.get(method) {
                all.push(Operation { path, method, body });
            }
        }
    }
    all
}

fn panel(operation: &Operation<'_>) -> Markup {
    let body = operation.body;
    html! {
        details.panel id=(operation.anchor()) open {
            summary {
                span.method data-method=(operation.method) { (operation.method) }
                code { (operation.path) }
                span.muted { (text(&body["summary"])) }
            }
            div {
                (prose(&body["description"]))
                @if let Some(parameters) = body["parameters"].as_array().filter(|list| !list.is_empty()) {
                    h3 { "Parameters" }
                    table { @for parameter in parameters { tr {
                        td { code { (text(&parameter["name"])) } (needed(parameter["required"].as_bool())) }
                        td.muted { (text(&parameter["in"])) }
                        td { (kind(&parameter["schema"])) }
                        td { (inline(&text(&parameter["description"]))) }
                    } } }
                }
                @for (media, content) in body["requestBody"]["content"].as_object().into_iter().flatten() {
                    h3 { "Body: " (media) }
                    p { (kind(&content["schema"])) }
                    @if let Some(example) = content.get("example") { pre { (pretty(example)) } }
                }
                h3 { "Answers" }
                table { @for (status, answer) in body["responses"].as_object().into_iter().flatten() { tr {
                    td { code { (status) } }
                    td { (inline(&text(&answer["description"]))) }
                    td { @for content in answer["content"].as_object().into_iter().flat_map(Map::values) { (kind(&content["schema"])) } }
                } } }
            }
        }
    }
}

fn schema_panel(name: &str, schema: &Value) -> Markup {
    let required = |field: &str| schema["required"].as_array().map(|list| list.iter().any(|name| name == field));
    html! {
        details.panel id={ "schema-" (name) } open {
            summary { code { (name) } span.muted { (first_line(&schema["description"])) } }
            div {
                @if let Some(values) = schema["enum"].as_array() { p { @for value in values { code { (text(value)) } " " } } }
                @if let Some(fields) = schema["properties"].as_object() {
                    table { @for (field, of) in fields { tr {
                        td { code { (field) } (needed(required(field))) }
                        td { (kind(of)) }
                        td { (inline(&text(&of["description"]))) }
                    } } }
                } @else if schema.get("enum").is_none() { p { (kind(schema)) } }
                @if let Some(example) = schema.get("example") { h3 { "Example" } pre { (pretty(example)) } }
            }
        }
    }
}

fn needed(needed: Option<bool>) -> Markup {
    html! { @if needed == Some(true) { span.need { "required" } } }
}

/// The type of a schema in a few words, with a link where it has a name.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#schema-" (name) } { code { (name) } } };
    }
    for many in ["oneOf", "anyOf", "allOf"] {
        if let Some(options) = schema[many].as_array() {
            let options = options.iter().filter(|option| option["type"] != "null");
            return html! { @for (i, option) in options.enumerate() { @if i > 0 { " or " } (kind(option)) } };
        }
    }
    let name = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any"),
        Value::String(name) => name,
        _ => "any",
    };
    match (name, schema["format"].as_str()) {
        ("array", _) => html! { "list of " (kind(&schema["items"])) },
        (_, Some(format)) => html! { span.muted { (name) " (" (format) ")" } },
        _ => html! { span.muted { (name) } },
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

fn first_line(value: &Value) -> String {
    text(value).lines().next().unwrap_or_default().to_owned()
}

fn prose(value: &Value) -> Markup {
    let text = text(value);
    html! { @for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) { p { (inline(paragraph)) } } }
}

/// Text with code between backticks.
fn inline(text: &str) -> Markup {
    html! { @for (i, piece) in text.split('`').enumerate() { @if i % 2 == 1 { code { (piece) } } @else { (piece) } } }
}

fn pretty(value: &Value) -> String {
    // NDJSON and other text examples are shown as they are.
    value.as_str().map_or_else(|| serde_json::to_string_pretty(value).unwrap_or_default(), str::to_owned)
}
