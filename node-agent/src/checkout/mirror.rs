//! Mirrors: one bare repository per address, filled commit by commit. Fetching is done by one at a time per mirror;
//! everybody who waits finds the commit there.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Commit;
use super::git::{Environment, Git, GitError};
use super::source::Source;

/// How long a fetch may take: a large repository over a slow line, but not for ever.
const FETCH: Duration = Duration::from_secs(900);
/// How long anything that reads the disk alone may take.
pub(super) const LOCAL: Duration = Duration::from_secs(300);
/// Commits that are remembered as present, over which all are forgotten and looked for again.
const REMEMBERED: usize = 10_000;

/// All mirrors of a node.
#[derive(Debug)]
pub(crate) struct Mirrors {
    dir: PathBuf,
    open: Mutex<HashMap<String, Arc<Mirror>>>,
}

/// One mirror.
#[derive(Debug)]
pub(crate) struct Mirror {
    path: PathBuf,
    writing: tokio::sync::Mutex<()>,
    present: Mutex<HashSet<Commit>>,
}

impl Mirrors {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            open: Mutex::default(),
        }
    }

    /// The mirror of an address. Two that are written differently have two.
    pub(crate) fn of(&self, source: &Source) -> Arc<Mirror> {
        let mut name = String::new();
        for byte in &Sha256::digest(source.url())[..16] {
            use std::fmt::Write;
            write!(name, "{byte:02x}").expect("writing to a string does not fail");
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = open.entry(name.clone()).or_insert_with(|| {
            Arc::new(Mirror {
                path: self.dir.join(format!("{name}.git")),
                writing: tokio::sync::Mutex::default(),
                present: Mutex::default(),
            })
        });
        Arc::clone(mirror)
    }
}

impl Mirror {
    /// The repository.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sees to it that the mirror has a commit with all its history.
    pub(crate) async fn fetch(&self, source: &Source, commit: &Commit, ref_: Option<&str>) -> Result<(), GitError> {
        if self.remembers(commit) {
            return Ok(());
        }
        let _one = self.writing.lock().await;
        if self.remembers(commit) {
            return Ok(());
        }
        self.init().await?;
        if !self.has(commit).await? {
            self.fetch_from(source, commit, ref_).await?;
        }
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.len() >= REMEMBERED {
            present.clear();
        }
        present.insert(commit.clone());
        Ok(())
    }

    /// By its id, where the server hands out commits by id, or else by the ref it was found at.
    async fn fetch_from(&self, source: &Source, commit: &Commit, ref_: Option<&str>) -> Result<(), GitError> {
        let environment = source.environment()?;
        let git = Git {
            repository: &self.path,
            environment: &environment,
            deadline: FETCH,
        };
        // A ref of our own keeps the commit; it also tells the next fetch what is here.
        let by_id = format!("{0}:refs/breakbulk/commits/{0}", commit.as_str());
        let fetch = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--end-of-options",
            source.url(),
        ];
        let first = match git.run(&with(&fetch, &by_id)).await {
            Ok(_) => return Ok(()),
            Err(error @ GitError::Failed { .. }) => error,
            Err(error) => return Err(error),
        };
        let Some(ref_) = ref_.filter(|ref_| is_ref(ref_)) else {
            return Err(first);
        };
        let by_ref = format!("+{ref_}:refs/breakbulk/{ref_}");
        git.run(&with(&fetch, &by_ref)).await?;
        if self.has(commit).await? {
            Ok(())
        } else {
            Err(GitError::NoCommit(commit.as_str().to_owned()))
        }
    }

    fn remembers(&self, commit: &Commit) -> bool {
        self.present
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(commit)
    }

    async fn has(&self, commit: &Commit) -> Result<bool, GitError> {
        let environment = Environment::default();
        let git = Git {
            repository: &self.path,
            environment: &environment,
            deadline: LOCAL,
        };
        let object = format!("{}^{{commit}}", commit.as_str());
        match git.run(&["cat-file", "-e", &object]).await {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn init(&self) -> Result<(), GitError> {
        if self.path.join("config").exists() {
            return Ok(());
        }
        let write = |source| GitError::Write {
            path: self.path.display().to_string(),
            source,
        };
        tokio::fs::create_dir_all(&self.path).await.map_err(write)?;
        let environment = Environment::default();
        let git = Git {
            repository: &self.path,
            environment: &environment,
            deadline: LOCAL,
        };
        git.run(&["init", "--quiet", "--bare", "--template="]).await?;
        Ok(())
    }
}

fn with<'a>(arguments: &[&'a str], last: &'a str) -> Vec<&'a str> {
    arguments.iter().copied().chain([last]).collect()
}

/// A full ref name that means nothing else to git.
fn is_ref(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b'+' | b'@' | b'#');
    name.starts_with("refs/") && name.len() < 1024 && !name.contains("..") && name.bytes().all(plain)
}
