//! Holds a JSON value up to the part of JSON Schema that our own schemas use: type, const, enum, minimum, required,
//! properties, additionalProperties (only `false`), items. Any other word in a schema is a breach too.
use serde_json::Value;

const UNDERSTOOD: &[&str] = &[
    "$schema",
    "$id",
    "title",
    "description",
    "type",
    "const",
    "enum",
    "minimum",
    "required",
    "properties",
    "additionalProperties",
    "items",
];

/// What in `value` does not follow `schema`.
pub(crate) fn breaches(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", schema, value, &mut found);
    found
}

fn walk(path: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let words = schema.as_object().unwrap();
    let strange = words.keys().filter(|word| !UNDERSTOOD.contains(&word.as_str()));
    found.extend(
        strange.map(|word| format!("{path}: the schema says {word}, which is not understood")),
    );
    if words.get("type").is_some_and(|kinds| !is_one_of(kinds, value)) {
        found.push(format!("{path}: {value} is not of type {}", words["type"]));
        return;
    }
    if words.get("const").is_some_and(|only| only != value) {
        found.push(format!("{path}: {value} is not {}", words["const"]));
    }
    if words.get("enum").is_some_and(|all| !all.as_array().unwrap().contains(value)) {
        found.push(format!("{path}: {value} is not one of {}", words["enum"]));
    }
    let below = |least: &Value| value.as_f64().is_some_and(|it| Some(it) < least.as_f64());
    if words.get("minimum").is_some_and(below) {
        found.push(format!("{path}: {value} is below {}", words["minimum"]));
    }
    for name in words.get("required").and_then(Value::as_array).into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{path}: {name} is missing"));
        }
    }
    let properties = words.get("properties").and_then(Value::as_object);
    let closed = words.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, field) in value.as_object().into_iter().flatten() {
        match properties.and_then(|known| known.get(name)) {
            Some(schema) => walk(&format!("{path}/{name}"), schema, field, found),
            None if closed => found.push(format!("{path}: {name} is not in the schema")),
            None => {}
        }
    }
    if let Some(schema) = words.get("items") {
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            walk(&format!("{path}/{at}"), schema, item, found);
        }
    }
}

fn is_one_of(kinds: &Value, value: &Value) -> bool {
    match kinds.as_array() {
        Some(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap(), value)),
        None => is(kinds.as_str().unwrap(), value),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}
