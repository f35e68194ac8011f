//! Examples of schemas, from the examples and types of their fields, where nobody gave a better one.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::openapi::{RefOr, Schema};

/// Deepest that a sample goes: a category may hold categories.
const DEPTH_MAX: usize = 6;

/// Gives each schema that shows nothing an example.
pub(super) fn fill(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let Ok(all) = serde_json::to_value(&*schemas) else { return };
    for (name, schema) in schemas {
        let known = &all[name.as_str()];
        if let RefOr::T(Schema::Object(object)) = schema
            && known.get("examples").is_none()
            && known.get("example").is_none()
        {
            object.examples = vec![sample(known, &all, 0)];
        }
    }
}

fn sample(schema: &Value, all: &Value, depth: usize) -> Value {
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return example.clone();
    }
    if depth > DEPTH_MAX {
        return json!({});
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return sample(&all[name], all, depth + 1);
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        let first = schema[several].as_array().into_iter().flatten().find(|one| one["type"] != "null");
        if let Some(first) = first {
            return sample(first, all, depth + 1);
        }
    }
    if let Some(word) = schema["enum"].get(0) {
        return word.clone();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
    match (kind, schema["format"].as_str().unwrap_or_default()) {
        ("string", "date-time") => json!(super::TIME),
        ("string", "date") => json!("2026-01-31"),
        ("string", "uuid") => json!(super::ID),
        ("string", _) => json!("text"),
        ("integer" | "number", _) => json!(1),
        ("boolean", _) => json!(true),
        ("array", _) => json!([sample(&schema["items"], all, depth + 1)]),
        _ => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            Value::Object(
                fields.map(|(name, field)| (name.clone(), sample(field, all, depth + 1))).collect::<Map<_, _>>(),
            )
        }
    }
}
