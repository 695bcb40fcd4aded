//! The columns of the core kinds, as upstream's printers have them (`pkg/printers/internalversion`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE_DESCRIPTION, Cell, Column, age};

/// A row of the table of columns: name, whether only `-o wide` shows it, and what it shows.
pub(super) type Row = (&'static str, Shown, fn(&Value, Timestamp) -> Value);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Always,
    Wide,
}

use Shown::{Always, Wide};

const NODE: &[Row] = &[
    ("Status", Always, node_status),
    ("Roles", Always, node_roles),
    ("Age", Always, created),
    ("Version", Always, |node, _| {
        text(node, "/status/nodeInfo/kubeletVersion")
    }),
    ("Internal-IP", Wide, node_address),
    ("OS-Image", Wide, |node, _| text(node, "/status/nodeInfo/osImage")),
    ("Kernel-Version", Wide, |node, _| {
        text(node, "/status/nodeInfo/kernelVersion")
    }),
];

const EVENT: &[Row] = &[
    ("Last Seen", Always, event_seen),
    ("Type", Always, |event, _| text(event, "/type")),
    ("Reason", Always, |event, _| text(event, "/reason")),
    ("Object", Always, event_object),
    ("Source", Wide, |event, _| text(event, "/source/component")),
    ("Message", Always, |event, _| text(event, "/message")),
    ("Count", Wide, |event, _| {
        event.get("count").cloned().unwrap_or_else(|| json!(1))
    }),
    ("Name", Wide, |event, _| text(event, "/metadata/name")),
];

const ROWS: &[(&str, &[Row])] = &[
    ("Node", NODE),
    ("Event", EVENT),
    ("Pod", super::pods::ROWS),
    (
        "Namespace",
        &[
            ("Status", Always, |ns, _| text(ns, "/status/phase")),
            ("Age", Always, created),
        ],
    ),
    (
        "ConfigMap",
        &[
            ("Data", Always, |cm, _| entries(cm, &["data", "binaryData"])),
            ("Age", Always, created),
        ],
    ),
    (
        "Secret",
        &[
            ("Type", Always, |secret, _| text(secret, "/type")),
            ("Data", Always, |secret, _| entries(secret, &["data"])),
            ("Age", Always, created),
        ],
    ),
    (
        "Lease",
        &[
            ("Holder", Always, |lease, _| text(lease, "/spec/holderIdentity")),
            ("Age", Always, created),
        ],
    ),
    (
        "ServiceAccount",
        &[
            ("Secrets", Always, |account, _| entries(account, &["secrets"])),
            ("Age", Always, created),
        ],
    ),
    (
        "PriorityClass",
        &[
            ("Value", Always, |class, _| {
                class.get("value").cloned().unwrap_or(Value::Null)
            }),
            ("Global-Default", Always, |class, _| {
                class.get("globalDefault").cloned().unwrap_or(json!(false))
            }),
            ("Age", Always, created),
            ("PreemptionPolicy", Always, |class, _| text(class, "/preemptionPolicy")),
        ],
    ),
    (
        "ResourceQuota",
        &[
            ("Request", Always, |quota, _| {
                limits(quota, |name| !name.starts_with("limits."))
            }),
            ("Limit", Always, |quota, _| {
                limits(quota, |name| name.starts_with("limits."))
            }),
            ("Age", Always, created),
        ],
    ),
    (
        "CustomResourceDefinition",
        &[(CREATED_AT, Always, |crd, _| text(crd, "/metadata/creationTimestamp"))],
    ),
];

/// Upstream shows the time where a kind has no printer of its own.
const CREATED_AT: &str = "Created At";

/// The columns of a kind behind its name; none for a kind that has none of its own.
pub(super) fn columns(kind: &str) -> Vec<Column> {
    let rows = ROWS
        .iter()
        .find(|(of, _)| *of == kind)
        .map_or(&[][..], |(_, rows)| *rows);
    rows.iter().map(column).collect()
}

/// Whether the name stands first; Events begin with when they were seen.
pub(super) fn has_name_first(kind: &str) -> bool {
    kind != "Event"
}

fn column(row: &Row) -> Column {
    let (name, shown, cell) = *row;
    let whole = matches!(name, "Data" | "Count" | "Secrets" | "Value");
    Column {
        name: name.to_owned(),
        type_: match name {
            _ if whole => "integer",
            CREATED_AT => "date",
            _ => "string",
        }
        .to_owned(),
        format: if name == "Name" { "name" } else { "" }.to_owned(),
        description: match name {
            "Age" | CREATED_AT => AGE_DESCRIPTION,
            _ => "",
        }
        .to_owned(),
        priority: i32::from(shown == Wide),
        cell: Cell::Computed(cell),
    }
}

pub(super) fn text(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).cloned().unwrap_or_else(|| json!(""))
}

pub(super) fn created(object: &Value, now: Timestamp) -> Value {
    object
        .pointer("/metadata/creationTimestamp")
        .map_or_else(|| json!("<unknown>"), |time| age::of(time, now))
}

/// How many entries an object's maps and lists have together.
fn entries(object: &Value, fields: &[&str]) -> Value {
    let count = |field: &&str| match object.get(*field) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    };
    json!(fields.iter().map(count).sum::<usize>())
}

/// What of some of a quota's limits is used, as `name: used/hard`.
fn limits(quota: &Value, of_this: fn(&str) -> bool) -> Value {
    let of = |field: &str, name: &str| match &quota["status"][field][name] {
        Value::String(text) => text.clone(),
        _ => "0".to_owned(),
    };
    let hard = quota["status"]["hard"].as_object().into_iter().flatten();
    let told = hard
        .filter(|(name, _)| of_this(name))
        .map(|(name, _)| format!("{name}: {}/{}", of("used", name), of("hard", name)));
    Value::String(told.collect::<Vec<_>>().join(", "))
}

fn node_status(node: &Value, _: Timestamp) -> Value {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|c| c.get("type") == Some(&json!("Ready")));
    let mut status = match ready.and_then(|c| c.get("status")).and_then(Value::as_str) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable") == Some(&json!(true)) {
        status.push_str(",SchedulingDisabled");
    }
    Value::String(status)
}

fn node_roles(node: &Value, _: Timestamp) -> Value {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let role = |key: &String| {
        key.strip_prefix("node-role.kubernetes.io/")
            .filter(|role| !role.is_empty())
            .map(str::to_owned)
    };
    let roles: Vec<String> = labels
        .into_iter()
        .flat_map(|labels| labels.keys().filter_map(role))
        .collect();
    Value::String(if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    })
}

fn node_address(node: &Value, _: Timestamp) -> Value {
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
    let internal = addresses
        .into_iter()
        .flatten()
        .find(|a| a.get("type") == Some(&json!("InternalIP")));
    internal
        .and_then(|a| a.get("address").cloned())
        .unwrap_or_else(|| json!("<none>"))
}

fn event_seen(event: &Value, now: Timestamp) -> Value {
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
    ];
    let seen = times
        .iter()
        .find_map(|pointer| event.pointer(pointer).filter(|time| !time.is_null()));
    seen.map_or_else(|| json!("<unknown>"), |time| age::of(time, now))
}

fn event_object(event: &Value, _: Timestamp) -> Value {
    let part = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = part("/involvedObject/kind").to_lowercase();
    Value::String(format!("{kind}/{}", part("/involvedObject/name")))
}
