//! What is to be done about an object, from what is known of its owners and dependents. Pure. The rules are those of
//! Kubernetes' garbage collector.

use super::graph::{FOREGROUND, Graph, Node, ORPHAN};

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is there.
    Solid,
    /// It is being deleted, and waits for this dependent to go first.
    Waiting,
    /// The server says that there is no such object, or another one of that name.
    Absent,
    /// It cannot be told: treated as there, since deleting cannot be taken back.
    Unknown,
}

/// What happens to the dependents of what is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// They follow on their own.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing, for now.
    Nothing,
    /// Delete it.
    Delete(Policy),
    /// Take these owners out of its references: they are gone, others are not.
    Strip(Vec<String>),
    /// Take it out of these dependents' references, then drop its finalizer.
    Orphan(Vec<String>),
    /// All it waited for is gone: drop this finalizer.
    Release(&'static str),
}

/// Plans an object. `owners` tells of each of its owners, by uid.
pub(super) fn plan(node: &Node, graph: &Graph, owners: &[(String, Owner)]) -> Plan {
    if node.deleting {
        if node.has_finalizer(ORPHAN) {
            return Plan::Orphan(
                graph
                    .dependents(&node.uid)
                    .map(|dependent| dependent.uid.clone())
                    .collect(),
            );
        }
        if node.has_finalizer(FOREGROUND)
            && !graph
                .dependents(&node.uid)
                .any(|dependent| node.is_blocked_by(dependent))
        {
            return Plan::Release(FOREGROUND);
        }
        return Plan::Nothing;
    }
    if owners.is_empty() {
        return Plan::Nothing;
    }
    let with = |state: Owner| {
        owners
            .iter()
            .filter(move |(_, own)| *own == state)
            .map(|(uid, _)| uid.clone())
    };
    let solid = with(Owner::Solid).chain(with(Owner::Unknown)).next().is_some();
    if solid {
        let dangling: Vec<String> = with(Owner::Absent).chain(with(Owner::Waiting)).collect();
        return if dangling.is_empty() {
            Plan::Nothing
        } else {
            Plan::Strip(dangling)
        };
    }
    if with(Owner::Waiting).next().is_some() && graph.dependents(&node.uid).next().is_some() {
        return Plan::Delete(Policy::Foreground);
    }
    Plan::Delete(if node.has_finalizer(ORPHAN) {
        Policy::Orphan
    } else if node.has_finalizer(FOREGROUND) {
        Policy::Foreground
    } else {
        Policy::Background
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use kube::core::ApiResource;

    use super::*;
    use crate::runtime::Key;

    fn node(uid: &str, owners: &[&str]) -> Node {
        let owner = |uid: &&str| OwnerReference {
            uid: (*uid).to_owned(),
            block_owner_deletion: Some(true),
            ..OwnerReference::default()
        };
        Node {
            api: ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
            key: Key::new("ns", uid),
            uid: uid.to_owned(),
            owners: owners.iter().map(owner).collect(),
            finalizers: Vec::new(),
            deleting: false,
        }
    }

    fn states(list: &[(&str, Owner)]) -> Vec<(String, Owner)> {
        list.iter().map(|(uid, owner)| ((*uid).to_owned(), *owner)).collect()
    }

    #[test]
    fn an_object_goes_only_when_no_owner_is_left() {
        let graph = Graph::default();
        let object = node("x", &["a", "b"]);
        let gone = states(&[("a", Owner::Absent), ("b", Owner::Absent)]);
        assert_eq!(plan(&object, &graph, &gone), Plan::Delete(Policy::Background));
        let one = states(&[("a", Owner::Absent), ("b", Owner::Solid)]);
        assert_eq!(plan(&object, &graph, &one), Plan::Strip(vec!["a".to_owned()]));
        let unsure = states(&[("a", Owner::Unknown), ("b", Owner::Unknown)]);
        assert_eq!(plan(&object, &graph, &unsure), Plan::Nothing);
    }

    #[test]
    fn an_owner_deleted_in_the_foreground_goes_after_its_dependents() {
        let mut graph = Graph::default();
        let mut owner = node("a", &[]);
        owner.deleting = true;
        owner.finalizers = vec![FOREGROUND.to_owned()];
        graph.put(owner.clone());
        let look = graph.put(node("x", &["a"]));
        assert_eq!(look, ["x"]);
        assert_eq!(plan(&owner, &graph, &[]), Plan::Nothing);
        assert_eq!(graph.remove("x"), ["a"], "the owner is looked at again");
        assert_eq!(plan(&owner, &graph, &[]), Plan::Release(FOREGROUND));
    }

    #[test]
    fn dependents_of_an_owner_that_leaves_orphans_are_let_go() {
        let mut graph = Graph::default();
        let mut owner = node("a", &[]);
        owner.deleting = true;
        owner.finalizers = vec![ORPHAN.to_owned()];
        graph.put(node("x", &["a"]));
        let look = graph.put(owner.clone());
        assert_eq!(look, ["a", "x"]);
        assert_eq!(plan(&owner, &graph, &[]), Plan::Orphan(vec!["x".to_owned()]));
    }
}
