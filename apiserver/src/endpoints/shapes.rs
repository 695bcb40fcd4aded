//! Objects in the shape that was asked for: as they are, as rows of a table, or as their metadata. What is asked for
//! plainly is copied, never parsed.

use std::sync::Arc;

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::negotiate::Shape;
use super::pieces::{Items, PIECE, Pieces};
use crate::cacher::Entry;
use crate::registry::Resource;
use crate::status::{ApiError, ApiResult};

/// What a row of a table carries beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowObject {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// The object.
    Object,
}

/// What stands in the head of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct ListHead {
    /// Its revision.
    pub(super) revision: u64,
    /// Where it goes on; empty at the end.
    pub(super) continue_token: String,
    /// How many are left, if that is known.
    pub(super) remaining: Option<u64>,
}

impl RowObject {
    /// From the parameter `includeObject`.
    pub(super) fn parse(text: Option<&str>) -> ApiResult<Self> {
        match text {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(ApiError::bad_request(format!(
                "unrecognized includeObject value: {other:?}"
            ))),
        }
    }
}

/// One object.
pub(super) fn object(resource: &Resource, encoded: Bytes, shape: Shape, rows: RowObject) -> ApiResult<Bytes> {
    match shape {
        Shape::Plain => Ok(encoded),
        Shape::Table => {
            let object = parse(&encoded);
            let version = object["metadata"]["resourceVersion"].clone();
            let table = table(
                resource,
                vec![object],
                &json!({ "resourceVersion": version }),
                rows,
                Definitions::Shown,
            );
            Ok(table.to_string().into())
        }
        Shape::Metadata => Ok(partial(parse(&encoded)).to_string().into()),
        Shape::MetadataList => Err(ApiError::not_acceptable("application/json")),
    }
}

/// A list.
pub(super) fn list(
    resource: &Resource,
    items: &[Bytes],
    head: &ListHead,
    shape: Shape,
    rows: RowObject,
) -> ApiResult<Bytes> {
    let metadata = head.metadata();
    match shape {
        Shape::Plain if Items::of(resource) == Items::Bare => {
            let items: Vec<Bytes> = items.iter().map(|item| bare(parse(item))).collect();
            Ok(join(&resource.list_kind, &resource.api_version(), &metadata, &items))
        }
        Shape::Plain => Ok(join(&resource.list_kind, &resource.api_version(), &metadata, items)),
        Shape::MetadataList => {
            let items: Vec<Bytes> = items.iter().map(|i| partial(parse(i)).to_string().into()).collect();
            Ok(join("PartialObjectMetadataList", "meta.k8s.io/v1", &metadata, &items))
        }
        Shape::Table => {
            let objects = items.iter().map(|i| parse(i)).collect();
            Ok(table(resource, objects, &metadata, rows, Definitions::Shown)
                .to_string()
                .into())
        }
        Shape::Metadata => Err(ApiError::not_acceptable("application/json")),
    }
}

/// An item of a list that says what its items are.
fn bare(mut object: Value) -> Bytes {
    if let Some(object) = object.as_object_mut() {
        object.retain(|name, _| name != "apiVersion" && name != "kind");
    }
    object.to_string().into()
}

/// A list of objects as they are stored: copied, never parsed; a large one only while it is sent.
pub(super) fn plain_list(resource: &Resource, entries: Vec<Arc<Entry>>, head: &ListHead) -> Body {
    let head = opening(&resource.list_kind, &resource.api_version(), &head.metadata());
    let pieces = Pieces::new(head, entries, resource.storage.clone(), Items::of(resource));
    if pieces.left() <= PIECE as u64 {
        return Body::from(pieces.whole());
    }
    Body::new(pieces)
}

impl ListHead {
    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), json!(self.revision.to_string()));
        if !self.continue_token.is_empty() {
            metadata.insert("continue".to_owned(), json!(self.continue_token));
        }
        if let Some(remaining) = self.remaining.filter(|r| *r > 0) {
            metadata.insert("remainingItemCount".to_owned(), json!(remaining));
        }
        Value::Object(metadata)
    }
}

fn opening(kind: &str, api_version: &str, metadata: &Value) -> String {
    format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
        Value::from(kind),
        Value::from(api_version)
    )
}

fn join(kind: &str, api_version: &str, metadata: &Value, items: &[Bytes]) -> Bytes {
    let head = opening(kind, api_version, metadata);
    let total: usize = items.iter().map(|i| i.len() + 1).sum();
    let mut out = BytesMut::with_capacity(head.len() + total + 2);
    out.put_slice(head.as_bytes());
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.put_slice(item);
    }
    out.put_slice(b"]}");
    out.freeze()
}

/// Whether a table says what its columns are: the first of a watch does, the others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Definitions {
    /// It does.
    Shown,
    /// It does not.
    Left,
}

/// The object of a watch event, not plain.
pub(super) fn event_object(
    resource: &Resource,
    encoded: &[u8],
    shape: Shape,
    rows: RowObject,
    definitions: Definitions,
) -> Bytes {
    let object = parse(encoded);
    match shape {
        Shape::Table => {
            let version = object["metadata"]["resourceVersion"].clone();
            table(
                resource,
                vec![object],
                &json!({ "resourceVersion": version }),
                rows,
                definitions,
            )
            .to_string()
            .into()
        }
        _ => partial(object).to_string().into(),
    }
}

fn parse(encoded: &[u8]) -> Value {
    serde_json::from_slice(encoded).unwrap_or(Value::Null)
}

fn partial(mut object: Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get_mut("metadata").map(Value::take).unwrap_or_default(),
    })
}

fn table(
    resource: &Resource,
    objects: Vec<Value>,
    metadata: &Value,
    rows: RowObject,
    definitions: Definitions,
) -> Value {
    let now = Timestamp::now();
    let columns = &resource.columns;
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let cells = columns.cells(&object, now);
            let carried = match rows {
                RowObject::None => Value::Null,
                RowObject::Metadata => partial(object),
                RowObject::Object => object,
            };
            json!({ "cells": cells, "object": carried })
        })
        .collect();
    let definitions = match definitions {
        Definitions::Shown => columns.definitions().into(),
        // Null, as a Go slice that nobody made.
        Definitions::Left => Value::Null,
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}
