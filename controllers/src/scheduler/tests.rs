//! The scheduler's plan against worlds of many nodes and jobs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use breakbulk_schemas::Scalar;
use breakbulk_schemas::job::{Job, JobConcurrency, JobSpec};
use breakbulk_schemas::pipeline::{ConcurrencyPolicy, Resources};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::node::{Amount, NodeView, SLOTS};
use super::plan::{Plan, plan};
use crate::runtime::{Change, Key};

fn node(name: &str, cpu: &str, slots: u32) -> Node {
    let amounts = [
        ("cpu", cpu.to_owned()),
        ("memory", "8Gi".to_owned()),
        (SLOTS, slots.to_string()),
    ];
    let condition = NodeCondition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        ..NodeCondition::default()
    };
    let mut node = Node {
        spec: Some(NodeSpec::default()),
        status: Some(NodeStatus {
            allocatable: Some(
                amounts
                    .into_iter()
                    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
                    .collect(),
            ),
            conditions: Some(vec![condition]),
            ..NodeStatus::default()
        }),
        ..Node::default()
    };
    node.metadata.name = Some(name.to_owned());
    node
}

fn job(namespace: &str, name: &str, age: i64) -> Job {
    let mut job = Job::new(
        name,
        JobSpec {
            script: "true".to_owned(),
            attempt: 1,
            ..JobSpec::default()
        },
    );
    job.metadata.namespace = Some(namespace.to_owned());
    job.metadata.uid = Some(format!("{namespace}/{name}"));
    job.metadata.creation_timestamp = Some(Time(Timestamp::from_second(age).unwrap()));
    job
}

#[derive(Default)]
struct World {
    ledger: Ledger,
    jobs: HashMap<Key, Arc<Job>>,
}

impl World {
    fn put(&mut self, job: Job) {
        let key = Key::of(&job);
        let new = Arc::new(job);
        let old = self.jobs.insert(key.clone(), Arc::clone(&new));
        self.ledger.changed(&Change {
            key: &key,
            old: old.as_ref(),
            new: Some(&new),
        });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.jobs.remove(key) {
            self.ledger.changed(&Change {
                key,
                old: Some(&old),
                new: None,
            });
        }
    }

    fn plan(&self, nodes: &[Node]) -> Plan {
        let nodes: Vec<_> = nodes.iter().map(NodeView::of).collect();
        plan(&self.ledger, &nodes, |_, _, _| false, 1000, Instant::now())
    }
}

fn names(plan: &Plan) -> Vec<String> {
    plan.bind.iter().map(|(key, _)| key.name.clone()).collect()
}

fn only_wait(plan: &Plan) -> &str {
    assert_eq!(plan.waits.len(), 1, "{plan:?}");
    plan.waits.values().next().unwrap()
}

#[test]
fn jobs_spread_over_the_nodes() {
    let mut world = World::default();
    (0..4).for_each(|n| world.put(job("ns", &format!("j{n}"), n)));
    let plan = world.plan(&[node("a", "2", 8), node("b", "2", 8)]);
    let on_a = plan.bind.iter().filter(|(_, node)| node == "a").count();
    assert_eq!((plan.bind.len(), on_a), (4, 2));
}

#[test]
fn priority_goes_before_age_and_a_namespace_with_little_running_before_one_with_much() {
    let mut world = World::default();
    world.put(job("big", "old-1", 1));
    world.put(job("big", "old-2", 2));
    world.put(job("small", "young", 9));
    let mut urgent = job("big", "urgent", 10);
    urgent.spec.priority = Some(5);
    world.put(urgent);
    assert_eq!(
        names(&world.plan(&[node("a", "4", 8)])),
        ["urgent", "young", "old-1", "old-2"]
    );
}

#[test]
fn what_a_job_waits_for_is_told_with_counts() {
    let mut world = World::default();
    let mut running = job("ns", "running", 1);
    running.spec.node_name = Some("a".to_owned());
    running.spec.resources = Resources {
        cpu: Some(Scalar::Int(2)),
        memory: None,
    };
    world.put(running.clone());
    let mut other = running.clone();
    other.metadata.name = Some("other".to_owned());
    other.spec.node_name = Some("b".to_owned());
    world.put(other);
    world.put(job("ns", "waits", 2));
    let mut cordoned = node("c", "2", 8);
    cordoned.spec.get_or_insert_default().unschedulable = Some(true);
    let plan = world.plan(&[node("a", "2", 8), node("b", "2", 8), cordoned]);
    assert_eq!(only_wait(&plan), "0/3 nodes fit: 2 busy (cpu), 1 cordoned");
    assert_eq!(only_wait(&world.plan(&[])), "0/0 nodes fit: there are no nodes");
}

