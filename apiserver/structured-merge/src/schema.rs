//! How the merge sees a type: which maps are granular, which lists have keys, what is a scalar.
//!
//! Made once from an OpenAPI or structural schema (`build`), then shared: a [`Schema`] is a handle on a table of types,
//! in which a type names others by their place. So a type that contains itself is no special case. A type may have up
//! to three shapes, for a scalar, a list and a map; the value at hand decides which one counts.
//!
//! The rules are those of `x-kubernetes-list-type` and its kin:
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>. What is not said is as upstream
//! has it: lists atomic, maps granular. Nothing is validated here but what the merge needs.

mod build;
mod meta;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

pub use build::SchemaProblem;

use crate::fieldpath::FieldSet;
use crate::typed::{self, FieldErrors};

/// The type of an object, as the merge sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema {
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    types: Vec<Type>,
    root: TypeId,
    problems: Vec<SchemaProblem>,
}

/// The place of a type in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeId(u32);

/// A type: the shapes that its values may have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Type {
    scalar: Option<Scalar>,
    list: Option<ListType>,
    map: Option<MapType>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Numeric,
    String,
    Boolean,
    Untyped,
}

#[derive(Clone, Debug)]
pub(crate) struct ListType {
    element: TypeId,
    pub(crate) relation: ListRelation,
}

impl ListType {
    pub(crate) fn is_atomic(&self) -> bool {
        matches!(self.relation, ListRelation::Atomic)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum ListRelation {
    Atomic,
    /// Items are scalars and name themselves.
    Set,
    /// Items are maps, named by these fields.
    Keyed(Vec<Arc<str>>),
}

#[derive(Clone, Debug)]
pub(crate) struct MapType {
    /// Sorted by name.
    fields: Vec<Field>,
    /// The type of what is no declared field; without it there is nothing but those.
    element: Option<TypeId>,
    pub(crate) relation: MapRelation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MapRelation {
    Granular,
    Atomic,
}

#[derive(Clone, Debug)]
struct Field {
    name: Arc<str>,
    ty: TypeId,
    default: Option<Value>,
}

impl MapType {
    fn field(&self, name: &str) -> Option<&Field> {
        let at = self
            .fields
            .binary_search_by(|field| field.name.as_ref().cmp(name))
            .ok()?;
        Some(&self.fields[at])
    }

    pub(crate) fn declares(&self, name: &str) -> bool {
        self.field(name).is_some()
    }
}

impl Schema {
    /// What in the given schema could not be understood and was taken for a type without a schema.
    pub fn problems(&self) -> &[SchemaProblem] {
        &self.table.problems
    }

    /// The fields that an object sets, as its applier would own them.
    pub fn field_set(&self, object: &Value) -> Result<FieldSet, FieldErrors> {
        typed::to_field_set(self.root(), object)
    }

    /// The part of an object that a field set names; the keys of list items come with them.
    pub fn extract(&self, object: &Value, fields: &FieldSet) -> Value {
        typed::extract_items(self.root(), object, fields)
    }

    pub(crate) fn root(&self) -> TypeRef<'_> {
        TypeRef {
            table: &self.table,
            id: self.table.root,
        }
    }
}

/// A type together with the table it stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypeRef<'s> {
    table: &'s Table,
    id: TypeId,
}

/// The shapes that are left of a type for a value at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts<'s> {
    pub(crate) scalar: Option<Scalar>,
    pub(crate) list: Option<&'s ListType>,
    pub(crate) map: Option<&'s MapType>,
}

impl Parts<'_> {
    /// Whether two choices from one type are the same choice.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.scalar.is_some() == other.scalar.is_some()
            && self.list.is_some() == other.list.is_some()
            && self.map.is_some() == other.map.is_some()
    }
}

impl<'s> TypeRef<'s> {
    fn at(self, id: TypeId) -> Self {
        Self { table: self.table, id }
    }

    fn get(self) -> &'s Type {
        &self.table.types[self.id.0 as usize]
    }

    /// All shapes of the type.
    pub(crate) fn parts(self) -> Parts<'s> {
        let ty = self.get();
        Parts {
            scalar: ty.scalar,
            list: ty.list.as_ref(),
            map: ty.map.as_ref(),
        }
    }

    /// The shape that a value chooses; all of them for nothing, null, and a value of none of the shapes.
    pub(crate) fn parts_for(self, value: Option<&Value>) -> Parts<'s> {
        let all = self.parts();
        match value {
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) if all.scalar.is_some() => Parts {
                scalar: all.scalar,
                ..Parts::default()
            },
            Some(Value::Array(_)) if all.list.is_some() => Parts {
                list: all.list,
                ..Parts::default()
            },
            Some(Value::Object(_)) if all.map.is_some() => Parts {
                map: all.map,
                ..Parts::default()
            },
            _ => all,
        }
    }

    /// The type of a field in a map of this type.
    pub(crate) fn field(self, name: &str) -> Option<Self> {
        self.get().map.as_ref().and_then(|map| self.field_of(map, name))
    }

    /// The type of a field in one of this type's shapes.
    pub(crate) fn field_of(self, map: &MapType, name: &str) -> Option<Self> {
        let id = map.field(name).map(|field| field.ty).or(map.element)?;
        Some(self.at(id))
    }

    /// The type of what is no declared field in a map of this type.
    pub(crate) fn map_element(self, map: &MapType) -> Option<Self> {
        map.element.map(|id| self.at(id))
    }

    /// The type of the items in a list of this type.
    pub(crate) fn item(self) -> Option<Self> {
        self.get().list.as_ref().map(|list| self.at(list.element))
    }

    /// The type of the items in one of this type's shapes.
    pub(crate) fn item_of(self, list: &ListType) -> Self {
        self.at(list.element)
    }

    /// The default of a field, as a key field of a list item that does not say it.
    pub(crate) fn default_of(self, name: &str) -> Option<&'s Value> {
        self.get().map.as_ref()?.field(name)?.default.as_ref()
    }

    /// Whether this is the type of values without a schema.
    pub(crate) fn is_deduced(self) -> bool {
        self.id == build::DEDUCED
    }

    /// Whether a map has no field and no type of its own, so that its shape was never decided.
    pub(crate) fn is_deduced_map(self, map: &MapType) -> bool {
        map.fields.is_empty() && self.map_element(map).is_some_and(Self::is_deduced)
    }
}
