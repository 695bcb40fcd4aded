//! Both stores keep the promises of the trait.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use breakbulk_store::conformance::{CASES, Case};
use breakbulk_store::embedded::{Embedded, Options};
use breakbulk_store::etcd::Etcd;
use breakbulk_store::testing::EtcdServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_conforms() {
    for (name, case) in CASES {
        println!("{name}");
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path(), Options::default()).unwrap();
        case(&store).await;
    }
}

async fn conforms_on_etcd(cases: &[Case]) {
    for (name, case) in cases {
        println!("{name}");
        let server = EtcdServer::start().await.unwrap();
        let store = Etcd::connect(&server.options()).await.unwrap();
        case(&store).await;
    }
}

// In halves, since each case has a server of its own and two can run beside each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_on_etcd_conforms_first_half() {
    conforms_on_etcd(&CASES[..CASES.len() / 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_on_etcd_conforms_second_half() {
    conforms_on_etcd(&CASES[CASES.len() / 2..]).await;
}
