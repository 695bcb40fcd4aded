//! Small worlds: a few objects that own each other in any way, circles too; one is deleted in some way, and the plans are
//! carried out in any order, as a server would, until there is nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ApiResource;
use proptest::prelude::*;

use super::super::graph::{FOREGROUND, Graph, Node, ORPHAN};
use super::{Owner, Plan, Policy, plan};
use crate::runtime::Key;

/// More steps than a world of this size can need: a plan that undoes another would run for ever.
const STEPS: usize = 500;

struct World {
    nodes: BTreeMap<String, Node>,
}

impl World {
    fn new(owners: &[BTreeMap<usize, bool>]) -> Self {
        let mut nodes = BTreeMap::new();
        for (index, owners) in owners.iter().enumerate() {
            let reference = |(owner, block): (&usize, &bool)| OwnerReference {
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                name: owner.to_string(),
                uid: owner.to_string(),
                block_owner_deletion: Some(*block),
                ..OwnerReference::default()
            };
            let node = Node {
                api: ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
                key: Key::new("ns", index.to_string()),
                uid: index.to_string(),
                owners: owners.iter().map(reference).collect(),
                finalizers: Vec::new(),
                deleting: false,
            };
            nodes.insert(node.uid.clone(), node);
        }
        Self { nodes }
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for node in self.nodes.values() {
            graph.put(node.clone());
        }
        graph
    }

    fn owners(&self, node: &Node) -> Vec<(String, Owner)> {
        let state = |reference: &OwnerReference| match self.nodes.get(&reference.uid) {
            None => Owner::Absent,
            Some(owner) if owner.waits() => Owner::Waiting,
            Some(_) => Owner::Solid,
        };
        node.owners
            .iter()
            .map(|owner| (owner.uid.clone(), state(owner)))
            .collect()
    }

    /// As the server deletes.
    fn delete(&mut self, uid: &str, policy: Policy) {
        let Some(node) = self.nodes.get_mut(uid) else { return };
        node.finalizers.retain(|own| own != FOREGROUND && own != ORPHAN);
        match policy {
            Policy::Foreground => node.finalizers.push(FOREGROUND.to_owned()),
            Policy::Orphan => node.finalizers.push(ORPHAN.to_owned()),
            Policy::Background => {}
        }
        node.deleting = true;
        self.sweep(uid);
    }

    fn sweep(&mut self, uid: &str) {
        if self
            .nodes
            .get(uid)
            .is_some_and(|node| node.deleting && node.finalizers.is_empty())
        {
            self.nodes.remove(uid);
        }
    }

    fn plan(&self, uid: &str) -> Plan {
        let node = &self.nodes[uid];
        let owners = if node.deleting { Vec::new() } else { self.owners(node) };
        plan(node, &self.graph(), &owners)
    }

    fn carry_out(&mut self, uid: &str, plan: Plan) {
        match plan {
            Plan::Nothing => {}
            Plan::Delete(policy) => self.delete(uid, policy),
            Plan::Unblock => {
                for owner in &mut self.nodes.get_mut(uid).unwrap().owners {
                    owner.block_owner_deletion = Some(false);
                }
                self.delete(uid, Policy::Foreground);
            }
            Plan::Strip(gone) => self
                .nodes
                .get_mut(uid)
                .unwrap()
                .owners
                .retain(|own| !gone.contains(&own.uid)),
            Plan::Orphan(dependents) => {
                for dependent in dependents {
                    self.nodes
                        .get_mut(&dependent)
                        .unwrap()
                        .owners
                        .retain(|own| own.uid != uid);
                }
                self.drop_finalizer(uid, ORPHAN);
            }
            Plan::Release(finalizer) => self.drop_finalizer(uid, finalizer),
        }
    }

    fn drop_finalizer(&mut self, uid: &str, finalizer: &str) {
        self.nodes
            .get_mut(uid)
            .unwrap()
            .finalizers
            .retain(|own| own != finalizer);
        self.sweep(uid);
    }

