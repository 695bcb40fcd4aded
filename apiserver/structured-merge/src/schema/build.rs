//! Making a [`Schema`] from an OpenAPI or structural schema.
//!
//! Definitions that are referred to are built once each, from a work list, so neither cycles nor long chains of
//! references go deep; what is written inline is followed to a bounded depth. Whatever cannot be understood becomes a
//! type without a schema and is reported as a problem, so that one odd definition does not take the rest with it.
//! Follows `schemaconv` of `k8s.io/kube-openapi` in meaning.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Field, ListRelation, ListType, MapRelation, MapType, Scalar, Schema, Type, TypeId, meta};

/// Nothing in it is looked at: a scalar, an atomic list or an atomic map.
pub(super) const UNTYPED_ATOMIC: TypeId = TypeId(0);
/// The type of values without a schema: maps granular, lists atomic.
pub(super) const DEDUCED: TypeId = TypeId(1);
pub(super) const STRING: TypeId = TypeId(2);
pub(super) const NUMERIC: TypeId = TypeId(3);
pub(super) const BOOLEAN: TypeId = TypeId(4);
pub(super) const UNTYPED: TypeId = TypeId(5);

const MAX_INLINE_DEPTH: usize = 128;
const MAX_ALIASES: usize = 32;
/// One bad schema need not fill the memory with complaints.
const MAX_PROBLEMS: usize = 100;

/// Something in a schema that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaProblem {
    /// A reference leads nowhere, or around in circles.
    #[error("unresolved reference {0:?}")]
    Reference(String),
    /// A `type` that JSON schema does not have.
    #[error("unrecognized type: '{0}'")]
    Type(String),
    /// A list or map extension with a value that is not one of its words.
    #[error("unknown {extension} {value:?}")]
    Extension {
        /// The name of the extension.
        extension: &'static str,
        /// What it says.
        value: String,
    },
    /// An array that does not say what it is an array of.
    #[error("`items` must be specified on arrays")]
    Items,
    /// More levels of inline types than any real schema has.
    #[error("schema nested too deep")]
    Depth,
}

/// Whether fields that are not declared are kept, as said by a schema or one around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refused,
    Kept,
}

/// The table while it grows.
pub(super) struct Table {
    types: Vec<Type>,
}

impl Table {
    pub(super) fn add(&mut self, ty: Type) -> TypeId {
        let id = self.reserve();
        self.types[id.0 as usize] = ty;
        id
    }

    fn reserve(&mut self) -> TypeId {
        let id = u32::try_from(self.types.len()).expect("a schema held in memory has fewer than 2^32 types");
        self.types.push(Type::default());
        TypeId(id)
    }
}

struct Builder<'d, 'l> {
    table: Table,
    lookup: &'l dyn Fn(&str) -> Option<&'d Value>,
    named: HashMap<(String, Option<MapRelation>), TypeId>,
    work: Vec<(TypeId, &'d Value, Option<MapRelation>)>,
    metadata: TypeId,
    problems: Vec<SchemaProblem>,
}

impl Schema {
    /// The type of a whole object. `lookup` gives the schema behind a `$ref`, by the reference as it is written.
    ///
    /// Whatever the schema says of them, `apiVersion` and `kind` are strings and `metadata` is what it is in every
    /// object.
    pub fn of_object<'d>(schema: &'d Value, lookup: &dyn Fn(&str) -> Option<&'d Value>) -> Self {
        let mut builder = Builder::new(lookup);
        let root = builder.reference(schema, Unknown::Refused, 0);
        builder.drain();
        let mut object = builder.table.types[root.0 as usize].clone();
        object.scalar = None;
        object.list = None;
        let map = object.map.get_or_insert_with(deduced_map);
        map.relation = MapRelation::Granular;
        let metadata = builder.metadata;
        declare_object_fields(map, metadata);
        let root = builder.table.add(object);
        builder.finish(root)
    }

    /// The type of an object of which nothing is known: maps granular, lists atomic, and the usual `metadata`.
    pub fn deduced() -> Self {
        Self::of_object(&Value::Null, &|_| None)
    }

    /// The type of any value, taken as the schema says.
    pub fn of_value<'d>(schema: &'d Value, lookup: &dyn Fn(&str) -> Option<&'d Value>) -> Self {
        let mut builder = Builder::new(lookup);
        let root = builder.reference(schema, Unknown::Refused, 0);
        builder.drain();
        builder.finish(root)
    }
}

fn deduced_map() -> MapType {
    MapType {
        fields: Vec::new(),
        element: Some(DEDUCED),
        relation: MapRelation::Granular,
    }
}

