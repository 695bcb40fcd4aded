//! Events: what was written as a new one must be complete and stay as it is; old ones are hardly checked
//! (`k8s.io/kubernetes/pkg/apis/core/validation/events.go`). Mistakes are told in the words of `v1`, whichever face was
//! written to, as upstream does.

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::Value;

use crate::registry::resource::Rules;
use crate::registry::{events, names, object};

/// Written as `v1`.
pub(in crate::registry) const CORE: Rules = Rules {
    validate: |new, _| always(new),
    prepare: |_, _| {},
};
/// Written as `events.k8s.io/v1`.
pub(in crate::registry) const NEW: Rules = Rules {
    validate: strictly,
    prepare: |_, _| {},
};

const WORD_BYTES: usize = 128;
const NOTE_BYTES: usize = 1024;

/// What may not change.
const FINAL: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or("")
}

/// `reportingComponent` is called so on the wire only.
fn path(field: &str) -> Path {
    Path::root(if field == "reportingComponent" {
        "reportingController"
    } else {
        field
    })
}

/// What holds for every event.
fn always(event: &Value) -> Vec<FieldError> {
    let (own, about) = (
        object::meta(event, "namespace"),
        text(&event["involvedObject"], "namespace"),
    );
    let mut errors = Vec::new();
    let new = !text(event, "eventTime").is_empty();
    let fits = match (new, about) {
        (false, "") => matches!(own, "" | "default"),
        (false, about) => about == own,
        (true, "") => matches!(own, "default" | "kube-system"),
        (true, _) => true,
    };
    if !fits {
        let path = Path::root("involvedObject").child("namespace");
        errors.push(FieldError::invalid(path, about, "does not match event.namespace"));
    }
    if new {
        complete(event, &mut errors);
    }
    errors
}

fn complete(event: &Value, errors: &mut Vec<FieldError>) {
    for field in ["reportingComponent", "reportingInstance", "action", "reason"] {
        let word = text(event, field);
        if word.is_empty() {
            errors.push(FieldError::new(path(field), ErrorKind::Required, ""));
        }
        if field == "reportingComponent" {
            let wrong = names::qualified(word).into_iter();
            errors.extend(wrong.map(|detail| FieldError::invalid(path(field), word, detail)));
        } else if word.len() > WORD_BYTES {
            let detail = format!("can have at most {WORD_BYTES} characters");
            errors.push(FieldError::invalid(path(field), "", detail));
        }
    }
    if text(event, "message").len() > NOTE_BYTES {
        let detail = format!("can have at most {NOTE_BYTES} characters");
        errors.push(FieldError::invalid(path("message"), "", detail));
    }
}

fn series(event: &Value, errors: &mut Vec<FieldError>) {
    let series = &event["series"];
    if series.is_null() {
        return;
    }
    if series["count"].as_i64().unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(
            Path::root("series.count"),
            "",
            "should be at least 2",
        ));
    }
    if text(series, "lastObservedTime").is_empty() {
        let path = Path::root("series.lastObservedTime");
        errors.push(FieldError::new(path, ErrorKind::Required, ""));
    }
}

fn strictly(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let event = events::to_core(new.clone());
    let mut errors = always(&event);
    let Some(old) = old else {
        series(&event, &mut errors);
        as_new(&event, &mut errors);
        return errors;
    };
    let old = events::to_core(old.clone());
    if event["series"] != old["series"] {
        series(&event, &mut errors);
    }
    for field in FINAL.into_iter().filter(|field| !is_same(&event[*field], &old[*field])) {
        let detail = "field is immutable";
        errors.push(match &event[field] {
            Value::String(text) => FieldError::invalid(path(field), text, detail),
            _ => FieldError::new(path(field), ErrorKind::Invalid, detail),
        });
    }
    errors
}

/// What a new one has, and what it must not have: that is for old ones.
fn as_new(event: &Value, errors: &mut Vec<FieldError>) {
    if text(event, "eventTime").is_empty() {
        errors.push(FieldError::new(path("eventTime"), ErrorKind::Required, ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(
            path("type"),
            "",
            format!("has invalid value: {kind}"),
        ));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if !is_same(&event[field], &Value::Null) {
            errors.push(FieldError::invalid(path(field), "", "needs to be unset"));
        }
    }
}

/// Whether two values mean the same: what is empty is not there.
fn is_same(one: &Value, other: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    };
    one == other || (empty(one) && empty(other))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "ns"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Do", "reason": "Why", "type": "Normal",
            "reportingController": "example.org/c", "reportingInstance": "c-1", "note": "n",
            "regarding": {"kind": "Job", "name": "j", "namespace": "ns"}})
    }

    fn told(new: &Value, old: Option<&Value>) -> Vec<String> {
        strictly(new, old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_new_event_is_complete() {
        assert!(told(&event(), None).is_empty());
        for (field, value, want) in [
            ("eventTime", Value::Null, "eventTime: Required value"),
            ("action", json!(""), "action: Required value"),
            (
                "reason",
                json!("x".repeat(129)),
                "reason: Invalid value: \"\": can have at most 128 characters",
            ),
            (
                "note",
                json!("x".repeat(1025)),
                "message: Invalid value: \"\": can have at most 1024 characters",
            ),
            (
                "type",
                json!("Odd"),
                "type: Invalid value: \"\": has invalid value: Odd",
            ),
            (
                "deprecatedCount",
                json!(1),
                "count: Invalid value: \"\": needs to be unset",
            ),
            ("reportingInstance", json!(""), "reportingInstance: Required value"),
            (
                "series",
                json!({"count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}),
                "series.count: Invalid value: \"\": should be at least 2",
            ),
        ] {
            let mut bad = event();
            bad[field] = value;
            assert!(
                told(&bad, None).contains(&want.to_owned()),
                "{field}: {:?}",
                told(&bad, None)
            );
        }
    }

    #[test]
    fn only_the_series_of_a_new_event_changes() {
        let mut new = event();
        new["series"] = json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"});
        assert!(told(&new, Some(&event())).is_empty());
        new["note"] = json!("other");
        assert_eq!(
            told(&new, Some(&event())),
            ["message: Invalid value: \"other\": field is immutable"]
        );
    }

    #[test]
    fn an_old_event_is_where_its_object_is() {
        let old = |own: &str, about: Value| json!({"metadata": {"namespace": own}, "involvedObject": about});
        assert!(always(&old("ns", json!({"namespace": "ns"}))).is_empty());
        assert!(always(&old("default", json!({}))).is_empty());
        assert_eq!(always(&old("ns", json!({}))).len(), 1);
        assert_eq!(always(&old("ns", json!({"namespace": "other"}))).len(), 1);
    }
}
