//! Checkout: from a GitRepository and a commit to files in a workspace.
//!
//! ```text
//! remote ──fetch──▶ bare mirror, one per URL ──pack of the commit──▶ a repository of its own per workspace
//! ```
//!
//! The network is needed once per commit and node ([`mirror`]). A workspace gets copies and shares nothing with the
//! mirror, so that a job can do nothing to later jobs ([`worktree`]). All of it runs before the sandbox, as the agent, on hostile
//! content: no hooks, no filters, no submodules, no configuration but ours, and nothing a repository says is executed.
//! Credentials go to git in memory and stay out of the workspace.

mod git;
mod mirror;
mod source;
mod worktree;

use std::path::{Path, PathBuf};

use breakbulk_schemas::GitRepository;
use breakbulk_schemas::job::JobCheckout;
use kube::{Api, Client};

pub(crate) use self::git::GitError;
use self::mirror::Mirrors;
use self::source::{Credentials, Source, SourceError};
use crate::config::LocalGit;
use crate::journal::Claim;
use crate::secrets::{self, SecretError};

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckoutError {
    #[error("there is no GitRepository {0:?} in the namespace")]
    NoRepository(String),
    #[error("cannot read the GitRepository {name:?}")]
    Repository {
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("cannot use the credentials of the GitRepository {name:?}")]
    Secret {
        name: String,
        #[source]
        source: SecretError,
    },
    #[error("cannot use the GitRepository {name:?}")]
    Source {
        name: String,
        #[source]
        source: SourceError,
    },
    #[error("{0:?} is no commit id")]
    Revision(String),
    #[error("{0:?} is not a path below the workspace")]
    Path(String),
    #[error("cannot fetch commit {revision} of {url}")]
    Fetch {
        revision: String,
        url: String,
        #[source]
        source: GitError,
    },
    #[error("cannot lay out commit {revision}")]
    Layout {
        revision: String,
        #[source]
        source: GitError,
    },
}

/// Makes checkouts.
#[derive(Debug)]
pub(crate) struct Checkouts {
    mirrors: Mirrors,
    local: LocalGit,
}

/// A full commit id: hexadecimal digits and nothing else, so that git cannot take it for anything else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Commit(String);

impl Commit {
    fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && matches!(text.len(), 40 | 64)).then(|| Self(text.to_owned()))
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

impl Checkouts {
    /// With mirrors below `dir`.
    pub(crate) fn new(dir: &Path, local: LocalGit) -> Self {
        Self {
            mirrors: Mirrors::new(dir),
            local,
        }
    }

    /// Lays out what a job wants in its workspace.
    pub(crate) async fn checkout(
        &self,
        client: &Client,
        claim: &Claim,
        wanted: &JobCheckout,
        workspace: &Path,
    ) -> Result<(), CheckoutError> {
        let revision = Commit::parse(&wanted.revision);
        let revision = revision.ok_or_else(|| CheckoutError::Revision(wanted.revision.clone()))?;
        let target = target(workspace, wanted.path.as_deref())?;
        let source = self.source(client, &claim.namespace, &wanted.repository).await?;
        let mirror = self.mirrors.of(&source);
        let fetched = mirror.fetch(&source, &revision, wanted.ref_.as_deref()).await;
        fetched.map_err(|error| CheckoutError::Fetch {
            revision: wanted.revision.clone(),
            url: source.url().to_owned(),
            source: error,
        })?;
        let laid_out = worktree::lay_out(&mirror, &source, &revision, wanted.depth, &target).await;
        laid_out.map_err(|error| CheckoutError::Layout {
            revision: wanted.revision.clone(),
            source: error,
        })
    }

    async fn source(&self, client: &Client, namespace: &str, name: &str) -> Result<Source, CheckoutError> {
        let api = Api::<GitRepository>::namespaced(client.clone(), namespace);
        let read = api.get_opt(name).await.map_err(|source| CheckoutError::Repository {
            name: name.to_owned(),
            source: Box::new(source),
        })?;
        let repository = read.ok_or_else(|| CheckoutError::NoRepository(name.to_owned()))?;
        let failed = |source| CheckoutError::Source {
            name: name.to_owned(),
            source,
        };
        let credentials = match &repository.spec.secret_ref {
            None => Credentials::None,
            Some(secret) => {
                let data = secrets::read(client, namespace, &secret.name).await;
                let data = data.map_err(|source| CheckoutError::Secret {
                    name: name.to_owned(),
                    source,
                })?;
                Credentials::of(&data).map_err(failed)?
            }
        };
        Source::new(&repository.spec.url, credentials, self.local).map_err(failed)
    }
}

fn target(workspace: &Path, path: Option<&str>) -> Result<PathBuf, CheckoutError> {
    let Some(path) = path else {
        return Ok(workspace.to_owned());
    };
    let below =
        |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir);
    if Path::new(path).components().all(below) {
        Ok(workspace.join(path))
    } else {
        Err(CheckoutError::Path(path.to_owned()))
    }
}

#[cfg(test)]
mod tests;
