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
