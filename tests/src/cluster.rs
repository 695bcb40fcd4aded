//! What a client sees, whatever processes are behind it: objects, runs and their jobs, logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use breakbulk_client::Connection;
use breakbulk_schemas::condition::{self, SUCCEEDED, Truth};
use breakbulk_schemas::{Job, PipelineRun, Scalar, labels};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::manifest;
use crate::wait::{self, Look};

/// The namespace tests work in.
pub const NAMESPACE: &str = "default";

/// A server's client side.
#[derive(Clone)]
pub struct Cluster {
    /// For typed access.
    pub client: Client,
    /// For programs.
    pub kubeconfig: PathBuf,
}

/// How a run ended, for assertions.
#[derive(Debug)]
pub struct Ended {
    /// The run.
    pub run: PipelineRun,
    /// The reason of its `Succeeded` condition.
    pub reason: String,
    /// The message of it.
    pub message: String,
    /// Its jobs by the name in the run's summary: state and, where there is one, exit code.
    pub jobs: BTreeMap<String, String>,
}

impl Cluster {
    /// Connects with a kubeconfig's credentials.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn connect(kubeconfig: &Path) -> Result<Self> {
        let client = Connection::file(kubeconfig).client().await.context("cannot connect")?;
        Ok(Self {
            client,
            kubeconfig: kubeconfig.to_path_buf(),
        })
    }

    /// Objects of a kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Creates every document of a manifest.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn create(&self, manifest: &str) -> Result<()> {
        for document in manifest::documents(manifest)? {
            self.post(&document).await?;
        }
        Ok(())
    }

    /// Creates one object and gives what the server made of it.
    ///
    /// # Errors
    /// The server's refusal, as a [`kube::Error`].
    pub async fn post(&self, object: &Value) -> Result<Value> {
        let path = collection(object)?;
        let body = serde_json::to_vec(object).context("an object is not JSON")?;
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(body);
        Ok(self.client.request(request.context("a bad request")?).await?)
    }

    /// Starts a run of an inline pipeline, given as the YAML of its spec.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn run(&self, name: &str, pipeline: &str) -> Result<()> {
        let run = json!({
            "apiVersion": "breakbulk.dev/v1", "kind": "PipelineRun", "metadata": { "name": name },
            "spec": { "pipelineSpec": manifest::document(pipeline)? },
        });
        self.post(&run)
            .await
            .with_context(|| format!("cannot start run {name}"))
            .map(drop)
    }

    /// Starts a run of a Pipeline.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn run_pipeline(&self, name: &str, pipeline: &str, params: &[(&str, &str)]) -> Result<()> {
        let params: BTreeMap<&str, Scalar> = params.iter().map(|(key, value)| (*key, Scalar::from(*value))).collect();
        let run = json!({
            "apiVersion": "breakbulk.dev/v1", "kind": "PipelineRun", "metadata": { "name": name },
            "spec": { "pipelineRef": { "name": pipeline }, "params": params },
        });
        self.post(&run)
            .await
            .with_context(|| format!("cannot start run {name}"))
            .map(drop)
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn cancel(&self, run: &str) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "cancel": true } }));
        self.api::<PipelineRun>()
            .patch(run, &PatchParams::default(), &patch)
            .await
            .context("cannot cancel")?;
        Ok(())
    }

    /// Waits until a run satisfies a condition.
    ///
    /// # Errors
    /// When it does not for long.
    pub async fn run_until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&PipelineRun) -> bool,
    ) -> Result<PipelineRun> {
        let api = self.api::<PipelineRun>();
        wait::until(format!("run {name}: {what}"), wait::SOON, async || {
            let run = api.get(name).await?;
            if wanted(&run) {
                Ok(Look::Done(run))
            } else {
                Ok(Look::NotYet(json!(run.status).to_string()))
            }
        })
        .await
    }

    /// Waits until a job satisfies a condition.
    ///
    /// # Errors
    /// When it does not for long.
    pub async fn job_until(&self, name: &str, what: &str, wanted: impl Fn(&Job) -> bool) -> Result<Job> {
        let api = self.api::<Job>();
        wait::until(format!("job {name}: {what}"), wait::SOON, async || {
            let job = api.get(name).await?;
            if wanted(&job) {
                Ok(Look::Done(job))
            } else {
                Ok(Look::NotYet(json!(job.status).to_string()))
            }
        })
        .await
    }

    /// Waits until a script is running.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn job_running(&self, name: &str) -> Result<Job> {
        // The log says it more surely than the status, whose start time may be written together with the end.
        let api = self.api::<Job>();
        wait::until(format!("job {name} to write to its log"), wait::SOON, async || {
            let job = api.get(name).await?;
            let text = self.log(name, "").await.unwrap_or_default();
            let state = || json!(job.status).to_string();
            Ok(Look::some((!text.is_empty()).then(|| job.clone()), state))
        })
        .await
    }

    /// Waits until a run has ended.
    ///
    /// # Errors
    /// When it does not for long.
    pub async fn ended(&self, name: &str) -> Result<Ended> {
        let done = |run: &PipelineRun| truth(run) != Truth::Unknown;
        let run = self.run_until(name, "to end", done).await?;
        let status = run.status.clone().unwrap_or_default();
        let succeeded = condition::find(&status.conditions, SUCCEEDED).context("no condition")?;
        let (reason, message) = (succeeded.reason.clone(), succeeded.message.clone());
        let jobs = status
            .jobs
            .iter()
            .map(|job| (job.name.clone(), format!("{:?}", job.state)))
            .collect();
        Ok(Ended {
            run,
            reason,
            message,
            jobs,
        })
    }

    /// Waits until a run has ended well.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn succeeded(&self, name: &str) -> Result<Ended> {
        let ended = self.ended(name).await?;
        if ended.reason != "Succeeded" {
            bail!(
                "run {name} ended as {}: {}; {:?}",
                ended.reason,
                ended.message,
                ended.jobs
            );
        }
        Ok(ended)
    }

    /// The Jobs of a run, in the order of their creation.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn jobs(&self, run: &str) -> Result<Vec<Job>> {
        let selector = ListParams::default().labels(&format!("{}={run}", labels::RUN));
        let mut jobs = self
            .api::<Job>()
            .list(&selector)
            .await
            .context("cannot list jobs")?
            .items;
        jobs.sort_by_key(|job| job.metadata.creation_timestamp.clone());
        Ok(jobs)
    }

    /// The Job of a run's job.
    ///
    /// # Errors
    /// When there is none.
    pub async fn job(&self, run: &str, job: &str) -> Result<Job> {
        let named = |j: &&Job| {
            j.metadata
                .labels
                .as_ref()
                .and_then(|l| l.get(labels::JOB))
                .is_some_and(|l| l == job)
        };
        let jobs = self.jobs(run).await?;
        jobs.iter()
            .find(named)
            .cloned()
            .with_context(|| format!("run {run} has no job {job}"))
    }

    /// A job's log, as it stands: `query` is the URL's.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn log(&self, job: &str, query: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.log_bytes(&format!("jobs/{job}"), query).await?).into_owned())
    }

    /// The log of a job (`jobs/NAME`) or a run (`pipelineruns/NAME`), byte by byte.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn log_bytes(&self, of: &str, query: &str) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut stream = self.log_stream(of, query).await?;
        while let Some(bytes) = stream.try_next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// The same as it comes.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn log_stream(
        &self,
        of: &str,
        query: &str,
    ) -> Result<futures::stream::BoxStream<'static, Result<Bytes>>> {
        let path = format!("/apis/breakbulk.dev/v1/namespaces/{NAMESPACE}/{of}/log?{query}");
        let request = http::Request::get(path)
            .header("accept-encoding", "identity")
            .body(Body::empty())?;
        let response = self.client.send(request).await?;
        if !response.status().is_success() {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            bail!("log of {of}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(response
            .into_body()
            .into_data_stream()
            .map_err(anyhow::Error::from)
            .boxed())
    }

    /// A job's log once it is complete: follows it to its end.
    ///
    /// # Errors
    /// When it does not end for long.
    pub async fn whole_log(&self, job: &str) -> Result<String> {
        let bytes = self.whole_log_bytes(job).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The same byte by byte.
    ///
    /// # Errors
    /// When it does not end for long.
    pub async fn whole_log_bytes(&self, job: &str) -> Result<Vec<u8>> {
        let of = format!("jobs/{job}");
        let whole = self.log_bytes(&of, "follow=true");
        tokio::time::timeout(wait::SOON, whole)
            .await
            .with_context(|| format!("the log of {job} does not end"))?
    }

    /// Waits until the server answers.
    ///
    /// # Errors
    /// When it does not for long.
    pub async fn answers(&self) -> Result<()> {
        wait::until("the server to answer", wait::SOON, async || {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            Ok(Look::Done(self.client.request_text(request).await.map(drop)?))
        })
        .await
    }

    /// Waits until so many nodes are ready.
    ///
    /// # Errors
    /// When they are not for long.
    pub async fn nodes_ready(&self, count: usize) -> Result<()> {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        wait::until(format!("{count} ready nodes"), wait::SOON, async || {
            let nodes = nodes.list(&ListParams::default()).await?.items;
            let ready = |node: &&k8s_openapi::api::core::v1::Node| {
                let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
                conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
            };
            let found = nodes.iter().filter(ready).count();
            if found == count {
                Ok(Look::Done(()))
            } else {
                Ok(Look::NotYet(format!("{found} ready")))
            }
        })
        .await
    }

    /// Creates an object, typed.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn add<K>(&self, object: &K) -> Result<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: serde::Serialize + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        Ok(self.api::<K>().create(&PostParams::default(), object).await?)
    }
}

