//! Calls of the system's `git`, as against a hostile server: no prompts, no helpers, no configuration but ours, only
//! the protocols we mean, every output bounded, every call with a deadline. Addresses and refs never stand where an
//! option could.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::credentials::Credentials;

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(60);
/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(600);
/// How long a local question may take.
const LOCAL: Duration = Duration::from_secs(30);
/// The most that a call may print: some 200,000 refs.
const MAX_OUTPUT: u64 = 16 << 20;
/// The most that is kept of what a failed call complains.
const MAX_COMPLAINT: u64 = 4096;
/// The most changed files that are recorded.
const MAX_PATHS: usize = 3000;
/// The longest title that is recorded.
const MAX_TITLE: usize = 200;

/// Why a call had no success.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    /// The address is not allowed.
    #[error("{0}")]
    Refused(String),
    /// There is no git, or it cannot be started.
    #[error("cannot run git")]
    Start(#[source] std::io::Error),
    /// A directory of ours cannot be made or read.
    #[error("cannot use the mirror directory")]
    Directory(#[source] std::io::Error),
    /// It took too long.
    #[error("git took longer than {0:?}")]
    Deadline(Duration),
    /// It printed too much.
    #[error("git printed more than {MAX_OUTPUT} bytes")]
    TooMuch,
    /// It failed; its own words.
    #[error("git {what} failed: {complaint}")]
    Failed {
        /// Which call.
        what: &'static str,
        /// Its own words, shortened.
        complaint: String,
    },
}

impl GitError {
    /// One word for a condition.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "UrlRefused",
            Self::Start(_) | Self::Directory(_) => "GitUnavailable",
            Self::Deadline(_) => "Timeout",
            Self::TooMuch => "TooLarge",
            Self::Failed { .. } => "Unreadable",
        }
    }
}

/// Where a repository's refs point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remote {
    /// The full name of the branch that HEAD is.
    pub(super) head: Option<String>,
    /// Branches and tags; a tag object is followed to its commit.
    pub(super) refs: BTreeMap<String, String>,
}

/// What a commit says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Details {
    pub(super) changed_paths: Option<Vec<String>>,
    pub(super) title: Option<String>,
    pub(super) author: Option<String>,
}

/// The system's git.
#[derive(Clone, Debug)]
pub(super) struct Git {
    data_dir: PathBuf,
    allow_local: bool,
}

