//! The OpenAPI document: complete, and its examples work.

use crate::house::House;
use engine_postgres::Version;
use serde_json::Value;

/// Every `$ref` below a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field.as_str()) {
                    ("$ref", Some(path)) => found.push(path.to_owned()),
                    _ => references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Each operation shows what it takes and what it gives, and each schema what it looks like.
fn everything_has_an_example(document: &Value) {
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let fields = schema["properties"].as_object();
        let each = fields.is_some_and(|fields| fields.values().any(|field| field.get("example").is_some()));
        assert!(each || schema.get("examples").is_some() || schema.get("example").is_some(), "{name} shows nothing");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let contents = operation["responses"].as_object().unwrap().values().chain([&operation["requestBody"]]);
            for content in
                contents.filter_map(|holder| holder["content"].as_object()).flat_map(|content| content.values())
            {
                assert!(content.get("example").is_some(), "{method} {path}: {content}");
            }
            for status in ["401", "403", "429", "500", "503"] {
                assert!(operation["responses"][status].is_object(), "{method} {path}: {status}");
            }
        }
    }
}

crate::on_both!(the_document_is_whole_and_its_examples_work,);

async fn the_document_is_whole_and_its_examples_work(version: Version) {
    let house = House::open(version).await;
    let document: Value = reqwest::get(house.url("/openapi.json")).await.unwrap().json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for path in found {
        assert!(document.pointer(path.trim_start_matches('#')).is_some(), "{path}");
    }
    everything_has_an_example(&document);
    for kind in ["stores", "products", "skus", "members", "orders", "returns"] {
        let operation = &document["paths"][format!("/api/v1/{kind}")]["post"];
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        let answer = house.post(&format!("/api/v1/{kind}")).json(example).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{kind}: {}", answer.text().await.unwrap());
        assert!(document["paths"][format!("/api/v1/{kind}/{{id}}")]["get"].is_object());
    }
    let batch =
        &document["paths"]["/api/v1/batch"]["post"]["requestBody"]["content"]["application/x-ndjson"]["example"];
    let answer = house
        .post("/api/v1/batch")
        .header("Content-Type", "application/x-ndjson")
        .body(batch.as_str().unwrap().to_owned());
    let answer = answer.send().await.unwrap().text().await.unwrap();
    assert!(answer.lines().last().unwrap().contains("\"failed\":0"), "{answer}");
}
