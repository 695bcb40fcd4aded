//! The objects and endpoints of these tests.

use breakbulk_structured_merge::{Endpoint, FieldSet, Schema, Unconverted, Writer};
use serde_json::{Value, json};

pub(crate) const T1: &str = "2026-01-01T00:00:01Z";
pub(crate) const T2: &str = "2026-01-01T00:00:02Z";
pub(crate) const T3: &str = "2026-01-01T00:00:03Z";

pub(crate) fn writer<'a>(manager: &'a str, now: &str) -> Writer<'a> {
    Writer {
        manager,
        now: now.parse().expect("a time"),
    }
}

pub(crate) fn schema() -> Schema {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "a": {"type": "string"}, "b": {"type": "string"}, "replicas": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}, "note": {"type": "string"}}},
        "data": {"type": "object", "additionalProperties": {"type": "string"}},
    }});
    Schema::of_object(&schema, &|_| None)
}

pub(crate) struct World {
    pub(crate) versions: Unconverted,
    pub(crate) main_resets: FieldSet,
    pub(crate) status_resets: FieldSet,
}

impl World {
    pub(crate) fn new() -> Self {
        let set = |fields: Value| FieldSet::from_fields_v1(&fields).expect("a set");
        Self {
            versions: Unconverted::new(["x.io/v1", "x.io/v2"].map(|version| (version.to_owned(), schema()))),
            main_resets: set(json!({"f:status": {}})),
            status_resets: set(json!({"f:metadata": {}, "f:spec": {}, "f:data": {}})),
        }
    }

    pub(crate) fn main(&self) -> Endpoint<'_> {
        Endpoint {
            api_version: "x.io/v1",
            kind: "Thing",
            subresource: "",
            reset_fields: &self.main_resets,
            versions: &self.versions,
        }
    }

    pub(crate) fn status(&self) -> Endpoint<'_> {
        Endpoint {
            subresource: "status",
            reset_fields: &self.status_resets,
            ..self.main()
        }
    }

    /// An object that a manager created.
    pub(crate) fn created(&self, fields: &Value) -> Value {
        let mut object = thing(fields);
        self.main()
            .update(None, &mut object, &writer("creator", T1))
            .expect("fits");
        object["metadata"]["uid"] = "u-1".into();
        object
    }

    pub(crate) fn updated(&self, live: &Value, manager: &str, now: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut new = live.clone();
        change(&mut new);
        self.main()
            .update(Some(live), &mut new, &writer(manager, now))
            .expect("fits");
        new
    }
}

pub(crate) fn thing(fields: &Value) -> Value {
    let mut object = json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}});
    let map = object.as_object_mut().expect("a map");
    map.extend(fields.as_object().expect("a map").clone());
    object
}

pub(crate) fn entries(object: &Value) -> Vec<Value> {
    object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// Each entry as `manager/operation/subresource@time paths`.
pub(crate) fn told(object: &Value) -> Vec<String> {
    let tell = |entry: &Value| {
        let word = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        let set = FieldSet::from_fields_v1(&entry["fieldsV1"])
            .expect("written by us")
            .to_string()
            .replace('\n', " ");
        let time = word("time")
            .trim_start_matches("2026-01-01T00:00:")
            .trim_end_matches('Z')
            .to_owned();
        format!(
            "{}/{}/{}@{time} {set}",
            word("manager"),
            word("operation"),
            word("subresource")
        )
    };
    entries(object).iter().map(tell).collect()
}