impl Git {
    /// Git with mirrors below `data_dir`.
    pub(super) fn new(data_dir: &Path, allow_local: bool) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            allow_local,
        }
    }

    /// Where everything of ours is.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Asks where the refs point.
    pub(super) async fn look(&self, url: &str, credentials: &Credentials) -> Result<Remote, GitError> {
        self.check(url)?;
        self.prepare().await?;
        let mut command = self.command(credentials);
        command.args([
            "ls-remote",
            "--symref",
            "--end-of-options",
            url,
            "HEAD",
            "refs/heads/*",
            "refs/tags/*",
        ]);
        Ok(parse(&run(command, "ls-remote", LOOK).await?))
    }

    /// Brings the mirror of a repository up to date, and says where it is.
    pub(super) async fn fetch(&self, uid: &str, url: &str, credentials: &Credentials) -> Result<PathBuf, GitError> {
        self.check(url)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if uid.is_empty() || !uid.chars().all(plain) {
            return Err(GitError::Refused("the repository has no uid".to_owned()));
        }
        let mirror = self.data_dir.join("mirrors").join(uid);
        if !tokio::fs::try_exists(mirror.join("HEAD"))
            .await
            .map_err(GitError::Directory)?
        {
            tokio::fs::create_dir_all(&mirror).await.map_err(GitError::Directory)?;
            let mut command = self.command(credentials);
            command.args(["init", "--quiet", "--bare"]).arg(&mirror);
            run(command, "init", LOCAL).await?;
        }
        let mut command = self.command(credentials);
        command.arg("--git-dir").arg(&mirror).args([
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-write-fetch-head",
        ]);
        command.args([
            "--no-auto-maintenance",
            "--end-of-options",
            url,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
        ]);
        run(command, "fetch", FETCH).await?;
        Ok(mirror)
    }

    /// What a commit changed and says. What cannot be told is left out.
    pub(super) async fn describe(&self, mirror: &Path, before: Option<&str>, revision: &str) -> Details {
        let none = Credentials::default();
        let mut details = Details::default();
        let mut command = self.command(&none);
        command.arg("--git-dir").arg(mirror);
        command.args([
            "log",
            "-1",
            "--no-show-signature",
            "--format=%s%x00%an <%ae>",
            "--end-of-options",
            revision,
            "--",
        ]);
        if let Ok(output) = run(command, "log", LOCAL).await {
            let text = String::from_utf8_lossy(&output);
            let (title, author) = text.split_once('\0').unwrap_or((&text, ""));
            let cut = |text: &str| {
                Some(text.trim().chars().take(MAX_TITLE).collect::<String>()).filter(|text| !text.is_empty())
            };
            details.title = cut(title);
            details.author = cut(author);
        }
        if let Some(before) = before {
            let mut command = self.command(&none);
            command.arg("--git-dir").arg(mirror);
            command.args([
                "diff",
                "--name-only",
                "--no-renames",
                "--no-ext-diff",
                "-z",
                "--end-of-options",
                before,
                revision,
                "--",
            ]);
            if let Ok(output) = run(command, "diff", LOCAL).await {
                let paths: Vec<_> = output
                    .split(|byte| *byte == 0)
                    .filter(|path| !path.is_empty())
                    .take(MAX_PATHS + 1)
                    .collect();
                let paths = (paths.len() <= MAX_PATHS).then(|| {
                    paths
                        .iter()
                        .map(|path| String::from_utf8_lossy(path).into_owned())
                        .collect()
                });
                details.changed_paths = paths;
            }
        }
        details
    }

    /// Whether an address may be used at all. The server checked its form when it was applied; here it is checked
    /// again, since this is where it would do harm.
    fn check(&self, url: &str) -> Result<(), GitError> {
        if url.starts_with('-') || url.contains("::") || url.chars().any(char::is_control) {
            return Err(GitError::Refused("this is no address of a repository".to_owned()));
        }
        let local = url.starts_with("file://") || url.starts_with('/') || (!url.contains("://") && !url.contains(':'));
        if local && !self.allow_local {
            let message = "repositories on this machine's own file system are not allowed here (--allow-local-git)";
            return Err(GitError::Refused(message.to_owned()));
        }
        Ok(())
    }

    /// Makes our directories and git's one configuration file.
    async fn prepare(&self) -> Result<(), GitError> {
        let home = self.data_dir.join("git-home");
        tokio::fs::create_dir_all(&home).await.map_err(GitError::Directory)?;
        let config = home.join("config");
        if tokio::fs::try_exists(&config).await.map_err(GitError::Directory)? {
            return Ok(());
        }
        // Repositories on this machine may belong to others; hooks of theirs are never run by what we call.
        let text = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n[protocol \"ext\"]\n\tallow = never\n[gc]\n\tauto = 0\n[credential]\n\thelper =\n";
        tokio::fs::write(&config, text).await.map_err(GitError::Directory)
    }

    fn command(&self, credentials: &Credentials) -> Command {
        let home = self.data_dir.join("git-home");
        let mut command = Command::new("git");
        command
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
            )
            .env("HOME", &home)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", home.join("config"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env(
                "GIT_ALLOW_PROTOCOL",
                if self.allow_local {
                    "https:http:ssh:git:file"
                } else {
                    "https:http:ssh:git"
                },
            )
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes")
            .envs(credentials.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

async fn run(mut command: Command, what: &'static str, deadline: Duration) -> Result<Vec<u8>, GitError> {
    let mut child = command.spawn().map_err(GitError::Start)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let talk = async {
        let (out, complaint) = tokio::join!(bounded(stdout, MAX_OUTPUT), bounded(stderr, MAX_COMPLAINT));
        let out = out.map_err(GitError::Start)?;
        if out.len() as u64 > MAX_OUTPUT {
            return Err(GitError::TooMuch);
        }
        let status = child.wait().await.map_err(GitError::Start)?;
        Ok::<(ExitStatus, Vec<u8>, Vec<u8>), GitError>((status, out, complaint.unwrap_or_default()))
    };
    // Dropped at the deadline, the child is killed.
    let (status, out, complaint) = tokio::time::timeout(deadline, talk)
        .await
        .map_err(|_| GitError::Deadline(deadline))??;
    if status.success() {
        return Ok(out);
    }
    let text = String::from_utf8_lossy(&complaint);
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(4)
        .collect();
    let complaint: String = lines.join("; ").chars().filter(|c| !c.is_control()).take(500).collect();
    Err(GitError::Failed { what, complaint })
}

/// Reads up to one byte more than `limit`; what comes after it is read and thrown away, up to a second time as much,
/// so that a talkative child can end.
async fn bounded(from: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(limit + 1).read_to_end(&mut buffer).await?;
        tokio::io::copy(&mut from.take(limit), &mut tokio::io::sink()).await?;
    }
    Ok(buffer)
}