fn declare_object_fields(map: &mut MapType, metadata: TypeId) {
    for (name, ty) in [("apiVersion", STRING), ("kind", STRING), ("metadata", metadata)] {
        map.fields.retain(|field| field.name.as_ref() != name);
        map.fields.push(Field {
            name: name.into(),
            ty,
            default: None,
        });
    }
    map.fields.sort_by(|a, b| a.name.cmp(&b.name));
}

fn known_types() -> Vec<Type> {
    let scalar = |scalar| Type {
        scalar: Some(scalar),
        ..Type::default()
    };
    let untyped = |element, relation| Type {
        scalar: Some(Scalar::Untyped),
        list: Some(ListType {
            element: UNTYPED_ATOMIC,
            relation: ListRelation::Atomic,
        }),
        map: Some(MapType {
            fields: Vec::new(),
            element: Some(element),
            relation,
        }),
    };
    vec![
        untyped(UNTYPED_ATOMIC, MapRelation::Atomic),
        untyped(DEDUCED, MapRelation::Granular),
        scalar(Scalar::String),
        scalar(Scalar::Numeric),
        scalar(Scalar::Boolean),
        scalar(Scalar::Untyped),
    ]
}

impl<'d, 'l> Builder<'d, 'l> {
    fn new(lookup: &'l dyn Fn(&str) -> Option<&'d Value>) -> Self {
        let mut table = Table { types: known_types() };
        let metadata = meta::add(&mut table);
        Self {
            table,
            lookup,
            named: HashMap::new(),
            work: Vec::new(),
            metadata,
            problems: Vec::new(),
        }
    }

    fn finish(self, root: TypeId) -> Schema {
        let Self { table, problems, .. } = self;
        Schema {
            table: Arc::new(super::Table {
                types: table.types,
                root,
                problems,
            }),
        }
    }

    fn problem(&mut self, problem: SchemaProblem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// Builds the definitions that were referred to, and those that they refer to.
    fn drain(&mut self) {
        while let Some((id, schema, relation)) = self.work.pop() {
            let mut ty = self.inline(schema, Unknown::Refused, 0);
            if let (Some(relation), Some(map)) = (relation, &mut ty.map) {
                map.relation = relation;
            }
            self.table.types[id.0 as usize] = ty;
        }
    }

    /// The type at a place where a schema stands, be it a reference or written out.
    fn reference(&mut self, schema: &'d Value, unknown: Unknown, depth: usize) -> TypeId {
        if schema.is_null() {
            return DEDUCED;
        }
        if let Some(name) = referred(schema) {
            let relation = self.map_relation(schema);
            return self.definition(name, relation);
        }
        if depth > MAX_INLINE_DEPTH {
            self.problem(SchemaProblem::Depth);
            return DEDUCED;
        }
        let ty = self.inline(schema, unknown, depth);
        self.table.add(ty)
    }

    fn definition(&mut self, name: &str, relation: Option<MapRelation>) -> TypeId {
        match name.rsplit('/').next().unwrap_or(name) {
            "io.k8s.apimachinery.pkg.api.resource.Quantity" => return UNTYPED,
            "io.k8s.apimachinery.pkg.runtime.RawExtension" => return UNTYPED_ATOMIC,
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" => return self.metadata,
            _ => {}
        }
        let key = (name.to_owned(), relation);
        if let Some(id) = self.named.get(&key) {
            return *id;
        }
        let Some(schema) = self.resolve(name) else {
            self.problem(SchemaProblem::Reference(name.to_owned()));
            self.named.insert(key, DEDUCED);
            return DEDUCED;
        };
        let id = self.table.reserve();
        self.named.insert(key, id);
        self.work.push((id, schema, relation));
        id
    }

    /// Follows definitions that are nothing but a reference to another one.
    fn resolve(&self, name: &str) -> Option<&'d Value> {
        let mut schema = (self.lookup)(name)?;
        for _ in 0..MAX_ALIASES {
            match referred(schema) {
                Some(next) => schema = (self.lookup)(next)?,
                None => return Some(schema),
            }
        }
        None
    }

    fn inline(&mut self, schema: &'d Value, unknown: Unknown, depth: usize) -> Type {
        let unknown = if flag(schema, "x-kubernetes-preserve-unknown-fields") {
            Unknown::Kept
        } else {
            unknown
        };
        let mut ty = self.shapes(schema, unknown, depth);
        if flag(schema, "x-kubernetes-embedded-resource") {
            let metadata = self.metadata;
            declare_object_fields(ty.map.get_or_insert_with(deduced_map), metadata);
        }
        ty
    }

