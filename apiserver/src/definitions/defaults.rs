//! Defaults in a schema: each has to fit the schema it stands in, and to survive pruning.
//! Upstream's `apiserver/schema/defaulting/validation.go`.

use breakbulk_schemas::field::{FieldError, Path};

use super::check::{Mistakes, Written, child, key};
use super::rules::CheckRule;
use crate::schema::Schema;

/// Everything wrong with the defaults of a schema. It has been found to be structural.
pub(super) fn validate(schema: Written<'_>, path: &Path, rules: &dyn CheckRule) -> Vec<FieldError> {
    let mut mistakes = Mistakes::default();
    below(schema, path, rules, &mut mistakes);
    mistakes.0
}

fn below(schema: Written<'_>, path: &Path, rules: &dyn CheckRule, mistakes: &mut Mistakes) {
    if let Some(default) = schema.get("default") {
        let at = child(path, "default");
        match Schema::parse(schema.0) {
            Ok(parsed) => {
                let mut pruned = default.clone();
                parsed.prune_value(&mut pruned);
                if pruned != *default {
                    mistakes.invalid(at.clone(), default.clone(), "must not have unknown fields");
                }
                let mut found = parsed.fit_at(default, &at);
                if found.is_empty() {
                    found = rules.default_fits(&parsed, default, &at);
                }
                mistakes.0.extend(found);
            }
            Err(error) => mistakes.invalid(at, "", error.to_string()),
        }
    }
    // Below additionalProperties there are no defaults of a head, and others are filled in where there is a value.
    if let Some(items) = schema.schema("items") {
        below(items, &child(path, "items"), rules, mistakes);
    }
    for (name, property) in schema.named("properties") {
        below(property, &key(&child(path, "properties"), name), rules, mistakes);
    }
}
