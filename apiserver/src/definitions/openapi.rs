//! What a schema may say, structure aside: keywords, extensions, lists of type set and map, and rules.
//! Upstream's `ValidateCustomResourceDefinitionOpenAPISchema`.

use breakbulk_schemas::field::{FieldError, Path};
use serde_json::Value;

use super::check::{Mistakes, Written, child, key};
use super::path::{Brackets, follow};
use super::rules::{Budget, CheckRule, Compiled, Costs, RuleSite, tell};
use crate::schema::Rule;

/// A walk over a schema.
pub(super) struct Walk<'a> {
    pub(super) rules: &'a dyn CheckRule,
    pub(super) budget: Budget,
    pub(super) costs: Costs,
    pub(super) schema: Mistakes,
    pub(super) language: Vec<FieldError>,
}

/// What holds of the place where the walk stands.
#[derive(Clone)]
pub(super) struct Place {
    /// Why there may be no default here.
    no_default: Option<String>,
    in_head: bool,
    is_root: bool,
    /// The outermost list whose entries cannot be told from what they were.
    uncorrelatable: Option<Path>,
    /// Whether rules are looked at: not in junctors, nor where the structure is wrong.
    ruled: Ruled,
}

/// Whether rules are compiled, and how many values each may be evaluated for.
#[derive(Clone, Copy)]
pub(super) enum Ruled {
    No,
    Yes { cardinality: Option<u64> },
}

impl Place {
    pub(super) fn root(ruled: Ruled) -> Self {
        Self {
            no_default: None,
            in_head: false,
            is_root: true,
            uncorrelatable: None,
            ruled,
        }
    }

    fn inside(&self) -> Self {
        Self {
            is_root: false,
            ..self.clone()
        }
    }

    fn junctor(&self) -> Self {
        Self {
            ruled: Ruled::No,
            ..self.inside()
        }
    }

    /// Below a map or a list there are as many values as it may have entries.
    fn multiplied(&self, schema: Written<'_>) -> Self {
        let most = match schema.type_() {
            "object" if schema.get("additionalProperties").is_some() => schema.count("maxProperties"),
            "array" => schema.count("maxItems"),
            _ => Some(1),
        };
        let ruled = match self.ruled {
            Ruled::No => Ruled::No,
            Ruled::Yes { cardinality } => Ruled::Yes {
                cardinality: cardinality.zip(most).map(|(one, other)| one.saturating_mul(other)),
            },
        };
        Self { ruled, ..self.inside() }
    }
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

impl Walk<'_> {
    pub(super) fn schema(&mut self, schema: Written<'_>, path: &Path, place: &Place) {
        let before = self.schema.0.len();
        self.keywords(schema, path, place);
        self.children(schema, path, place);
        self.junctors(schema, path, place);
        super::version::extensions(schema, path, &mut self.schema);
        self.rules(schema, path, place, before);
    }

    fn keywords(&mut self, schema: Written<'_>, path: &Path, place: &Place) {
        let type_ = schema.type_();
        if !type_.is_empty() && !TYPES.contains(&type_) {
            self.schema.not_supported(child(path, "type"), type_, &TYPES);
        }
        if schema.get("default").is_some()
            && let Some(reason) = &place.no_default
        {
            self.schema
                .forbidden(child(path, "default"), format!("must not be set {reason}"));
        }
        for field in [
            "id",
            "additionalItems",
            "patternProperties",
            "definitions",
            "dependencies",
            "$ref",
        ] {
            if schema
                .get(field)
                .is_some_and(|value| !matches!(value, Value::String(text) if text.is_empty() && field == "id"))
            {
                self.schema
                    .forbidden(child(path, field), format!("{field} is not supported"));
            }
        }
        if type_ == "null" {
            let detail = "type cannot be set to null, use nullable as an alternative";
            self.schema.forbidden(child(path, "type"), detail);
        }
        if schema.get("items").is_some_and(Value::is_array) {
            self.schema
                .forbidden(child(path, "items"), "items must be a schema object and not an array");
        }
        if place.in_head && schema.flag("x-kubernetes-embedded-resource") {
            let at = child(path, "x-kubernetes-embedded-resource");
            self.schema.forbidden(at, "must not be used inside of resource meta");
        }
        if schema.flag("uniqueItems") {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.schema.forbidden(child(path, "uniqueItems"), detail);
        }
    }

