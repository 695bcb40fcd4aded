//! Reading the secrets that a job names, once, when its attempt starts. They stay in memory, and go to the shim.

use std::collections::BTreeMap;

use breakbulk_schemas::pipeline::SecretUse;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

/// A secret's value, and where the script finds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The Secret's name.
    pub(crate) name: String,
    /// The key in it.
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) target: Target,
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{} as {:?}", self.name, self.key, self.target)
    }
}

/// How the script gets a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// As this environment variable.
    Env(String),
    /// As this file below `/run/secrets`.
    File(String),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("there is no Secret {name:?} in the namespace")]
    Missing { name: String },
    #[error("the Secret {name:?} has no key {key:?}")]
    NoKey { name: String, key: String },
    #[error("cannot read the Secret {name:?}")]
    Read {
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
}

/// The data of one Secret.
pub(crate) type Data = BTreeMap<String, ByteString>;

/// Reads one Secret.
pub(crate) async fn read(client: &Client, namespace: &str, name: &str) -> Result<Data, SecretError> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(|source| SecretError::Read {
        name: name.to_owned(),
        source: Box::new(source),
    })?;
    let secret = found.ok_or_else(|| SecretError::Missing { name: name.to_owned() })?;
    Ok(secret.data.unwrap_or_default())
}

/// Reads all that a job names, each Secret once.
pub(crate) async fn resolve(
    client: &Client,
    namespace: &str,
    uses: &[SecretUse],
) -> Result<Vec<Resolved>, SecretError> {
    let mut read_already: BTreeMap<&str, Data> = BTreeMap::new();
    let mut resolved = Vec::with_capacity(uses.len());
    for wanted in uses {
        if !read_already.contains_key(wanted.name.as_str()) {
            read_already.insert(&wanted.name, read(client, namespace, &wanted.name).await?);
        }
        let value = read_already
            .get(wanted.name.as_str())
            .and_then(|data| data.get(&wanted.key))
            .ok_or_else(|| SecretError::NoKey {
                name: wanted.name.clone(),
                key: wanted.key.clone(),
            })?;
        let target = match (&wanted.env, &wanted.file) {
            (Some(name), _) => Target::Env(name.clone()),
            (None, Some(name)) => Target::File(name.clone()),
            // Refused at apply; there is nobody to give it to.
            (None, None) => continue,
        };
        resolved.push(Resolved {
            name: wanted.name.clone(),
            key: wanted.key.clone(),
            value: value.0.clone(),
            target,
        });
    }
    Ok(resolved)
}
