//! Many of each over one etcd: three agents, two controller processes, two API servers.

use anyhow::Result;
use breakbulk_tests::cluster::Cluster;
use breakbulk_tests::fleet::{Fleet, Size, node};
use breakbulk_tests::store::Kind;
use breakbulk_tests::wait::{self, Look};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::{Value, json};

const SIZE: Size = Size {
    servers: 2,
    controllers: 2,
    agents: 3,
};

async fn with(test: impl AsyncFnOnce(&mut Fleet) -> Result<()>) -> Result<()> {
    let mut fleet = Box::pin(Fleet::start(Kind::Etcd, SIZE)).await?;
    let done = Box::pin(test(&mut fleet)).await;
    if done.is_err() {
        eprintln!("{}", fleet.said());
    }
    done
}

/// Which of the controller processes leads.
async fn leader(fleet: &Fleet) -> Result<usize> {
    let leases: Api<Lease> = Api::namespaced(fleet.cluster().client.clone(), "kube-system");
    wait::until("a leader", wait::SOON, async || {
        let holder = leases
            .get("breakbulk-controllers")
            .await?
            .spec
            .and_then(|spec| spec.holder_identity);
        let holder = holder.unwrap_or_default();
        let index = (0..SIZE.controllers).find(|index| holder.contains(&format!("controllers-{index}")));
        Ok(Look::some(index, || format!("held by {holder:?}")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_when_the_leading_controllers_are_killed_in_its_middle() -> Result<()> {
    with(async |fleet| {
        let spec = r"
jobs:
  first: { run: echo first }
  wide: { needs: [first], matrix: { axes: { n: [1, 2, 3, 4, 5, 6, 7, 8, 9] } }, run: sleep 0.3 }
  last: { needs: [wide], run: echo last }
";
        fleet.cluster().run("big", spec).await?;
        fleet
            .cluster()
            .run_until("big", "to be in its middle", |run| {
                let status = run.status.clone().unwrap_or_default();
                status.jobs.iter().any(|job| job.job == "wide" && job.job_ref.is_some())
            })
            .await?;
        let leading = leader(fleet).await?;
        fleet.kill_controllers(leading).await?;
        fleet.cluster().succeeded("big").await?;
        let jobs = fleet.cluster().jobs("big").await?;
        assert_eq!(jobs.len(), 11, "one Job each");
        let attempts: usize = jobs
            .iter()
            .filter_map(|job| job.status.as_ref())
            .map(|s| s.attempts.len())
            .sum();
        assert_eq!(attempts, 11, "one attempt each");
        let mut nodes: Vec<_> = jobs.iter().filter_map(|job| job.spec.node_name.clone()).collect();
        nodes.sort();
        nodes.dedup();
        assert_eq!(nodes, [node(0), node(1), node(2)], "the work was spread");
        assert_ne!(leader(fleet).await?, leading, "the other one took over");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_through_one_server_is_seen_through_the_other() -> Result<()> {
    with(async |fleet| {
        let [one, other] = [fleet.clusters[0].clone(), fleet.clusters[1].clone()];
        for index in 0..20 {
            let name = format!("map-{index}");
            let map = serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
            one.post(&map).await?;
            let maps = other.api::<k8s_openapi::api::core::v1::ConfigMap>();
            assert!(maps.get_opt(&name).await?.is_some(), "{name} is there at once");
            let listed = maps.list(&kube::api::ListParams::default()).await?;
            let named = |map: &k8s_openapi::api::core::v1::ConfigMap| map.metadata.name.as_deref() == Some(&name);
            assert!(listed.items.iter().any(named), "{name} is listed at once");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_made_by_one_server_is_good_at_the_other_at_once() -> Result<()> {
    with(async |fleet| {
        let [one, other] = [fleet.clusters[0].clone(), fleet.clusters[1].clone()];
        let post = async |cluster: &Cluster, path: &str, body: Value| -> Result<Value> {
            let request = http::Request::post(path).body(serde_json::to_vec(&body)?)?;
            Ok(cluster.client.request(request).await?)
        };
        for index in 0..10 {
            let name = format!("account-{index}");
            let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
            one.post(&account).await?;
            let path = format!("/api/v1/namespaces/default/serviceaccounts/{name}/token");
            let token = post(&one, &path, json!({ "spec": {} })).await?["status"]["token"].clone();
            let review = json!({ "spec": { "token": token } });
            let reviewed = post(&other, "/apis/authentication.k8s.io/v1/tokenreviews", review).await?;
            assert_eq!(reviewed["status"]["authenticated"], true, "{reviewed}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_node_that_is_lost_are_tried_again_elsewhere() -> Result<()> {
    with(async |fleet| {
        let spec = r"
jobs:
  only:
    retry: { limit: 3, reasons: [NodeLost] }
    run: |
      echo attempt $CI_RUN_ATTEMPT
      [ $CI_RUN_ATTEMPT -gt 1 ] || sleep 1000
";
        fleet.cluster().run("moving", spec).await?;
        let job = fleet
            .cluster()
            .job_until("moving-only", "to be claimed", |job| job.last_attempt().is_some())
            .await?;
        let lost = job
            .last_attempt()
            .map(|attempt| attempt.node.clone())
            .unwrap_or_default();
        let index = (0..SIZE.agents).find(|index| node(*index) == lost).unwrap_or_default();
        fleet.kill_agent(index).await?;
        fleet.kill_shims(index);
        fleet.cluster().succeeded("moving").await?;
        let job = fleet.cluster().job("moving", "only").await?;
        let nodes: Vec<_> = job
            .status
            .unwrap_or_default()
            .attempts
            .iter()
            .map(|a| a.node.clone())
            .collect();
        assert_eq!(nodes.len(), 2);
        assert_ne!(nodes[1], lost);
        Ok(())
    })
    .await
}
