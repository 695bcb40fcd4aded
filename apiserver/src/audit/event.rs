//! The form of an audit event on the wire: `audit.k8s.io/v1` Event as one JSON line. What it borrows has been collected
//! by the trail; nothing is decided here.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::policy::{Level, ManagedFields, Stage};

/// The largest body that is written down; a larger one is left out, and an annotation says so.
pub(super) const MAX_BODY: usize = 1 << 20;

/// Who.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct User {
    pub(super) username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<String>,
}

/// What.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) api_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subresource: Option<String>,
}

/// How it was answered: a Status without what it would repeat.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct ResponseStatus {
    pub(super) metadata: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) code: u16,
}

/// `{}`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Empty {}

/// A body on its way to the log: turned into JSON by the writer, off the request's path.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    pub(super) bytes: Bytes,
    pub(super) encoding: Encoding,
    pub(super) managed_fields: ManagedFields,
}

/// How a captured body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Something else: it is left out.
    Other,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    pub(super) level: Level,
    #[serde(rename = "auditID")]
    pub(super) audit_id: String,
    pub(super) stage: Stage,
    #[serde(rename = "requestURI")]
    pub(super) request_uri: String,
    pub(super) verb: &'static str,
    pub(super) user: User,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) impersonated_user: Option<User>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub(super) source_ips: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object_ref: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_status: Option<ResponseStatus>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "body")]
    pub(super) request_object: Option<Captured>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "body")]
    pub(super) response_object: Option<Captured>,
    pub(super) request_received_timestamp: String,
    pub(super) stage_timestamp: String,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(super) annotations: std::collections::BTreeMap<String, String>,
}

impl Event {
    /// About how many bytes it keeps while it waits.
    pub(super) fn weight(&self) -> usize {
        let body = |captured: &Option<Captured>| captured.as_ref().map_or(0, |c| c.bytes.len());
        1024 + self.request_uri.len() + body(&self.request_object) + body(&self.response_object)
    }
}

impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        })
    }
}

impl Serialize for Stage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        })
    }
}

fn body<S: serde::Serializer>(captured: &Option<Captured>, serializer: S) -> Result<S::Ok, S::Error> {
    captured
        .as_ref()
        .map_or(Value::Null, Captured::value)
        .serialize(serializer)
}

impl Captured {
    /// The body as JSON; null when it is none.
    fn value(&self) -> Value {
        let mut value: Value = match self.encoding {
            Encoding::Json => serde_json::from_slice(&self.bytes).unwrap_or(Value::Null),
            Encoding::Yaml => std::str::from_utf8(&self.bytes)
                .ok()
                .and_then(|text| serde_saphyr::from_str(text).ok())
                .unwrap_or(Value::Null),
            Encoding::Other => Value::Null,
        };
        if self.managed_fields == ManagedFields::Omitted {
            omit(&mut value);
            for item in value
                .get_mut("items")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                omit(item);
            }
        }
        value
    }
}

fn omit(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}
