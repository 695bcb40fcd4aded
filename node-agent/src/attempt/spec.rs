//! From a Job to what its shim is told: pure, so that what a script sees can be read and tested in one place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use breakbulk_sandbox::{self as sandbox, EnvVar, Limits, Secret, SecretFile, Spec};
use breakbulk_schemas::job::JobSpec;
use breakbulk_schemas::pipeline::Network;
use breakbulk_schemas::quantity;

use crate::journal::Entry;
use crate::secrets::{Resolved, Target};

/// How long an attempt may take where its job does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
/// Processes of one job: far above what builds start, far below what harms the machine.
const MAX_PROCESSES: u64 = 8192;
/// The workspace inside the sandbox.
const WORKSPACE: &str = "/workspace";

/// What is the same for all jobs of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    pub(crate) node: String,
    pub(crate) expose: Vec<PathBuf>,
    pub(crate) network: Network,
    pub(crate) grace: Duration,
}

/// Why a job cannot be told to a shim.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("the secret {name}, key {key}, is not text and cannot be an environment variable; use `file`")]
    SecretNotText { name: String, key: String },
}

/// The shim's orders for one attempt.
pub(crate) fn spec(job: &JobSpec, entry: &Entry, node: &NodeSettings, secrets: &[Resolved]) -> Result<Spec, SpecError> {
    let mut spec = Spec::new(entry.claim.id().to_string(), entry.workspace(), job.script.clone());
    spec.shell.clone_from(&job.shell.0);
    spec.env = environment(job, entry, node);
    for secret in secrets {
        match &secret.target {
            Target::Env(name) => spec.env.push(EnvVar::new(name, text(secret)?)),
            Target::File(name) => spec.secret_files.push(SecretFile {
                name: name.clone(),
                content: Secret::new(secret.value.clone()),
            }),
        }
        spec.masks.extend(masks(&secret.value).map(Secret::new));
    }
    spec.scratch = Some(entry.scratch());
    spec.limits = Limits {
        cpu_millis: job
            .resources
            .cpu
            .as_ref()
            .and_then(|cpu| quantity::cpu_millis(cpu).ok()),
        memory_bytes: job
            .resources
            .memory
            .as_ref()
            .and_then(|m| quantity::memory_bytes(m).ok()),
        pids: Some(MAX_PROCESSES),
        ..Limits::default()
    };
    spec.timeout = Some(job.timeout.map_or(DEFAULT_TIMEOUT, Into::into));
    spec.grace = node.grace;
    spec.network = match job.network.unwrap_or(node.network) {
        Network::None => sandbox::Network::None,
        Network::Host => sandbox::Network::Host,
    };
    spec.expose.clone_from(&node.expose);
    spec.hostname = "job".to_owned();
    Ok(spec)
}

/// The job's own variables, and then ours, which it cannot replace: the last of a name counts.
fn environment(job: &JobSpec, entry: &Entry, node: &NodeSettings) -> Vec<EnvVar> {
    let claim = &entry.claim;
    let number = claim.number.to_string();
    let project = job.checkout.as_ref().and_then(|checkout| checkout.path.as_deref());
    let project = project.map_or_else(|| WORKSPACE.to_owned(), |path| format!("{WORKSPACE}/{}", clean(path)));
    let fixed = [
        ("CI", "true"),
        ("CI_JOB_ID", claim.uid.as_str()),
        ("CI_RUN_ATTEMPT", number.as_str()),
        ("CI_NODE_NAME", node.node.as_str()),
        ("CI_WORKSPACE", WORKSPACE),
        ("CI_PROJECT_DIR", project.as_str()),
    ];
    let own = |name: &str| fixed.iter().any(|(fixed, _)| *fixed == name) || name == "CI_OUTPUT";
    let mut env = Vec::with_capacity(job.env.len() + fixed.len() + 1);
    if !job.env.iter().any(|var| var.name == "LANG") {
        env.push(EnvVar::new("LANG", "C.UTF-8"));
    }
    for (index, var) in job.env.iter().enumerate() {
        let later = job.env[index + 1..].iter().any(|other| other.name == var.name);
        if !own(&var.name) && !later {
            env.push(EnvVar::new(&var.name, &var.value));
        }
    }
    env.extend(fixed.map(|(name, value)| EnvVar::new(name, value)));
    env
}

