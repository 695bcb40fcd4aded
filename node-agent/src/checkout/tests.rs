//! Checkouts with real git, from repositories that mean no good.

use std::process::Command;

use super::*;

struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.dir.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, file: &str, content: &str) -> Commit {
        let path = self.dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", file]);
        Commit::parse(&self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    fn source(&self) -> Source {
        let url = self.dir.path().to_str().unwrap();
        Source::new(url, Credentials::None, LocalGit::Allowed).unwrap()
    }
}

async fn lay_out(mirrors: &Mirrors, from: &Repository, commit: &Commit, depth: u32, to: &Path) -> Result<(), GitError> {
    let source = from.source();
    let mirror = mirrors.of(&source);
    mirror.fetch(&source, commit, Some("refs/heads/main")).await?;
    worktree::lay_out(&mirror, &source, commit, depth, to).await
}

fn in_workspace(workspace: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(workspace)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_workspace_has_the_commit_and_as_much_history_as_asked_for() {
    let (repository, work) = (Repository::new(), tempfile::tempdir().unwrap());
    repository.commit("a", "1");
    let second = repository.commit("dir/b", "2");
    let third = repository.commit("c", "3");
    let mirrors = Mirrors::new(&work.path().join("mirrors"));
    for (commit, depth, commits) in [
        (&third, 1, "1"),
        (&third, 2, "2"),
        (&third, 0, "3"),
        (&second, 5, "2"),
        (&third, 1, "1"),
    ] {
        let to = tempfile::tempdir_in(work.path()).unwrap();
        lay_out(&mirrors, &repository, commit, depth, to.path()).await.unwrap();
        assert_eq!(in_workspace(to.path(), &["rev-parse", "HEAD"]), commit.as_str());
        assert_eq!(in_workspace(to.path(), &["status", "--porcelain"]), "");
        assert_eq!(
            in_workspace(to.path(), &["rev-list", "--count", "HEAD"]),
            commits,
            "depth {depth}"
        );
        in_workspace(to.path(), &["fsck", "--no-dangling"]);
        assert_eq!(std::fs::read_to_string(to.path().join("dir/b")).unwrap(), "2");
    }
}

#[tokio::test]
async fn a_commit_once_fetched_needs_no_remote_any_more() {
    let (repository, work) = (Repository::new(), tempfile::tempdir().unwrap());
    let commit = repository.commit("a", "1");
    let mirrors = Mirrors::new(&work.path().join("mirrors"));
    let to = work.path().join("one");
    lay_out(&mirrors, &repository, &commit, 1, &to).await.unwrap();
    std::fs::rename(repository.dir.path().join(".git"), repository.dir.path().join("gone")).unwrap();
    // A new agent remembers nothing; its mirror does.
    let mirrors = Mirrors::new(&work.path().join("mirrors"));
    lay_out(&mirrors, &repository, &commit, 1, &work.path().join("two"))
        .await
        .unwrap();
    let missing = Commit::parse(&"0".repeat(40)).unwrap();
    let error = lay_out(&mirrors, &repository, &missing, 1, &work.path().join("three"))
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn nothing_that_a_repository_brings_is_executed() {
    let (repository, work) = (Repository::new(), tempfile::tempdir().unwrap());
    let trap = work.path().join("trapped");
    let touch = format!("touch {}", trap.display());
    repository.commit(".gitattributes", "* filter=trap\n");
    repository.commit(".gitconfig", &format!("[filter \"trap\"]\n\tsmudge = {touch}\n"));
    repository.commit(".githooks/post-checkout", &format!("#!/bin/sh\n{touch}\n"));
    let hook = repository.dir.path().join(".git/hooks/post-checkout");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\n{touch}\n")).unwrap();
    let commit = repository.commit(
        ".gitmodules",
        "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c 'touch /tmp/x'\n",
    );
    let mirrors = Mirrors::new(&work.path().join("mirrors"));
    let to = work.path().join("to");
    lay_out(&mirrors, &repository, &commit, 1, &to).await.unwrap();
    assert!(!trap.exists());
    assert!(!to.join(".git/hooks").exists());
}

#[tokio::test]
async fn a_workspace_shares_no_file_with_the_mirror_and_holds_no_credential() {
    use std::os::unix::fs::MetadataExt;
    let (repository, work) = (Repository::new(), tempfile::tempdir().unwrap());
    let commit = repository.commit("a", "1");
    let mirrors = Mirrors::new(&work.path().join("mirrors"));
    let to = work.path().join("to");
    lay_out(&mirrors, &repository, &commit, 1, &to).await.unwrap();
    let mut open = vec![to];
    while let Some(path) = open.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(metadata.nlink(), 1, "{}", path.display());
            let content = std::fs::read(&path).unwrap();
            assert!(
                !String::from_utf8_lossy(&content).contains("Authorization"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn what_is_no_commit_or_no_path_below_the_workspace_is_refused() {
    for bad in [
        "",
        "main",
        "-x",
        "HEAD",
        &"0".repeat(39),
        &"G".repeat(40),
        &"A".repeat(40),
    ] {
        assert_eq!(Commit::parse(bad), None, "{bad}");
    }
    assert!(target(Path::new("/w"), Some("../x")).is_err());
    assert!(target(Path::new("/w"), Some("/x")).is_err());
    assert_eq!(target(Path::new("/w"), Some("a/b")).unwrap(), Path::new("/w/a/b"));
}
