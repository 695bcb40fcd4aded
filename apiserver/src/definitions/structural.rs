//! Structural schemas: every field has a type, and what `allOf`, `anyOf`, `oneOf` and `not` add are conditions on fields
//! that are specified outside of them. Upstream's `apiserver/schema/{validation,complete,convert}.go`.

use breakbulk_schemas::field::Path;

use super::check::{Mistakes, Written, child, key};
use crate::schema::check_pattern;

/// Where a schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Which part of a schema is the known way to write "integer or string", and is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exempt {
    Nothing,
    /// Its `anyOf`.
    AnyOf,
    /// The `anyOf` of the first of its `allOf`.
    FirstOfAll,
}

/// The first thing in a schema that structural schemas do not know at all.
pub(super) fn unsupported(schema: Written<'_>) -> Option<String> {
    let mut found = None;
    schema.all(&mut |schema| {
        let own = [
            "id",
            "$schema",
            "$ref",
            "patternProperties",
            "dependencies",
            "additionalItems",
            "definitions",
        ];
        let own = own.into_iter().find(|name| schema.has(name));
        let own = own.map(|name| {
            format!(
                "OpenAPIV3Schema '{}' is not supported",
                if name == "$schema" { "schema" } else { name }
            )
        });
        let list = || schema.get("items").is_some_and(serde_json::Value::is_array);
        let own =
            own.or_else(|| list().then(|| "OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned()));
        let preserve = "x-kubernetes-preserve-unknown-fields";
        let off = || schema.get(preserve) == Some(&serde_json::Value::Bool(false));
        let own = own.or_else(|| off().then(|| format!("internal error: '{preserve}' must be true or undefined")));
        if found.is_none() {
            found = own;
        }
    });
    found
}

/// Everything that makes a schema no structural one, sorted.
pub(super) fn validate(schema: Written<'_>, path: &Path, mistakes: &mut Mistakes) {
    let mut found = Mistakes::default();
    invariants(schema, Level::Root, path, &mut found);
    complete(schema, schema, path, path, &mut found);
    found.0.sort_by_cached_key(ToString::to_string);
    mistakes.0.append(&mut found.0);
}

fn invariants(schema: Written<'_>, level: Level, path: &Path, mistakes: &mut Mistakes) {
    if schema.type_() == "array" && schema.schema("items").is_none() {
        mistakes.required(child(path, "items"), "must be specified");
    }
    if let Some(items) = schema.schema("items") {
        invariants(items, Level::Item, &child(path, "items"), mistakes);
    }
    for (name, property) in schema.named("properties") {
        invariants(property, Level::Field, &key(&child(path, "properties"), name), mistakes);
    }
    let additional = schema.get("additionalProperties");
    if additional.is_some() && level == Level::Root {
        mistakes.forbidden(child(path, "additionalProperties"), "must not be used at the root");
    }
    if let Some(inner) = schema.schema("additionalProperties") {
        invariants(inner, Level::Field, &child(path, "additionalProperties"), mistakes);
    }
    int_or_string(schema, path, mistakes);
    conditions(schema, exempt(schema), level, path, mistakes);
    types(schema, level, path, mistakes);
    metadata(schema, level, path, mistakes);
    if schema.flag(EMBEDDED) && !schema.flag(PRESERVE) && !schema.has("properties") {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        mistakes.required(child(path, "properties"), detail);
    }
}

const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

fn int_or_string(schema: Written<'_>, path: &Path, mistakes: &mut Mistakes) {
    for other in [PRESERVE, EMBEDDED] {
        if schema.flag(INT_OR_STRING) && schema.flag(other) {
            mistakes.invalid(
                child(path, other),
                true,
                "must be false if x-kubernetes-int-or-string is true",
            );
        }
    }
}

fn types(schema: Written<'_>, level: Level, path: &Path, mistakes: &mut Mistakes) {
    let at = || child(path, "type");
    let type_ = schema.type_();
    if schema.flag(EMBEDDED) && type_ != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if type_.is_empty() {
            mistakes.required(at(), detail);
        } else {
            mistakes.invalid(at(), type_, detail);
        }
    } else if type_.is_empty() && !schema.flag(INT_OR_STRING) && !schema.flag(PRESERVE) {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        mistakes.required(at(), detail);
    }
    if schema.flag(EMBEDDED) && schema.get("additionalProperties").is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        mistakes.forbidden(child(path, "additionalProperties"), detail);
    }
    if level == Level::Root && !type_.is_empty() && type_ != "object" {
        mistakes.invalid(at(), type_, "must be object at the root");
    }
}

