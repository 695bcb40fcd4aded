//! One test's view of a server: a namespace of its own, and requests with their answers as JSON.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use breakbulk_tests::cluster::Cluster;
use breakbulk_tests::wait::{self, Look};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use rand::Rng as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kubectl::Kubectl;
use crate::watching::Watch;

/// How long a condition may take that should hold soon. A test that passes never waits it out.
pub const SOON: Duration = Duration::from_secs(30);

/// What a test is given.
pub struct Case {
    /// The administrator's connection.
    pub client: Client,
    /// For programs, and for kube-rs.
    pub cluster: Cluster,
    /// The namespace that is the test's own.
    pub namespace: String,
    scratch: TempDir,
}

/// An answer, whatever it says.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP code.
    pub code: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; a string where it is not JSON.
    pub body: Value,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Patch {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

impl Case {
    /// Makes the namespace and waits until it has what upstream's test framework waits for: the account `default` and
    /// the certificate of the server.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn begin(cluster: &Cluster, base: &str) -> Result<Self> {
        let case = Self::begin_bare(cluster, base).await?;
        for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            case.until(&case.core(path), "to be there", |_| true).await?;
        }
        Ok(case)
    }

    /// Makes the namespace and waits for nothing: where no controllers run.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn begin_bare(cluster: &Cluster, base: &str) -> Result<Self> {
        let namespace = format!("{base}-{}", suffix());
        let case = Self {
            client: cluster.client.clone(),
            cluster: cluster.clone(),
            namespace,
            scratch: tempfile::tempdir().context("no temporary directory")?,
        };
        let labels = json!({ "e2e-framework": base, "pod-security.kubernetes.io/enforce": "privileged" });
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": case.namespace, "labels": labels } });
        case.create("/api/v1/namespaces", &object).await?;
        Ok(case)
    }

    /// Deletes the namespace. It is not waited for: that is another test.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn end(self) -> Result<()> {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let answer = self.send(Method::DELETE, &path, None, Vec::new()).await?;
        if answer.code != 404 {
            fine(Method::DELETE.as_str(), &path, answer)?;
        }
        Ok(())
    }

    /// The path of a core collection in the test's namespace.
    pub fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    /// The path of a collection of a group in the test's namespace.
    pub fn group(&self, version: &str, plural: &str) -> String {
        format!("/apis/{version}/namespaces/{}/{plural}", self.namespace)
    }

    /// A name that no other test has.
    pub fn unique(&self, base: &str) -> String {
        format!("{base}-{}", suffix())
    }

    /// kubectl for the test's namespace.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.cluster.kubeconfig, self.scratch.path(), &self.namespace)
    }

    /// Writes a file of the test's own and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
        Ok(path)
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&self, method: Method, path: &str, media: Option<&str>, body: Vec<u8>) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        self.answer(request.body(body.into()).context("a bad request")?).await
    }

    /// Sends a request that a test has made itself.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn answer(&self, request: Request<Body>) -> Result<Answer> {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = self
            .client
            .send(request)
            .await
            .with_context(|| format!("no answer to {what}"))?;
        let (head, body) = answer.into_parts();
        let bytes = body
            .collect()
            .await
            .with_context(|| format!("half an answer to {what}"))?
            .to_bytes();
        let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
        Ok(Answer {
            code: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
        })
    }

    /// GET with an `Accept` header.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Answer> {
        let request = Request::get(path).header("accept", accept).body(Body::empty());
        self.answer(request.context("a bad request")?).await
    }

    /// GET.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn get(&self, path: &str) -> Result<Value> {
        fine("GET", path, self.send(Method::GET, path, None, Vec::new()).await?)
    }

    /// POST.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        fine("POST", path, self.try_create(path, object).await?)
    }

    /// POST that may be refused.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_create(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send(
            Method::POST,
            path,
            Some("application/json"),
            object.to_string().into_bytes(),
        )
        .await
    }

    /// PUT.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn replace(&self, path: &str, object: &Value) -> Result<Value> {
        fine("PUT", path, self.try_replace(path, object).await?)
    }

    /// PUT that may be refused.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_replace(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send(
            Method::PUT,
            path,
            Some("application/json"),
            object.to_string().into_bytes(),
        )
        .await
    }

    /// Reads an object, changes it and writes it back; starts over when somebody was faster.
    ///
    /// # Errors
    /// When the server refuses for another reason.
    pub async fn edit(&self, path: &str, change: impl Fn(&mut Value)) -> Result<Value> {
        for _ in 0..20 {
            let mut object = self.get(path).await?;
            change(&mut object);
            let answer = self.try_replace(path, &object).await?;
            if answer.code != 409 {
                return fine("PUT", path, answer);
            }
        }
        bail!("{path} changes faster than it can be edited")
    }

    /// PATCH.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn patch(&self, path: &str, kind: Patch, patch: &Value) -> Result<Value> {
        fine("PATCH", path, self.try_patch(path, kind, patch).await?)
    }

    /// PATCH that may be refused.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_patch(&self, path: &str, kind: Patch, patch: &Value) -> Result<Answer> {
        self.send(
            Method::PATCH,
            path,
            Some(kind.media_type()),
            patch.to_string().into_bytes(),
        )
        .await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        fine("DELETE", path, self.send(Method::DELETE, path, None, Vec::new()).await?)
    }

    /// DELETE with a propagation policy.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete_with(&self, path: &str, policy: &str) -> Result<Value> {
        let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy });
        let body = options.to_string().into_bytes();
        fine(
            "DELETE",
            path,
            self.send(Method::DELETE, path, Some("application/json"), body).await?,
        )
    }

    /// A watch: the path with its query, `watch=true` added.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn watch(&self, path: &str) -> Result<Watch> {
        Watch::open(&self.client, path).await
    }

    /// Waits until an object satisfies a condition; gives it.
    ///
    /// # Errors
    /// When it does not for long.
    pub async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(format!("{path}: {what}"), SOON, async || {
            let object = self.get(path).await?;
            let fits = wanted(&object);
            Ok(if fits {
                Look::Done(object)
            } else {
                Look::NotYet(object.to_string())
            })
        })
        .await
    }

    /// Waits until there is nothing at a path.
    ///
    /// # Errors
    /// When there is something for long.
    pub async fn until_gone(&self, path: &str) -> Result<()> {
        wait::until(format!("{path} to be gone"), SOON, async || {
            let answer = self.send(Method::GET, path, None, Vec::new()).await?;
            let gone = answer.code == 404;
            Ok(if gone {
                Look::Done(())
            } else {
                Look::NotYet(answer.body.to_string())
            })
        })
        .await
    }
}

