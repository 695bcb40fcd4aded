//! Kubernetes' protobuf, to and from JSON. kubectl and client-go send their built-in kinds in it and like to be
//! answered in it; the server itself knows only JSON values.
//!
//! ```
//! use breakbulk_protobuf::{decode, encode, knows, watch_frame, WatchEventType};
//! use serde_json::json;
//!
//! let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "build"}});
//! assert!(knows("v1", "Namespace"));
//! let body = encode(&namespace)?; // application/vnd.kubernetes.protobuf
//! let decoded = decode(&body)?;
//! assert_eq!(decoded.kind, "Namespace");
//! assert_eq!(decoded.object["metadata"]["name"], "build");
//!
//! let frame = watch_frame(WatchEventType::Added, &body); // application/vnd.kubernetes.protobuf;stream=watch
//! assert_eq!(frame[..3], [0, 0, 0]); // the length, in four bytes
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is what:
//!
//! - A **request** with [`MEDIA_TYPE`] goes through [`decode()`], or [`decode_within`] with the kind of the URL and other
//!   limits. Every [`DecodeError`] is the client's fault (400; 413 for [`DecodeError::TooLarge`]), but
//!   [`DecodeError::UnknownKind`] may also mean a custom resource, which upstream does not take in protobuf (415).
//! - An **answer** goes through [`encode()`] or [`encode_list`] if [`knows`] has its kind (a list's kind for a list, `Status` and
//!   `PartialObjectMetadata` too); everything else, tables above all, is answered in JSON.
//! - A **watch** encodes each object once and puts it into a [`watch_frame`] for each event.
//! - **OpenAPI** documents go through [`openapi_v2`] and [`openapi_v3`].
//!
//! The messages are data (`src/table/*.txt`); decoder and encoder walk it. Nothing here does I/O.

mod decode;
mod encode;
mod envelope;
mod openapi;
mod table;
mod watch;
mod wire;

pub use decode::{DecodeError, Limits};
pub use encode::EncodeError;
pub use envelope::{Decoded, TypeMeta, decode_within, encode, encode_as, encode_list};
pub use openapi::{OPENAPI_V2_MEDIA_TYPE, OPENAPI_V3_MEDIA_TYPE, openapi_v2, openapi_v3};
pub use watch::{WatchEventType, watch_frame};
pub use wire::WireError;

/// Of objects in protobuf. With `;stream=watch` it is the type of a watch.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Decodes an object in its envelope, within the default [`Limits`].
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode(body: &[u8]) -> Result<Decoded, DecodeError> {
    decode_within(body, None, &Limits::default())
}

/// Whether objects of this kind can be decoded and encoded.
pub fn knows(api_version: &str, kind: &str) -> bool {
    table::table().kind(api_version, kind).is_some()
}

#[cfg(test)]
mod properties;