/// Reads what `ls-remote --symref` prints.
fn parse(output: &[u8]) -> Remote {
    let text = String::from_utf8_lossy(output);
    let mut remote = Remote::default();
    let mut peeled = BTreeMap::new();
    for line in text.lines() {
        let Some((left, name)) = line.split_once('\t') else {
            continue;
        };
        if let Some(target) = left.strip_prefix("ref: ") {
            if name == "HEAD" && target.starts_with("refs/heads/") {
                remote.head = Some(target.to_owned());
            }
        } else if !is_commit_id(left) || !name.starts_with("refs/") {
            // HEAD itself, or something we did not ask for.
        } else if let Some(tag) = name.strip_suffix("^{}") {
            peeled.insert(tag.to_owned(), left.to_owned());
        } else {
            remote.refs.insert(name.to_owned(), left.to_owned());
        }
    }
    remote.refs.extend(peeled);
    remote
}

fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_object_is_followed_to_its_commit_and_garbage_is_passed_over() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let text = format!(
            "ref: refs/heads/main\tHEAD\n{one}\tHEAD\n{one}\trefs/heads/main\n{two}\trefs/tags/v1\n{one}\trefs/tags/v1^{{}}\nxx\trefs/heads/bad\nnonsense\n"
        );
        let remote = parse(text.as_bytes());
        assert_eq!(remote.head.as_deref(), Some("refs/heads/main"));
        let want = BTreeMap::from([
            ("refs/heads/main".to_owned(), one.clone()),
            ("refs/tags/v1".to_owned(), one),
        ]);
        assert_eq!(remote.refs, want);
    }

    #[test]
    fn what_could_be_an_option_a_helper_or_a_local_path_is_refused() {
        let git = Git::new(Path::new("/nowhere"), false);
        for bad in [
            "--upload-pack=x",
            "ext::sh -c id",
            "/etc",
            "file:///etc",
            "../x",
            "a\nb",
        ] {
            assert!(git.check(bad).is_err(), "{bad}");
        }
        assert!(git.check("https://example.com/x.git").is_ok());
        assert!(Git::new(Path::new("/nowhere"), true).check("/srv/x.git").is_ok());
    }

    #[tokio::test]
    async fn a_real_repository_is_read_fetched_and_described() {
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin");
        let sh = |script: &str| {
            let done = std::process::Command::new("sh")
                .arg("-ec")
                .arg(script)
                .current_dir(dir.path())
                .env("HOME", dir.path())
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap().trim().to_owned()
        };
        sh(
            "git init -q -b main origin && cd origin && git config user.email a@b && git config user.name A && echo 1 > x && git add . && git commit -qm one",
        );
        let before = sh("git -C origin rev-parse HEAD");
        sh("cd origin && mkdir d && echo 2 > d/y && git add . && git commit -qm two && git tag -a v1 -m v1");
        let after = sh("git -C origin rev-parse HEAD");
        let git = Git::new(&dir.path().join("data"), true);
        let none = Credentials::default();
        let url = origin.to_str().unwrap();
        let remote = git.look(url, &none).await.unwrap();
        assert_eq!(remote.refs.get("refs/heads/main"), Some(&after));
        assert_eq!(
            remote.refs.get("refs/tags/v1"),
            Some(&after),
            "the tag's commit, not its object"
        );
        let mirror = git.fetch("0-1", url, &none).await.unwrap();
        let details = git.describe(&mirror, Some(&before), &after).await;
        assert_eq!(details.changed_paths, Some(vec!["d/y".to_owned()]));
        assert_eq!(
            (details.title.as_deref(), details.author.as_deref()),
            (Some("two"), Some("A <a@b>"))
        );
        let missing = git
            .look(dir.path().join("none").to_str().unwrap(), &none)
            .await
            .unwrap_err();
        assert_eq!(missing.reason(), "Unreadable");
    }
}
