//! The type of `metadata`, the same in every object. Source: `ObjectMeta` of `k8s.io/apimachinery/pkg/apis/meta/v1`.

use std::sync::Arc;

use super::build::{NUMERIC, STRING, Table};
use super::{Field, ListRelation, ListType, MapRelation, MapType, Type, TypeId};

const STRINGS: [&str; 9] = [
    "creationTimestamp",
    "deletionTimestamp",
    "generateName",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
    "clusterName",
];
const NUMBERS: [&str; 2] = ["deletionGracePeriodSeconds", "generation"];

/// Adds the type to a table.
pub(super) fn add(table: &mut Table) -> TypeId {
    let text_map = table.add(map(Vec::new(), Some(STRING), MapRelation::Granular));
    let finalizers = table.add(list(STRING, ListRelation::Set));
    let owner_fields = ["apiVersion", "kind", "name", "uid"].map(|name| field(name, STRING));
    let owner_flags = ["blockOwnerDeletion", "controller"].map(|name| field(name, super::build::BOOLEAN));
    let owner = owner_fields.into_iter().chain(owner_flags).collect();
    let owner = table.add(map(owner, None, MapRelation::Atomic));
    let owners = table.add(list(owner, ListRelation::Keyed(vec![Arc::from("uid")])));
    let managed_fields = table.add(list(super::build::UNTYPED_ATOMIC, ListRelation::Atomic));

    let mut fields: Vec<Field> = STRINGS.map(|name| field(name, STRING)).into();
    fields.extend(NUMBERS.map(|name| field(name, NUMERIC)));
    fields.extend([
        field("annotations", text_map),
        field("labels", text_map),
        field("finalizers", finalizers),
        field("ownerReferences", owners),
        field("managedFields", managed_fields),
    ]);
    table.add(map(fields, None, MapRelation::Granular))
}

fn field(name: &str, ty: TypeId) -> Field {
    Field {
        name: name.into(),
        ty,
        default: None,
    }
}

fn map(mut fields: Vec<Field>, element: Option<TypeId>, relation: MapRelation) -> Type {
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Type {
        map: Some(MapType {
            fields,
            element,
            relation,
        }),
        ..Type::default()
    }
}

fn list(element: TypeId, relation: ListRelation) -> Type {
    Type {
        list: Some(ListType { element, relation }),
        ..Type::default()
    }
}
