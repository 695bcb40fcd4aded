//! Events have two API groups over one storage: `v1`, which kubectl reads, and `events.k8s.io/v1`, which newer clients
//! write. What is stored is `v1`; here is how one becomes the other
//! (`k8s.io/kubernetes/pkg/apis/events/v1/conversion.go`).

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Fields that selectors may name in `v1`.
pub(super) const FIELDS: [&str; 11] = [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// The same fields, as `events.k8s.io/v1` spells them.
pub(super) const NEW_FIELDS: [&str; 11] = [
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "source",
    "type",
];

/// The place of [`seen`] among the fields that are kept beside an Event.
pub(crate) const SEEN: usize = FIELDS.len();

/// When the last thing happened that an event tells of, in seconds since 1970; empty when it does not say.
pub(super) fn seen(event: &Value) -> String {
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    let times = times
        .into_iter()
        .filter_map(|time| time.as_str()?.parse::<Timestamp>().ok());
    times
        .max()
        .map(|latest| latest.as_second().to_string())
        .unwrap_or_default()
}

/// Who tells: the component of an old event, or the controller of a new one.
pub(super) fn source(event: &Value) -> String {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    text(&event["source"]["component"])
        .or_else(|| text(&event["reportingComponent"]))
        .unwrap_or_default()
}

/// Names in `v1`, and in `events.k8s.io/v1`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// `events.k8s.io/v1` to `v1`.
pub(super) fn to_core(event: Value) -> Value {
    let mut event = rename(event, "v1", |name| {
        NAMES.iter().find(|(_, new)| *new == name).map(|(old, _)| *old)
    });
    if let Some(event) = event.as_object_mut() {
        // `v1` demands the object; an event about nothing is about an empty one.
        event
            .entry("involvedObject")
            .or_insert_with(|| Value::Object(Map::new()));
    }
    event
}

/// `v1` to `events.k8s.io/v1`.
pub(super) fn from_core(event: Value) -> Value {
    let mut event = rename(event, "events.k8s.io/v1", |name| {
        NAMES.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
    });
    if let Some(event) = event.as_object_mut() {
        event.entry("eventTime").or_insert(Value::Null);
    }
    event
}

fn rename(event: Value, api_version: &str, name: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(event) = event else { return event };
    let mut renamed = Map::new();
    for (key, value) in event {
        let key = name(&key).map_or(key, str::to_owned);
        renamed.insert(key, value);
    }
    renamed.insert("apiVersion".to_owned(), Value::from(api_version));
    Value::Object(renamed)
}
