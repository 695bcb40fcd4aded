//! Field sets seen through a schema: bringing old ones up to date with it, and naming the parents that it declares.

use std::sync::Arc;

use crate::fieldpath::{Branch, FieldSet, Node, PathElement};
use crate::schema::{MapRelation, Parts, TypeRef};

/// The set as it would be had the type always been as it is now, or nothing when it already is.
///
/// What has become atomic is owned as a whole by whoever owned a part of it. What has become granular needs nothing.
pub(crate) fn reconcile(ty: TypeRef<'_>, set: &FieldSet) -> Option<FieldSet> {
    let reconciled = below(ty, set);
    (reconciled != *set).then_some(reconciled)
}

fn below(ty: TypeRef<'_>, set: &FieldSet) -> FieldSet {
    let mut found = Branch::default();
    for node in set.nodes() {
        let child = Branch {
            member: node.member,
            below: node.below.as_deref().cloned().unwrap_or_default(),
        };
        found.attach(&node.element, branch(child_type(ty, &node.element), child));
    }
    found.below
}

fn child_type<'s>(ty: TypeRef<'s>, element: &PathElement) -> Option<TypeRef<'s>> {
    match (ty.parts(), element) {
        (Parts { map: Some(map), .. }, PathElement::Field(name)) => ty.field_of(map, name),
        (Parts { map: Some(map), .. }, _) => ty.map_element(map),
        (Parts { scalar: Some(_), .. }, _) => None,
        (Parts { list: Some(list), .. }, _) => Some(ty.item_of(list)),
        _ => None,
    }
}

fn branch(ty: Option<TypeRef<'_>>, branch: Branch) -> Branch {
    let Some(ty) = ty.filter(|_| !branch.below.is_empty()) else {
        return branch;
    };
    let atomic = match ty.parts() {
        // Without a schema there never was anything else.
        Parts { map: Some(map), .. } if ty.is_deduced_map(map) => return branch,
        Parts { map: Some(map), .. } => map.relation == MapRelation::Atomic,
        Parts { scalar: Some(_), .. } => return branch,
        Parts { list: Some(list), .. } => list.is_atomic(),
        _ => return branch,
    };
    if atomic {
        return Branch {
            member: true,
            below: FieldSet::new(),
        };
    }
    Branch {
        member: branch.member,
        below: below(ty, &branch.below),
    }
}

/// The set with the declared fields on the way to its paths, which sets usually leave to be understood.
pub(crate) fn ensure_named_fields(ty: TypeRef<'_>, set: &FieldSet) -> FieldSet {
    named(Some(ty), set)
}

fn named(ty: Option<TypeRef<'_>>, set: &FieldSet) -> FieldSet {
    let parts = ty.map(TypeRef::parts).unwrap_or_default();
    let nodes = set.nodes().iter().map(|node| {
        let Some(below) = &node.below else { return node.clone() };
        let declared = match &node.element {
            PathElement::Field(name) => parts.map.is_some_and(|map| map.declares(name)),
            _ => false,
        };
        let child = match &node.element {
            PathElement::Field(name) => ty.zip(parts.map).and_then(|(ty, map)| ty.field_of(map, name)),
            PathElement::Key(_) => ty.and_then(TypeRef::item),
            PathElement::Value(_) | PathElement::Index(_) => None,
        };
        let below = Some(Arc::new(named(child, below)));
        Node {
            element: node.element.clone(),
            member: node.member || declared,
            below,
        }
    });
    FieldSet::from_nodes(nodes.collect())
}