/// A relative path without what changes nothing.
fn clean(path: &str) -> String {
    let parts = Path::new(path).components().filter_map(|part| match part {
        std::path::Component::Normal(part) => part.to_str(),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn text(secret: &Resolved) -> Result<String, SpecError> {
    String::from_utf8(secret.value.clone()).map_err(|_| SpecError::SecretNotText {
        name: secret.name.clone(),
        key: secret.key.clone(),
    })
}

/// What must not be seen: the value, without the line end that editors add, and each of its lines, since a script
/// that prints it prints lines.
fn masks(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let whole = value.trim_ascii_end().to_vec();
    let lines = value.split(|b| *b == b'\n').map(|line| line.trim_ascii().to_vec());
    let lines: Vec<_> = lines.filter(|line| *line != whole).collect();
    std::iter::once(whole).chain(lines).filter(|mask| !mask.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Claim;
    use breakbulk_schemas::job::EnvVar as JobVar;

    fn entry() -> Entry {
        let claim = Claim {
            namespace: "n".to_owned(),
            job: "j".to_owned(),
            uid: "u-1".to_owned(),
            number: 2,
            node: "node-1".to_owned(),
            token: "t".to_owned(),
            boot_id: "b".to_owned(),
            claim_time: jiff::Timestamp::UNIX_EPOCH,
        };
        Entry {
            claim,
            path: "/data/attempts/u-1-2".into(),
        }
    }

    fn node() -> NodeSettings {
        NodeSettings {
            node: "node-1".to_owned(),
            expose: Vec::new(),
            network: Network::Host,
            grace: Duration::from_secs(1),
        }
    }

    fn var(name: &str, value: &str) -> JobVar {
        JobVar {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn a_job_cannot_replace_what_the_system_says() {
        let job = JobSpec {
            script: "true".to_owned(),
            env: vec![var("CI", "no"), var("A", "1"), var("A", "2"), var("CI_NODE_NAME", "x")],
            ..JobSpec::default()
        };
        let spec = spec(&job, &entry(), &node(), &[]).unwrap();
        let of = |name: &str| -> Vec<&str> {
            let found = spec.env.iter().filter(|var| var.name == name);
            found.map(|var| var.value.as_str()).collect()
        };
        assert_eq!(of("CI"), ["true"]);
        assert_eq!(of("CI_NODE_NAME"), ["node-1"]);
        assert_eq!(of("CI_RUN_ATTEMPT"), ["2"]);
        assert_eq!(of("A"), ["2"]);
        assert!(spec.validate().is_ok());
        assert_eq!(spec.timeout, Some(DEFAULT_TIMEOUT));
    }

    #[test]
    fn every_line_of_a_secret_is_masked_and_bytes_that_are_no_text_need_a_file() {
        let secret = |value: &[u8], target| Resolved {
            name: "s".to_owned(),
            key: "k".to_owned(),
            value: value.to_vec(),
            target,
        };
        let secrets = [secret(b"line-one\nline-two\n", Target::Env("S".to_owned()))];
        let spec1 = spec(&JobSpec::default(), &entry(), &node(), &secrets).unwrap();
        let masks: Vec<_> = spec1.masks.iter().map(Secret::expose).collect();
        assert_eq!(masks, [&b"line-one\nline-two"[..], b"line-one", b"line-two"]);
        let secrets = [secret(&[0xff], Target::Env("S".to_owned()))];
        assert!(spec(&JobSpec::default(), &entry(), &node(), &secrets).is_err());
        let secrets = [secret(&[0xff], Target::File("f".to_owned()))];
        assert_eq!(
            spec(&JobSpec::default(), &entry(), &node(), &secrets)
                .unwrap()
                .secret_files
                .len(),
            1
        );
    }
}