/// The truth of a run's `Succeeded` condition.
pub fn truth(run: &PipelineRun) -> Truth {
    condition::truth(
        run.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default(),
        SUCCEEDED,
    )
}

/// The `Succeeded` condition's reason and message of a run, for looks.
pub fn reason(run: &PipelineRun) -> (String, String) {
    let conditions = run.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, SUCCEEDED)
        .map(|c| (c.reason.clone(), c.message.clone()))
        .unwrap_or_default()
}

/// Whether something still happens within `limit`: for tests that something does not happen, after its cause is known
/// to have been seen.
pub const A_WHILE: Duration = Duration::from_millis(500);

/// The URL path of an object's collection. Knows the kinds that tests use.
fn collection(object: &Value) -> Result<String> {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let plural = match kind {
        "GitRepository" => "gitrepositories".to_owned(),
        _ => format!("{}s", kind.to_lowercase()),
    };
    let base = if version.contains('/') {
        format!("/apis/{version}")
    } else {
        format!("/api/{version}")
    };
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE);
    match kind {
        "" => bail!("an object without a kind: {object}"),
        "Namespace" | "Node" => Ok(format!("{base}/{plural}?fieldValidation=Strict")),
        _ => Ok(format!("{base}/namespaces/{namespace}/{plural}?fieldValidation=Strict")),
    }
}