impl Answer {
    /// The body, where the answer is a refusal with this code.
    ///
    /// # Errors
    /// When it is another answer.
    pub fn refused(self, code: u16) -> Result<Value> {
        if self.code != code {
            bail!("expected a refusal with {code}, got {}: {}", self.code, self.body);
        }
        Ok(self.body)
    }

    /// The body, where the answer is a refusal with this code and a message that has all of these in it.
    ///
    /// # Errors
    /// When it is another answer.
    pub fn refused_saying(self, code: u16, texts: &[&str]) -> Result<Value> {
        let status = self.refused(code)?;
        let message = status["message"].as_str().unwrap_or_default();
        for text in texts {
            if !message.contains(text) {
                bail!("the message lacks {text:?}: {message}");
            }
        }
        Ok(status)
    }

    /// All `Warning` headers, one per line.
    pub fn warnings(&self) -> String {
        let all = self.headers.get_all("warning").iter();
        all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The body of an answer that is no refusal.
///
/// # Errors
/// The refusal.
pub fn fine(method: &str, path: &str, answer: Answer) -> Result<Value> {
    if !(200..300).contains(&answer.code) {
        bail!("{method} {path} was refused with {}: {}", answer.code, answer.body);
    }
    Ok(answer.body)
}

/// A ConfigMap with one pair of data.
pub fn config_map(name: &str, key: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { key: value } })
}

/// `metadata.name` of the items of a list.
pub fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// A text member at a JSON pointer; empty if there is none.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The resource version as the number that it is.
///
/// # Errors
/// When there is none.
pub fn revision(object: &Value) -> Result<u64> {
    text(object, "/metadata/resourceVersion")
        .parse()
        .with_context(|| format!("no resourceVersion in {object}"))
}

fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..6)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}