    fn shapes(&mut self, schema: &'d Value, unknown: Unknown, depth: usize) -> Type {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        if flag(schema, "x-kubernetes-int-or-string") || format == "int-or-string" {
            return Type {
                scalar: Some(Scalar::Untyped),
                ..Type::default()
            };
        }
        let scalar = |scalar| Type {
            scalar: Some(scalar),
            ..Type::default()
        };
        match type_word(schema) {
            "" => Type {
                scalar: Some(Scalar::Untyped),
                list: Some(self.list(schema, unknown, depth)),
                map: Some(self.map(schema, unknown, depth)),
            },
            "object" => Type {
                map: Some(self.map(schema, unknown, depth)),
                ..Type::default()
            },
            "array" => Type {
                list: Some(self.list(schema, unknown, depth)),
                ..Type::default()
            },
            "integer" | "number" => scalar(Scalar::Numeric),
            "boolean" => scalar(Scalar::Boolean),
            "string" => scalar(Scalar::String),
            other => {
                self.problem(SchemaProblem::Type(other.to_owned()));
                self.table.types[DEDUCED.0 as usize].clone()
            }
        }
    }

    fn map(&mut self, schema: &'d Value, unknown: Unknown, depth: usize) -> MapType {
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut fields: Vec<Field> = properties
            .into_iter()
            .flat_map(Map::iter)
            .map(|(name, property)| Field {
                name: name.as_str().into(),
                ty: self.reference(property, unknown, depth + 1),
                default: property.get("default").filter(|default| !default.is_null()).cloned(),
            })
            .collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let element = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(DEDUCED),
            Some(element) if !element.is_null() => Some(self.reference(element, unknown, depth + 1)),
            _ if unknown == Unknown::Kept || fields.is_empty() => Some(DEDUCED),
            _ => None,
        };
        let relation = self.map_relation(schema).unwrap_or(MapRelation::Granular);
        MapType {
            fields,
            element,
            relation,
        }
    }

    fn map_relation(&mut self, schema: &Value) -> Option<MapRelation> {
        match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
            None => None,
            Some("granular") => Some(MapRelation::Granular),
            Some("atomic") => Some(MapRelation::Atomic),
            Some(other) => {
                let value = other.to_owned();
                self.problem(SchemaProblem::Extension {
                    extension: "x-kubernetes-map-type",
                    value,
                });
                None
            }
        }
    }

    fn list(&mut self, schema: &'d Value, unknown: Unknown, depth: usize) -> ListType {
        let element = match schema.get("items") {
            Some(items) if items.is_object() => self.reference(items, unknown, depth + 1),
            _ => {
                if type_word(schema) == "array" {
                    self.problem(SchemaProblem::Items);
                }
                UNTYPED_ATOMIC
            }
        };
        ListType {
            element,
            relation: self.list_relation(schema),
        }
    }

    fn list_relation(&mut self, schema: &Value) -> ListRelation {
        let word = |name: &str| schema.get(name).and_then(Value::as_str);
        let keyed = |keys: Vec<Arc<str>>| match keys.is_empty() {
            true => ListRelation::Set,
            false => ListRelation::Keyed(keys),
        };
        match word("x-kubernetes-list-type") {
            Some("atomic") => ListRelation::Atomic,
            Some("set") => ListRelation::Set,
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                keyed(
                    keys.into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .map(Arc::from)
                        .collect(),
                )
            }
            Some(other) => {
                let value = other.to_owned();
                self.problem(SchemaProblem::Extension {
                    extension: "x-kubernetes-list-type",
                    value,
                });
                ListRelation::Atomic
            }
            // What built-in types said before they had a list type.
            None if word("x-kubernetes-patch-strategy").is_some_and(|words| words.split(',').any(|w| w == "merge")) => {
                keyed(
                    word("x-kubernetes-patch-merge-key")
                        .map(Arc::from)
                        .into_iter()
                        .collect(),
                )
            }
            None => ListRelation::Atomic,
        }
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

/// OpenAPI 3.1 writes several types as a list; the first one that is not null counts.
fn type_word(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(word)) => word,
        Some(Value::Array(words)) => words
            .iter()
            .filter_map(Value::as_str)
            .find(|word| *word != "null")
            .unwrap_or_default(),
        _ => "",
    }
}

/// The reference that a schema is: bare, or as the only part of an `allOf`.
fn referred(schema: &Value) -> Option<&str> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return Some(reference);
    }
    match schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => only.get("$ref").and_then(Value::as_str),
        _ => None,
    }
}
