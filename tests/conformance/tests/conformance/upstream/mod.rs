//! The ported tests, by upstream's groups: a table of names and functions each.

mod admission_policy;
mod chunking;
mod definitions;
mod discovery;
mod events;
mod field_validation;
mod garbage_collector;
mod identity;
mod leases;
mod namespaces;
mod publish_openapi;
mod quota;
mod tools;
mod watchers;

use std::collections::BTreeSet;

use anyhow::Result;
use breakbulk_conformance::checklist::{self, State};
use breakbulk_conformance::suite::{self, Test};
use breakbulk_tests::fleet::{Fleet, Size};
use breakbulk_tests::store::Kind;

const GROUPS: &[&[Test]] = &[
    admission_policy::TESTS,
    chunking::TESTS,
    definitions::TESTS,
    discovery::TESTS,
    events::TESTS,
    field_validation::TESTS,
    garbage_collector::TESTS,
    identity::TESTS,
    leases::TESTS,
    namespaces::TESTS,
    publish_openapi::TESTS,
    quota::TESTS,
    tools::TESTS,
    watchers::TESTS,
];

const SIZE: Size = Size {
    servers: 1,
    controllers: 1,
    agents: 0,
};

async fn conforms(kind: Kind, store: &str) -> Result<()> {
    let fleet = Box::pin(Fleet::start(kind, SIZE)).await?;
    let tests: Vec<Test> = GROUPS.concat();
    let concluded = suite::run(fleet.cluster(), &tests).await?.conclude(store);
    if concluded.is_err() {
        println!("{}", fleet.said());
    }
    concluded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_tests_pass_on_the_embedded_store() {
    conforms(Kind::Embedded, "the embedded store").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_tests_pass_on_etcd() {
    conforms(Kind::Etcd, "etcd").await.unwrap();
}

#[test]
fn the_list_names_every_test_once_and_says_what_became_of_it() {
    let list = checklist::all().unwrap();
    let names: BTreeSet<&str> = list.iter().map(|line| line.name).collect();
    assert_eq!(names.len(), list.len(), "a name stands twice in the list");
    let tests: Vec<&str> = GROUPS.concat().iter().map(|test| test.name).collect();
    let unique: BTreeSet<&str> = tests.iter().copied().collect();
    assert_eq!(unique.len(), tests.len(), "a test stands twice in the tables");
    for test in &tests {
        let line = list.iter().find(|line| line.name == *test);
        let state = line.map(|line| line.state);
        assert!(
            matches!(state, Some(State::Ported | State::Waiting)),
            "{test}: {state:?} in the list"
        );
    }
    for line in list.iter().filter(|line| line.state == State::Ported) {
        assert!(
            unique.contains(line.name),
            "in the list as ported, but not in a table: {}",
            line.name
        );
    }
}