    fn children(&mut self, schema: Written<'_>, path: &Path, place: &Place) {
        let below = place.multiplied(schema);
        if let Some(additional) = schema.get("additionalProperties") {
            let at = child(path, "additionalProperties");
            if schema.has("properties") && *additional != Value::Bool(true) {
                let detail = "additionalProperties and properties are mutual exclusive";
                self.schema.forbidden(at.clone(), detail);
            }
            if let Some(inner) = schema.schema("additionalProperties") {
                let mut below = below.clone();
                if place.in_head {
                    below.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
                }
                self.schema(inner, &at, &below);
            }
        }
        let is_resource = place.is_root || schema.flag("x-kubernetes-embedded-resource");
        let correlatable = matches!(schema.text("x-kubernetes-map-type"), "" | "granular" | "atomic");
        for (name, property) in schema.named("properties") {
            let mut below = below.clone();
            if !correlatable {
                below.uncorrelatable.get_or_insert_with(|| path.clone());
            }
            if is_resource && matches!(name, "metadata" | "kind" | "apiVersion") {
                below.in_head = true;
                if place.is_root {
                    below.no_default = Some(format!("in top-level {name}"));
                }
            }
            self.schema(property, &key(&child(path, "properties"), name), &below);
        }
        if let Some(items) = schema.schema("items") {
            let mut below = below;
            if schema.text("x-kubernetes-list-type") != "map" {
                below.uncorrelatable.get_or_insert_with(|| path.clone());
            }
            self.schema(items, &child(path, "items"), &below);
        }
    }

    fn junctors(&mut self, schema: Written<'_>, path: &Path, place: &Place) {
        let below = place.junctor();
        if let Some(not) = schema.schema("not") {
            self.schema(not, &child(path, "not"), &below);
        }
        for junctor in ["allOf", "oneOf", "anyOf"] {
            for (index, inner) in schema.schemas(junctor).enumerate() {
                self.schema(inner, &child(path, junctor).index(index), &below);
            }
        }
    }

    fn rules(&mut self, schema: Written<'_>, path: &Path, place: &Place, before: usize) {
        let written = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        let rules: Vec<Rule> = written
            .into_iter()
            .flatten()
            .map(|rule| serde::Deserialize::deserialize(rule).unwrap_or_default())
            .collect();
        let all = child(path, "x-kubernetes-validations");
        for (index, rule) in rules.iter().enumerate() {
            rule_shape(rule, schema, &all.index(index), &mut self.schema);
        }
        // A schema that is wrong at or below this place may have no types to check rules against.
        let Ruled::Yes { cardinality } = place.ruled else {
            return;
        };
        if self.schema.0.len() > before {
            return;
        }
        if rules.is_empty() {
            return;
        }
        let site = RuleSite {
            rules: &rules,
            schema: schema.0,
            is_resource: place.is_root || schema.flag("x-kubernetes-embedded-resource"),
            cardinality,
        };
        for (index, compiled) in self.rules.compile(&site).into_iter().enumerate() {
            self.compiled((&rules[index], cardinality), compiled, &all.index(index), place);
        }
    }

    fn compiled(&mut self, site: (&Rule, Option<u64>), compiled: Compiled, path: &Path, place: &Place) {
        let rule = site.0;
        let uses_old_self = compiled.uses_old_self;
        self.language
            .extend(tell(site, compiled, path, self.budget, &mut self.costs));
        let mut mistakes = Mistakes::default();
        if uses_old_self {
            if let Some(within) = &place.uncorrelatable {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
                mistakes.invalid(path.child("rule"), rule.rule.as_str(), detail);
            }
        } else if let Some(set) = rule.optional_old_self {
            mistakes.invalid(
                path.child("optionalOldSelf"),
                set,
                "may not be set if oldSelf is not used in rule",
            );
        }
        self.language.append(&mut mistakes.0);
    }
}

const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

fn breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// The shape of a rule, its language aside.
fn rule_shape(rule: &Rule, schema: Written<'_>, path: &Path, mistakes: &mut Mistakes) {
    let (trimmed, message) = (rule.rule.trim(), rule.message.trim());
    if trimmed.is_empty() {
        mistakes.required(path.child("rule"), "rule is not specified");
    } else if !rule.message.is_empty() && message.is_empty() {
        mistakes.invalid(
            path.child("message"),
            rule.message.as_str(),
            "must be non-empty if specified",
        );
    } else if breaks(message) {
        mistakes.invalid(
            path.child("message"),
            rule.message.as_str(),
            "must not contain line breaks",
        );
    } else if breaks(trimmed) && message.is_empty() {
        mistakes.required(
            path.child("message"),
            "message must be specified if rule contains line breaks",
        );
    }
    if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        mistakes.required(path.child("messageExpression"), detail);
    }
    if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        mistakes.not_supported(path.child("reason"), reason, &REASONS);
    }
    let field = rule.field_path.as_str();
    if field.is_empty() {
        return;
    }
    let at = path.child("fieldPath");
    if field.trim().is_empty() {
        mistakes.invalid(at.clone(), field, "must be non-empty if specified");
    }
    if breaks(field) {
        mistakes.invalid(at.clone(), field, "must not contain line breaks");
    }
    if super::structural::unsupported(schema).is_none() && follow(field, schema, Brackets::Taken).is_err() {
        mistakes.invalid(at, field, "must be a valid path");
    }
}
