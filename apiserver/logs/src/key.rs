//! Which log: the attempt it belongs to, and where its files lie.
//!
//! A key comes from the API server, which has found the Job; it becomes a path here, so its parts are
//! checked once, when it is made. This module does no I/O.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Directories per namespace. Few, since every directory with a new file in it costs a sync of its own;
/// more than one, since deleting a Job lists the directory its logs lie in.
const SHARDS: u32 = 16;

/// A namespace that is safe as a directory name: a DNS label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

/// A Job's UID that is safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobUid(Arc<str>);

/// One attempt of one job: what a log belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogKey {
    namespace: Namespace,
    job_uid: JobUid,
    attempt: u32,
}

/// A part of a key that cannot become a file name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The namespace is not a DNS label.
    #[error("namespace {0:?}: expected 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit")]
    Namespace(String),
    /// The UID has characters a UID never has.
    #[error("job uid {0:?}: expected 1 to 64 of a-z, A-Z, 0-9 and '-', beginning with a letter or digit")]
    JobUid(String),
}

impl Namespace {
    /// Checks that `name` is a DNS label.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        let bytes = name.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let ends = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        if bytes.len() > 63 || !bytes.iter().all(inner) || !ends(bytes.first()) || !ends(bytes.last()) {
            return Err(KeyError::Namespace(excerpt(name)));
        }
        Ok(Self(name.into()))
    }

    pub(crate) fn directory(&self, root: &Path) -> PathBuf {
        root.join(&*self.0)
    }
}

impl JobUid {
    /// Checks that `uid` has only the characters of a UID.
    pub fn new(uid: &str) -> Result<Self, KeyError> {
        let bytes = uid.as_bytes();
        let first = bytes.first().is_some_and(u8::is_ascii_alphanumeric);
        if bytes.len() > 64 || !first || !bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') {
            return Err(KeyError::JobUid(excerpt(uid)));
        }
        Ok(Self(uid.into()))
    }

    /// The directory in which all files of this job's logs lie.
    pub(crate) fn directory(&self, root: &Path, namespace: &Namespace) -> PathBuf {
        let shard = crc32c::crc32c(self.0.as_bytes()) % SHARDS;
        namespace.directory(root).join(format!("{shard:x}"))
    }

    /// Whether a file of that name belongs to this job.
    pub(crate) fn owns(&self, file_name: &str) -> bool {
        file_name
            .strip_prefix(&*self.0)
            .is_some_and(|rest| rest.starts_with('.'))
    }
}

impl LogKey {
    /// The log of `attempt` of the job with `job_uid` in `namespace`.
    pub fn new(namespace: &str, job_uid: &str, attempt: u32) -> Result<Self, KeyError> {
        Ok(Self {
            namespace: Namespace::new(namespace)?,
            job_uid: JobUid::new(job_uid)?,
            attempt,
        })
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The job.
    pub fn job_uid(&self) -> &JobUid {
        &self.job_uid
    }

    /// The attempt's number.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn directory(&self, root: &Path) -> PathBuf {
        self.job_uid.directory(root, &self.namespace)
    }

    /// What all files of this log begin with: `<uid>.<attempt>.`
    pub(crate) fn file_prefix(&self) -> String {
        format!("{}.{}.", self.job_uid, self.attempt)
    }
}

/// A bad value as it may be shown: hostile input is not echoed at length.
fn excerpt(value: &str) -> String {
    value.chars().take(80).collect()
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for JobUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.job_uid, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_could_leave_its_directory_is_refused() {
        for namespace in ["", "..", "a/b", "A", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(LogKey::new(namespace, "uid", 1).is_err(), "namespace {namespace:?}");
        }
        for uid in ["", "..", "a/b", ".a", "-a", "a b", "a\0", &"a".repeat(65)] {
            assert!(LogKey::new("default", uid, 1).is_err(), "uid {uid:?}");
        }
        assert!(LogKey::new("team-1", "6f1c2c1e-8c1f-4c55-9a53-d9b7c2b1f0aa", 1).is_ok());
    }

    #[test]
    fn a_job_owns_its_own_files_only() {
        let uid = JobUid::new("abc").unwrap();
        assert!(uid.owns("abc.1.00000.log"));
        assert!(!uid.owns("abcd.1.00000.log"));
    }
}
