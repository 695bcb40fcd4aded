//! The agent's memory: one directory per attempt, made right after the claim and before anything is started.
//!
//! | in `attempts/<job uid>-<number>/` | written by | what it says |
//! |---|---|---|
//! | `journal.json` | agent | whose attempt this is, and the claim's token |
//! | `lost` | agent | the agent killed the shim, and why: written before the kill |
//! | `workspace/` | checkout, job | the job's files |
//! | `scratch/` | job | its `/tmp` and home |
//! | all else | shim | see [`breakbulk_sandbox::AttemptDir`] |
//!
//! The journal is synced before the shim starts. What an attempt's directory does not say did not happen: without
//! a living shim and without a recorded end, the attempt is lost, whatever its script may have done.
//!
//! A directory that is done with is renamed into `trash/` in one step, and removed from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use breakbulk_sandbox::AttemptDir;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest journal and the longest cause that are read.
const MAX_FILE: u64 = 64 << 10;

/// Names an attempt among all jobs: the job's UID and the attempt's number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId {
    uid: String,
    number: u32,
}

impl AttemptId {
    /// `None` where the UID is none: it becomes part of a path.
    pub fn new(uid: &str, number: u32) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fine = !uid.is_empty() && uid.len() <= 64 && uid.bytes().all(plain);
        fine.then(|| Self {
            uid: uid.to_owned(),
            number,
        })
    }

    /// Reads a directory's name.
    pub fn parse(name: &str) -> Option<Self> {
        let (uid, number) = name.rsplit_once('-')?;
        Self::new(uid, number.parse().ok()?)
    }

    /// The job's UID.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The attempt's number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl std::fmt::Display for AttemptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.uid, self.number)
    }
}

/// A claim, as it stands in the job's status and in the journal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The job's namespace.
    pub namespace: String,
    /// Its name.
    pub job: String,
    /// Its UID.
    pub uid: String,
    /// The attempt's number.
    pub number: u32,
    /// The node that claimed it.
    pub node: String,
    /// The fencing token.
    pub token: String,
    /// The boot in which it was claimed.
    pub boot_id: String,
    /// When.
    pub claim_time: Timestamp,
}

impl std::fmt::Debug for Claim {
    /// Everything but the token, which is worth a log's integrity.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{} attempt {} ({})",
            self.namespace, self.job, self.number, self.uid
        )
    }
}

impl Claim {
    /// The attempt it is for.
    pub fn id(&self) -> AttemptId {
        AttemptId {
            uid: self.uid.clone(),
            number: self.number,
        }
    }
}

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The agent's data directory. One agent holds it at a time.
#[derive(Debug)]
pub struct Journal {
    attempts: PathBuf,
    trash: PathBuf,
    _lock: File,
}

/// What was found of an earlier agent's attempts.
#[derive(Debug, Default)]
pub struct Scan {
    /// Attempts with a readable journal.
    pub attempts: Vec<Entry>,
    /// Directories that never got a journal, or whose journal cannot be read: nothing was started in them.
    pub unreadable: Vec<PathBuf>,
    /// What is left to be removed.
    pub trash: Vec<PathBuf>,
}

/// One attempt's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The claim in its journal.
    pub claim: Claim,
    /// The directory.
    pub path: PathBuf,
}