#[test]
fn labels_taints_and_size_are_respected() {
    let mut world = World::default();
    let mut picky = job("ns", "picky", 1);
    picky.spec.node_selector = BTreeMap::from([("disk".to_owned(), "fast".to_owned())]);
    world.put(picky);
    assert_eq!(
        only_wait(&world.plan(&[node("a", "2", 8)])),
        "0/1 nodes fit: 1 without the labels asked for"
    );
    let mut tainted = node("b", "2", 8);
    tainted.metadata.labels = Some(BTreeMap::from([("disk".to_owned(), "fast".to_owned())]));
    let taint = Taint {
        key: "gpu".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    tainted.spec.get_or_insert_default().taints = Some(vec![taint]);
    assert_eq!(
        only_wait(&world.plan(&[tainted.clone()])),
        "0/1 nodes fit: 1 tainted (gpu)"
    );
    let mut tolerant = job("ns", "picky", 1);
    tolerant.spec.node_selector = BTreeMap::from([("disk".to_owned(), "fast".to_owned())]);
    let toleration = Toleration {
        key: Some("gpu".to_owned()),
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    };
    tolerant.spec.tolerations = vec![toleration];
    world.put(tolerant);
    assert_eq!(names(&world.plan(&[tainted])), ["picky"]);
    let mut huge = job("ns", "picky", 1);
    huge.spec.resources = Resources {
        cpu: Some(Scalar::Int(64)),
        memory: None,
    };
    world.put(huge);
    assert_eq!(
        only_wait(&world.plan(&[node("a", "2", 8)])),
        "0/1 nodes fit: 1 too small (cpu)"
    );
}

#[test]
fn a_job_without_its_place_in_a_group_holds_nobody_up() {
    let mut world = World::default();
    let mut waits = job("ns", "waits", 1);
    waits.spec.concurrency = Some(JobConcurrency {
        group: "g".to_owned(),
        limit: 1,
        policy: ConcurrencyPolicy::Queue,
    });
    world.put(waits.clone());
    let mut holds = waits;
    holds.metadata.name = Some("holds".to_owned());
    holds.metadata.uid = Some("h".to_owned());
    world.put(holds);
    world.put(job("ns", "free", 3));
    let nodes = [NodeView::of(&node("a", "2", 8))];
    let plan = plan(
        &world.ledger,
        &nodes,
        |_, group, uid| group == "g" && uid == "h",
        1000,
        Instant::now(),
    );
    let mut bound = names(&plan);
    bound.sort();
    assert_eq!(bound, ["free", "holds"]);
}

#[test]
fn a_binding_under_way_is_taken_for_done_until_it_is_answered() {
    let mut world = World::default();
    world.put(job("ns", "j", 1));
    let nodes = [node("a", "2", 1)];
    let key = Key::new("ns", "j");
    world.ledger.bind(&key, "a");
    assert!(world.plan(&nodes).bind.is_empty());
    // Something else of the job changes meanwhile.
    world.put(job("ns", "j", 1));
    assert!(world.plan(&nodes).bind.is_empty());
    let refused = Arc::clone(&world.jobs[&key]);
    world.ledger.answered(&key, Some(&refused));
    assert_eq!(world.plan(&nodes).bind.len(), 1);
}

#[test]
fn a_job_that_a_node_gave_back_goes_elsewhere_and_holds_up_nobody() {
    let mut world = World::default();
    let mut bound = job("ns", "j", 1);
    bound.spec.node_name = Some("a".to_owned());
    world.put(bound);
    world.put(job("ns", "j", 1));
    world.put(job("ns", "other", 2));
    let plan = world.plan(&[node("a", "2", 8)]);
    assert_eq!(names(&plan), ["other"], "the only node has just given it back");
    let plan = world.plan(&[node("a", "2", 8), node("b", "2", 8)]);
    assert!(plan.bind.contains(&(Key::new("ns", "j"), "b".to_owned())), "{plan:?}");
}

#[test]
fn ten_thousand_waiting_jobs_cost_one_pass_little() {
    let mut world = World::default();
    (0..10_000).for_each(|n| world.put(job(&format!("ns{}", n % 7), &format!("j{n}"), n)));
    let nodes: Vec<_> = (0..20).map(|n| node(&format!("n{n}"), "2", 8)).collect();
    // Twenty nodes with room for eight each: the rest waits, for one reason that is found once.
    let plan = world.plan(&nodes);
    assert_eq!((plan.bind.len(), plan.waits.len()), (160, 1));
}

#[derive(Clone, Debug)]
enum Step {
    Create { namespace: u8, cpu: u8, priority: i8 },
    Pass { lost: bool },
    End(u8),
    Resync(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 1..4u8, -2..3i8).prop_map(|(namespace, cpu, priority)| Step::Create { namespace, cpu, priority }),
        3 => any::<bool>().prop_map(|lost| Step::Pass { lost }),
        2 => any::<u8>().prop_map(Step::End),
        1 => any::<u8>().prop_map(Step::Resync),
    ]
}

