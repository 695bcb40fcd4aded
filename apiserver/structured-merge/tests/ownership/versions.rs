//! Entries of other versions, other schemas, and of the scale subresource.

use breakbulk_structured_merge::*;
use serde_json::{Value, json};

use crate::world::*;

#[test]
fn entries_of_versions_that_are_gone_are_dropped() {
    let world = World::new();
    let mut live = world.created(&json!({"spec": {"a": "x"}}));
    live["metadata"]["managedFields"][0]["apiVersion"] = "x.io/v0".into();
    let new = world.updated(&live, "w", T2, |new| new["spec"]["b"] = "z".into());
    assert_eq!(told(&new), ["w/Update/-@02 .spec.b"]);
    let config = thing(&json!({"spec": {"a": "z"}}));
    let applied = world
        .main()
        .apply(Some(&live), &config, &writer("app", T2), Force::No)
        .expect("nobody is left");
    assert_eq!(told(&applied.object), ["app/Apply/-@02 .spec.a"]);
}

/// Two versions that call one field by different names.
struct Renaming {
    old: Schema,
    new: Schema,
}

impl Renaming {
    fn new() -> Self {
        let with = |name: &str| {
            let schema =
                json!({"type": "object", "properties": {"keep": {"type": "string"}, name: {"type": "string"}}});
            Schema::of_object(&schema, &|_| None)
        };
        Self {
            old: with("before"),
            new: with("after"),
        }
    }
}

impl Versions for Renaming {
    fn schema(&self, api_version: &str) -> Option<&Schema> {
        match api_version {
            "v1" => Some(&self.old),
            "v2" => Some(&self.new),
            _ => None,
        }
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ConversionError> {
        let (from, to) = if api_version == "v2" {
            ("before", "after")
        } else {
            ("after", "before")
        };
        let mut object = object.clone();
        let map = object
            .as_object_mut()
            .ok_or_else(|| ConversionError::Failed("no object".to_owned()))?;
        map.insert("apiVersion".to_owned(), api_version.into());
        if let Some(value) = map.remove(from) {
            if value == "cursed" {
                return Err(ConversionError::Failed("cursed".to_owned()));
            }
            map.insert(to.to_owned(), value);
        }
        Ok(object)
    }
}

#[test]
fn a_field_with_another_name_in_another_version_is_the_same_field() {
    let (versions, nothing) = (Renaming::new(), FieldSet::new());
    let at = |api_version| Endpoint {
        api_version,
        kind: "Thing",
        subresource: "",
        reset_fields: &nothing,
        versions: &versions,
    };
    let config = |version: &str, fields: Value| {
        let mut config = thing(&fields);
        config["apiVersion"] = version.into();
        config
    };
    let live = at("v1").apply(
        None,
        &config("v1", json!({"before": "x", "keep": "k"})),
        &writer("a", T1),
        Force::No,
    );
    let live = versions
        .convert(&live.expect("nobody else").object, "v2")
        .expect("converts");

    let error = at("v2").apply(
        Some(&live),
        &config("v2", json!({"after": "z"})),
        &writer("b", T2),
        Force::No,
    );
    assert_eq!(
        error.expect_err("a owns it").to_string(),
        "Apply failed with 1 conflict: conflict with \"a\": .before"
    );
    // Given up in the other version, it goes in this one.
    let gone = at("v2").apply(
        Some(&live),
        &config("v2", json!({"keep": "k"})),
        &writer("a", T2),
        Force::No,
    );
    let gone = gone.expect("its own").object;
    assert_eq!(gone.get("after"), None);
    assert_eq!(told(&gone), ["a/Apply/-@02 .keep"]);
    // An update takes it in either.
    let mut new = live.clone();
    new["after"] = "z".into();
    at("v2")
        .update(Some(&live), &mut new, &writer("u", T2))
        .expect("converts");
    assert_eq!(told(&new), ["a/Apply/-@01 .keep", "u/Update/-@02 .after"]);
    // A conversion that fails stops no update, and keeps the owners.
    let mut cursed = live.clone();
    cursed["after"] = "cursed".into();
    assert!(at("v2").update(Some(&live), &mut cursed, &writer("u", T2)).is_err());
    assert_eq!(entries(&cursed), entries(&live));
}

#[test]
fn a_scale_shows_the_owners_of_the_replicas_and_gives_them_back() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x", "replicas": 1}}));
    let paths: ReplicasPaths = [("x.io/v1".to_owned(), Some(Path::fields(&["spec", "replicas"])))].into();
    let parent = &live["metadata"]["managedFields"];
    let scale = entries_for_scale(parent, &paths).expect("readable").expect("an owner");
    assert_eq!(scale[0]["apiVersion"], "autoscaling/v1");
    assert_eq!(scale[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    // Untouched, the object's entries are as they were.
    let back = entries_from_scale(parent, &scale, "x.io/v1", &paths)
        .expect("readable")
        .expect("owners");
    assert_eq!(&back, parent);
    // Taken by a scaler, they are the scaler's.
    let taken = json!([{"manager": "scaler", "operation": "Update", "apiVersion": "autoscaling/v1", "time": T2,
        "fieldsType": "FieldsV1", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    let mut object = live.clone();
    let entries = entries_from_scale(parent, &taken, "x.io/v1", &paths)
        .expect("readable")
        .expect("owners");
    object["metadata"]["managedFields"] = entries;
    assert_eq!(
        told(&object),
        [
            "creator/Update/-@01 .spec .spec.a",
            "scaler/Update/scale@02 .spec.replicas"
        ]
    );
    assert_eq!(object["metadata"]["managedFields"][1]["apiVersion"], "x.io/v1");
    assert_eq!(entries_for_scale(&json!(null), &paths), Ok(None));
}

#[test]
fn a_granular_field_that_became_atomic_is_owned_as_a_whole() {
    let before = json!({"type": "object", "properties": {"box": {"type": "object", "additionalProperties": {"type": "string"}}}});
    let mut after = before.clone();
    after["properties"]["box"]["x-kubernetes-map-type"] = "atomic".into();
    let nothing = FieldSet::new();
    let applied = |schema: &Value, live: Option<&Value>, fields: Value, who: &str| {
        let versions = Unconverted::one("x.io/v1", Schema::of_object(schema, &|_| None));
        let endpoint = Endpoint {
            api_version: "x.io/v1",
            kind: "Thing",
            subresource: "",
            reset_fields: &nothing,
            versions: &versions,
        };
        endpoint
            .apply(live, &thing(&fields), &writer(who, T1), Force::No)
            .map(|applied| applied.object)
    };
    let live = applied(&before, None, json!({"box": {"k": "v"}}), "a").expect("nobody else");
    let error = applied(&after, Some(&live), json!({"box": {"l": "w"}}), "b").expect_err("a owns it");
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"a\": .box"
    );
    let own = applied(&after, Some(&live), json!({"box": {"l": "w"}}), "a").expect("its own");
    assert_eq!(own["box"], json!({"l": "w"}));
    assert_eq!(told(&own), ["a/Apply/-@01 .box"]);
}
