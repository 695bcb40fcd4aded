//! What strategic merge patch goes by: the published schemas of Kubernetes' own kinds, and of ours. Kinds of others have
//! none, as upstream: for them such a patch is refused (415).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::builtin;
use super::custom::{Form, below, full};
use crate::patch::strategic::Rules;
use crate::registry::{Body, Resource};

const STRATEGY: &str = "x-kubernetes-patch-strategy";
const MERGE_KEY: &str = "x-kubernetes-patch-merge-key";

/// How objects of a kind merge; none if it takes no strategic merge patch.
pub fn merge_rules(group: &str, version: &str, kind: &str) -> Option<Rules<'static>> {
    let find = |name: &str| builtin::definitions().get(name);
    let schema = match builtin::schema_name(group, version, kind) {
        Some(name) => find(&name)?,
        None if is_ours(group, version) => ours().get(kind)?,
        None => return None,
    };
    Some(Rules::new(schema, find))
}

/// Whether a resource takes strategic merge patches.
pub fn takes_strategic(resource: &Resource) -> bool {
    match resource.body {
        Body::Typed(_) => true,
        Body::Absent => false,
        Body::Schema(_) => is_ours(&resource.group, &resource.version),
    }
}

/// Whether the kinds of a group that came with a definition take strategic merge patches: ours do.
pub(super) fn is_ours(group: &str, version: &str) -> bool {
    (group, version) == (breakbulk_schemas::GROUP, breakbulk_schemas::VERSION)
}

/// Our kinds are those of the build: their schemas do not change while the server runs.
fn ours() -> &'static BTreeMap<String, Value> {
    static OURS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    OURS.get_or_init(|| {
        let published = |row: &breakbulk_schemas::kinds::KindRow| {
            let definition = row.crd();
            let version = definition.spec.versions.into_iter().next()?;
            let raw = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            let mut schema = full(&raw, Form::V3);
            add_strategies(&mut schema);
            Some((definition.spec.names.kind, schema))
        };
        breakbulk_schemas::kinds::ALL.iter().filter_map(published).collect()
    })
}

/// Says of lists that are told to be maps with one key, or sets, that a strategic merge patch merges them so too. Lists
/// with several keys are replaced: the format knows one.
pub(super) fn add_strategies(schema: &mut Value) {
    if schema.get(STRATEGY).is_none() {
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("map") => {
                if let Some([key]) = keys.map(Vec::as_slice) {
                    let key = key.clone();
                    schema[MERGE_KEY] = key;
                    schema[STRATEGY] = json!("merge");
                }
            }
            Some("set") if schema["items"]["type"] != "object" => schema[STRATEGY] = json!("merge"),
            _ => {}
        }
    }
    below(schema, &mut add_strategies);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_kinds_and_kubernetes_own_have_rules_and_those_of_others_have_none() {
        for row in breakbulk_schemas::kinds::ALL {
            let kind = row.crd().spec.names.kind;
            assert!(merge_rules(breakbulk_schemas::GROUP, "v1", &kind).is_some(), "{kind}");
        }
        assert!(merge_rules("", "v1", "Node").is_some());
        assert!(merge_rules("example.com", "v1", "Foo").is_none());
        assert!(merge_rules(breakbulk_schemas::GROUP, "v1", "Foo").is_none());
    }

    #[test]
    fn lists_that_are_maps_or_sets_merge_so_and_others_are_replaced() {
        let list = |kind: &str, keys: &[&str], items: &str| {
            let mut schema = json!({"properties": {"x": {"type": "array", "items": {"type": items},
                "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": keys}}});
            add_strategies(&mut schema);
            let x = &schema["properties"]["x"];
            (
                x[STRATEGY].as_str() == Some("merge"),
                x[MERGE_KEY].as_str().map(str::to_owned),
            )
        };
        assert_eq!(list("map", &["name"], "object"), (true, Some("name".to_owned())));
        assert_eq!(list("map", &["a", "b"], "object"), (false, None));
        assert_eq!(list("set", &[], "string"), (true, None));
        assert_eq!(list("set", &[], "object"), (false, None));
        assert_eq!(list("atomic", &[], "object"), (false, None));
    }
}