/// The head of a resource: its shape is not the author's to say, but for names.
fn metadata(schema: Written<'_>, level: Level, path: &Path, mistakes: &mut Mistakes) {
    let is_resource = level == Level::Root || schema.flag(EMBEDDED);
    let properties = child(path, "properties");
    for name in ["kind", "apiVersion"] {
        if let Some(property) = schema
            .property(name)
            .filter(|property| is_resource && property.type_() != "string")
        {
            let at = child(&key(&properties, name), "type");
            mistakes.invalid(at, property.type_(), "must be string");
        }
    }
    let Some(metadata) = schema.property("metadata") else {
        return;
    };
    let at = key(&properties, "metadata");
    if is_resource && metadata.type_() != "object" {
        mistakes.invalid(child(&at, "type"), metadata.type_(), "must be object");
    }
    if level != Level::Root {
        return;
    }
    let only_names = metadata
        .named("properties")
        .all(|(name, _)| matches!(name, "name" | "generateName"));
    let fields = metadata
        .0
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str());
    let mut others = fields.filter(|name| metadata.has(name) && !matches!(*name, "type" | "properties" | "default"));
    if !only_names || others.next().is_some() {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        mistakes.forbidden(at, detail);
    }
}

fn exempt(schema: Written<'_>) -> Exempt {
    let is_pair = |schema: Written<'_>| {
        let types: Vec<_> = schema
            .schemas("anyOf")
            .map(|one| (one.type_(), one.0.as_object().map_or(0, |o| o.len())))
            .collect();
        types == [("integer", 1), ("string", 1)]
    };
    if is_pair(schema) {
        Exempt::AnyOf
    } else if schema.schemas("allOf").next().is_some_and(is_pair) {
        Exempt::FirstOfAll
    } else {
        Exempt::Nothing
    }
}

fn conditions(schema: Written<'_>, exempt: Exempt, level: Level, path: &Path, mistakes: &mut Mistakes) {
    for junctor in ["anyOf", "allOf", "oneOf"] {
        if junctor == "anyOf" && exempt == Exempt::AnyOf {
            continue;
        }
        for (index, inner) in schema.schemas(junctor).enumerate() {
            let first_of_all = junctor == "allOf" && index == 0 && exempt == Exempt::FirstOfAll;
            let inner_exempt = if first_of_all { Exempt::AnyOf } else { Exempt::Nothing };
            nested(inner, inner_exempt, level, &child(path, junctor).index(index), mistakes);
        }
    }
    if let Some(not) = schema.schema("not") {
        nested(not, Exempt::Nothing, level, &child(path, "not"), mistakes);
    }
    let pattern = schema.text("pattern");
    if !pattern.is_empty()
        && let Err(problem) = check_pattern(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {problem}");
        mistakes.invalid(child(path, "pattern"), pattern, detail);
    }
}

/// Fields that a nested schema may not have, and what is said of each.
const NESTED: [(&str, &str); 12] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (PRESERVE, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (INT_OR_STRING, "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
];

fn nested(schema: Written<'_>, exempt: Exempt, level: Level, path: &Path, mistakes: &mut Mistakes) {
    conditions(schema, exempt, level, path, mistakes);
    if let Some(items) = schema.schema("items") {
        nested(items, Exempt::Nothing, level, &child(path, "items"), mistakes);
    }
    for (name, property) in schema.named("properties") {
        let at = key(&child(path, "properties"), name);
        nested(property, Exempt::Nothing, Level::Field, &at, mistakes);
    }
    for (field, detail) in NESTED {
        let is_object = || schema.get(field).is_some_and(serde_json::Value::is_object);
        if schema.has(field) || (field == "additionalProperties" && is_object()) {
            mistakes.forbidden(child(path, field), detail);
        }
    }
    if schema.has("x-kubernetes-validations") {
        mistakes.forbidden(
            child(path, "x-kubernetes-validations"),
            "must be empty to be structural",
        );
    }
    if schema.property("metadata").is_some() {
        let at = key(&child(path, "properties"), "metadata");
        mistakes.forbidden(at, "must not be specified in a nested context");
    }
}

/// What conditions speak of has to be specified: `structure` is the schema outside of the junctors.
fn complete(conditions: Written<'_>, structure: Written<'_>, at: &Path, said: &Path, mistakes: &mut Mistakes) {
    if let Some(not) = conditions.schema("not") {
        complete_nested(not, structure, at, &child(said, "not"), mistakes);
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for (index, inner) in conditions.schemas(junctor).enumerate() {
            complete_nested(inner, structure, at, &child(said, junctor).index(index), mistakes);
        }
    }
}

fn complete_nested(nested: Written<'_>, structure: Written<'_>, at: &Path, said: &Path, mistakes: &mut Mistakes) {
    complete(nested, structure, at, said, mistakes);
    if let Some(items) = nested.schema("items") {
        let (at, said) = (child(at, "items"), child(said, "items"));
        match structure.schema("items") {
            Some(structure) => complete_nested(items, structure, &at, &said, mistakes),
            None => mistakes.required(at, format!("because it is defined in {said}")),
        }
    }
    for (name, property) in nested.named("properties") {
        let (at, said) = (
            key(&child(at, "properties"), name),
            key(&child(said, "properties"), name),
        );
        match structure.property(name) {
            Some(structure) => complete_nested(property, structure, &at, &said, mistakes),
            None => mistakes.required(at, format!("because it is defined in {said}")),
        }
    }
}