    /// Until nothing is left to do. `order` chooses who is looked at next.
    fn settle(&mut self, order: &[usize]) -> Result<(), TestCaseError> {
        for step in 0..STEPS {
            let busy: Vec<(String, Plan)> = self
                .nodes
                .keys()
                .map(|uid| (uid.clone(), self.plan(uid)))
                .filter(|(_, plan)| *plan != Plan::Nothing)
                .collect();
            if busy.is_empty() {
                return Ok(());
            }
            let (uid, plan) = busy[order[step % order.len()] % busy.len()].clone();
            self.carry_out(&uid, plan);
        }
        Err(TestCaseError::fail("it never settles"))
    }
}

/// Whom each of some objects belongs to, and whether it blocks.
fn owners() -> impl Strategy<Value = Vec<BTreeMap<usize, bool>>> {
    (2..6usize).prop_flat_map(|count| {
        let one = prop::collection::btree_map(0..count, any::<bool>(), 0..3);
        prop::collection::vec(one, count)
    })
}

/// What is left when `root` is gone: what had no owner at all, and what an object that is left owns. A circle holds itself.
fn left(owners: &[BTreeMap<usize, bool>], root: usize) -> BTreeSet<usize> {
    let mut left: BTreeSet<usize> = (0..owners.len()).filter(|index| *index != root).collect();
    loop {
        let kept = left
            .iter()
            .copied()
            .filter(|index| owners[*index].is_empty() || owners[*index].keys().any(|owner| left.contains(owner)));
        let kept: BTreeSet<usize> = kept.collect();
        if kept == left {
            return left;
        }
        left = kept;
    }
}

fn uids(world: &World) -> BTreeSet<usize> {
    world.nodes.keys().map(|uid| uid.parse().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_no_owner_is_left_of_goes_and_all_else_stays(
        owners in owners(), root in any::<prop::sample::Index>(), order in prop::collection::vec(any::<usize>(), 1..40),
    ) {
        let root = root.index(owners.len());
        let mut world = World::new(&owners);
        world.delete(&root.to_string(), Policy::Background);
        world.settle(&order)?;
        prop_assert_eq!(uids(&world), left(&owners, root));
    }

    #[test]
    fn a_deletion_in_the_foreground_ends_and_takes_no_more_than_one_in_the_background_and_its_circles(
        owners in owners(), root in any::<prop::sample::Index>(), order in prop::collection::vec(any::<usize>(), 1..40),
    ) {
        let root = root.index(owners.len());
        let mut world = World::new(&owners);
        world.delete(&root.to_string(), Policy::Foreground);
        world.settle(&order)?;
        let ends = uids(&world);
        prop_assert!(!ends.contains(&root), "{ends:?}");
        prop_assert!(ends.is_subset(&left(&owners, root)), "{ends:?}");
        prop_assert!(world.nodes.values().all(|node| !node.deleting), "something hangs");
        let free = (0..owners.len()).filter(|index| *index != root && owners[*index].is_empty());
        for index in free {
            prop_assert!(ends.contains(&index), "{index} had no owner and went");
        }
    }

    #[test]
    fn all_that_is_deleted_in_the_foreground_goes(
        owners in owners(), order in prop::collection::vec(any::<usize>(), 1..40),
    ) {
        let mut world = World::new(&owners);
        for index in 0..owners.len() {
            world.delete(&index.to_string(), Policy::Foreground);
        }
        world.settle(&order)?;
        prop_assert!(world.nodes.is_empty(), "{:?}", uids(&world));
    }

    #[test]
    fn orphans_stay(
        owners in owners(), root in any::<prop::sample::Index>(), order in prop::collection::vec(any::<usize>(), 1..40),
    ) {
        let root = root.index(owners.len());
        let mut world = World::new(&owners);
        world.delete(&root.to_string(), Policy::Orphan);
        world.settle(&order)?;
        let all: BTreeSet<usize> = (0..owners.len()).filter(|index| *index != root).collect();
        prop_assert_eq!(uids(&world), all);
    }
}