proptest! {
    /// Whatever comes and goes: no node is ever asked for more than it offers, a job is bound at most once, a pass
    /// leaves nothing waiting that fits, and a ledger built anew from the objects is the same as the one kept.
    #[test]
    fn no_node_is_overfilled_and_nothing_that_fits_waits(steps in prop::collection::vec(step(), 1..80)) {
        let nodes = [node("a", "500m", 3), node("b", "300m", 8)];
        let views: Vec<_> = nodes.iter().map(NodeView::of).collect();
        let mut world = World::default();
        let mut count = 0;
        for step in steps {
            match step {
                Step::Create { namespace, cpu, priority } => {
                    count += 1;
                    let mut job = job(&format!("ns{namespace}"), &format!("j{count}"), count);
                    job.spec.resources.cpu = Some(Scalar::from(format!("{}m", u32::from(cpu) * 100)));
                    job.spec.priority = Some(i32::from(priority));
                    world.put(job);
                }
                Step::Pass { lost } => {
                    let plan = world.plan(&nodes);
                    for (key, node) in &plan.bind {
                        prop_assert!(world.jobs[key].spec.node_name.is_none(), "bound twice");
                        world.ledger.bind(key, node);
                        let mut job = (*world.jobs[key]).clone();
                        if !lost {
                            job.spec.node_name = Some(node.clone());
                        }
                        world.ledger.answered(key, Some(&job));
                        world.jobs.insert(key.clone(), Arc::new(job));
                    }
                    if !lost {
                        prop_assert!(world.plan(&nodes).bind.is_empty(), "something that fits waits");
                    }
                }
                Step::End(which) => {
                    let mut bound: Vec<_> = world.jobs.values().filter(|job| job.spec.node_name.is_some()).map(|job| Key::of(&**job)).collect();
                    bound.sort();
                    if !bound.is_empty() {
                        let key = bound[usize::from(which) % bound.len()].clone();
                        world.remove(&key);
                    }
                }
                Step::Resync(which) => {
                    let mut keys: Vec<_> = world.jobs.keys().cloned().collect();
                    keys.sort();
                    if !keys.is_empty() {
                        let same = (*world.jobs[&keys[usize::from(which) % keys.len()]]).clone();
                        world.put(same);
                    }
                }
            }
            let mut used: HashMap<String, Amount> = HashMap::new();
            let mut anew = World::default();
            for job in world.jobs.values() {
                if let Some(node) = &job.spec.node_name {
                    used.entry(node.clone()).or_default().add(super::shape::Shape::of(&job.spec).wants);
                }
                anew.put((**job).clone());
            }
            for view in &views {
                let used = used.get(&view.name).copied().unwrap_or_default();
                prop_assert!(used.cpu <= view.offers.cpu && used.slots <= view.offers.slots, "{} overfilled", view.name);
            }
            prop_assert_eq!(anew.ledger.used(), world.ledger.used());
            prop_assert_eq!(anew.ledger.queues(), world.ledger.queues());
            prop_assert_eq!(anew.ledger.running(), world.ledger.running());
        }
    }
}