impl Journal {
    /// Opens the data directory, which is made when it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or another agent holds it.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        let (attempts, trash) = (data_dir.join("attempts"), data_dir.join("trash"));
        for dir in [data_dir, &attempts, &trash] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(failed("make the directory", dir))?;
        }
        let path = data_dir.join("agent.lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        lock.try_lock()
            .map_err(|error| failed("lock (is another agent running?)", &path)(error.into()))?;
        Ok(Self {
            attempts,
            trash,
            _lock: lock,
        })
    }

    /// What lies there.
    ///
    /// # Errors
    /// When the directories cannot be listed.
    pub fn scan(&self) -> Result<Scan, JournalError> {
        let mut found = Scan::default();
        for path in list(&self.attempts)? {
            let id = path.file_name().and_then(|name| AttemptId::parse(name.to_str()?));
            match (id, read_claim(&path)) {
                (Some(id), Some(claim)) if claim.id() == id => found.attempts.push(Entry { claim, path }),
                _ => found.unreadable.push(path),
            }
        }
        found.trash = list(&self.trash)?;
        Ok(found)
    }

    /// What is left to be removed.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn scan_trash(&self) -> Result<Vec<PathBuf>, JournalError> {
        list(&self.trash)
    }

    /// Records a claim: makes the attempt's directory with its journal, synced, its workspace and its scratch.
    /// Blocks for a sync.
    ///
    /// # Errors
    /// When it is there already, or cannot be written.
    pub fn record(&self, claim: &Claim) -> Result<Entry, JournalError> {
        let path = self.attempts.join(claim.id().to_string());
        let make = |dir: &Path| fs::DirBuilder::new().mode(0o700).create(dir);
        for dir in ["", "workspace", "scratch", "scratch/tmp", "scratch/home"] {
            let dir = path.join(dir);
            make(&dir).map_err(failed("make the directory", &dir))?;
        }
        let journal = path.join("journal.json");
        let bytes = serde_json::to_vec(claim).expect("a claim is plain text");
        write(&path, "journal.json", &bytes).map_err(failed("write", &journal))?;
        Ok(Entry {
            claim: claim.clone(),
            path,
        })
    }

    /// Whether an attempt has a directory here.
    pub fn holds(&self, id: &AttemptId) -> bool {
        self.attempts.join(id.to_string()).exists()
    }

    /// Takes a path out of the way in one step. Returns where it is to be removed from.
    ///
    /// # Errors
    /// When it cannot be renamed. A path that is gone is fine.
    pub fn discard(&self, path: &Path) -> Result<Option<PathBuf>, JournalError> {
        let mark: u64 = rand::random();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = self.trash.join(format!("{name}.{mark:016x}"));
        match fs::rename(path, &target) {
            Ok(()) => Ok(Some(target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("discard", path)(error)),
        }
    }
}

impl Entry {
    /// The part that is shared with the shim.
    pub fn shared(&self) -> AttemptDir {
        AttemptDir::new(&self.path)
    }

    /// The job's files.
    pub fn workspace(&self) -> PathBuf {
        self.path.join("workspace")
    }

    /// The job's `/tmp` and home.
    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Records that the agent ends the attempt without its shim, and why, before it kills it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_lost(&self, cause: &str) -> Result<(), JournalError> {
        write(&self.path, "lost", cause.as_bytes()).map_err(failed("write", &self.path.join("lost")))
    }

    /// Why the agent ended the attempt without its shim, if it did.
    pub fn lost(&self) -> Option<String> {
        let bytes = read(&self.path.join("lost")).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = fs::read_dir(dir).map_err(failed("list", dir))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<io::Result<_>>().map_err(failed("list", dir))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_claim(dir: &Path) -> Option<Claim> {
    serde_json::from_slice(&read(&dir.join("journal.json")).ok()?).ok()
}

/// Makes a file appear whole or not at all. Its content is synced; its name need not be: after a crash of the
/// machine another boot has begun, and every attempt of this one is lost anyway.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&temporary, dir.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(uid: &str, number: u32) -> Claim {
        Claim {
            namespace: "default".to_owned(),
            job: "build".to_owned(),
            uid: uid.to_owned(),
            number,
            node: "n".to_owned(),
            token: "secret-token".to_owned(),
            boot_id: "b".to_owned(),
            claim_time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_is_recorded_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let entry = journal.record(&claim("a-b-c", 2)).unwrap();
        entry.write_lost("fenced").unwrap();
        fs::create_dir(dir.path().join("attempts/half-1")).unwrap();
        assert!(
            journal.record(&claim("a-b-c", 2)).is_err(),
            "an attempt is recorded once"
        );
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        let scan = journal.scan().unwrap();
        assert_eq!(scan.attempts, vec![entry.clone()]);
        assert_eq!(scan.unreadable, vec![dir.path().join("attempts/half-1")]);
        assert_eq!(scan.attempts[0].lost().as_deref(), Some("fenced"));
        let trash = journal.discard(&entry.path).unwrap().unwrap();
        assert_eq!(journal.discard(&entry.path).unwrap(), None);
        let scan = journal.scan().unwrap();
        assert_eq!((scan.attempts.len(), scan.trash), (0, vec![trash]));
    }

    #[test]
    fn two_agents_cannot_share_a_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Journal::open(dir.path()).unwrap();
        let error = Journal::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("another agent"), "{error}");
    }

    #[test]
    fn a_uid_that_would_leave_the_directory_is_none() {
        for bad in ["", "..", "a/b", "../x", "a.b", &"x".repeat(65)] {
            assert_eq!(AttemptId::new(bad, 1), None, "{bad}");
        }
        let id = AttemptId::new("0c7e-11", 3).unwrap();
        assert_eq!(AttemptId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn a_claim_is_shown_without_its_token() {
        assert!(!format!("{:?}", claim("u", 1)).contains("secret-token"));
    }
}
