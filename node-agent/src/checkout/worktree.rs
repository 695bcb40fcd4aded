//! A workspace's own repository: made by hand from a pack of the commit, so that one process of git, or two the first time, is all
//! that a checkout costs. The pack is kept beside the mirror and copied for later jobs of the same commit.

use std::io;
use std::path::{Path, PathBuf};

use super::Commit;
use super::git::{Environment, Git, GitError};
use super::mirror::{LOCAL, Mirror};
use super::source::Source;

/// Packs kept per mirror; the oldest go first.
const PACKS: usize = 64;

/// Lays out `commit` with `depth` commits of history (0: all) in `target`.
pub(crate) async fn lay_out(
    mirror: &Mirror,
    source: &Source,
    commit: &Commit,
    depth: u32,
    target: &Path,
) -> Result<(), GitError> {
    let environment = Environment::default();
    let pack = packed(mirror, commit, depth, &environment).await?;
    let (url, id, to) = (source.url().to_owned(), commit.as_str().to_owned(), target.to_owned());
    let written = tokio::task::spawn_blocking(move || repository(&to, &pack, &url, &id)).await;
    written
        .expect("writing a repository does not panic")
        .map_err(|source| GitError::Write {
            path: "the workspace's repository".to_owned(),
            source,
        })?;
    let repository = target.join(".git");
    let git = Git {
        repository: &repository,
        environment: &environment,
        deadline: LOCAL,
    };
    let in_target = |command: &mut tokio::process::Command| {
        command.env("GIT_WORK_TREE", target);
    };
    git.run_with(&["read-tree", "--reset", "-u", commit.as_str()], in_target, "")
        .await?;
    Ok(())
}

/// A pack with its index, and where its history is cut.
struct Pack {
    stem: PathBuf,
    shallow: String,
}

/// The pack of a commit, made if it is not there.
async fn packed(mirror: &Mirror, commit: &Commit, depth: u32, environment: &Environment) -> Result<Pack, GitError> {
    let dir = mirror.path().join("breakbulk-packs");
    let stem = dir.join(format!("{}-{depth}", commit.as_str()));
    let cut = stem.with_extension("shallow");
    if let Ok(shallow) = tokio::fs::read_to_string(&cut).await {
        return Ok(Pack { stem, shallow });
    }
    let failed = |source| GitError::Write {
        path: dir.display().to_string(),
        source,
    };
    tokio::fs::create_dir_all(&dir).await.map_err(failed)?;
    let git = Git {
        repository: mirror.path(),
        environment,
        deadline: LOCAL,
    };
    let shallow = shallow(&git, commit, depth).await?;
    let mut revisions = String::new();
    for id in shallow.lines() {
        revisions.push_str(&format!("--shallow {id}\n"));
    }
    revisions.push_str(commit.as_str());
    revisions.push('\n');
    // Under a name of its own first: two jobs may do this at the same time.
    let mark: u64 = rand::random();
    let base = dir.join(format!("tmp-{mark:016x}"));
    let base_text = base.display().to_string();
    let arguments = [
        "pack-objects",
        "--quiet",
        "--revs",
        "--delta-base-offset",
        "--threads=1",
        &base_text,
    ];
    let name = git.run_with(&arguments, |_| {}, &revisions).await?;
    let made = PathBuf::from(format!("{base_text}-{}", name.trim()));
    let publish = tokio::task::spawn_blocking(move || {
        for kind in ["pack", "idx"] {
            std::fs::rename(made.with_extension(kind), stem.with_extension(kind))?;
        }
        // What else pack-objects leaves beside them.
        let _ = std::fs::remove_file(made.with_extension("rev"));
        // Written last: what it stands beside is whole.
        std::fs::write(base.with_extension("shallow"), &shallow)?;
        std::fs::rename(base.with_extension("shallow"), stem.with_extension("shallow"))?;
        forget_old(&dir)?;
        Ok::<_, io::Error>(Pack { stem, shallow })
    });
    let published = publish.await.expect("publishing a pack does not panic");
    published.map_err(|source| GitError::Write {
        path: "a pack".to_owned(),
        source,
    })
}

/// The commits at which the history is cut: those whose parents are left out.
async fn shallow(git: &Git<'_>, commit: &Commit, depth: u32) -> Result<String, GitError> {
    match depth {
        0 => Ok(String::new()),
        1 => Ok(format!("{}\n", commit.as_str())),
        depth => {
            // Level by level, as git counts depth: `--max-count` would count commits, not generations.
            let mut level = vec![commit.as_str().to_owned()];
            for _ in 1..depth {
                let mut arguments = vec!["rev-parse", "--revs-only"];
                let parents: Vec<_> = level.iter().map(|id| format!("{id}^@")).collect();
                arguments.extend(parents.iter().map(String::as_str));
                let next = git.run(&arguments).await?;
                let next: Vec<_> = next.lines().map(str::to_owned).collect();
                if next.is_empty() {
                    return Ok(String::new());
                }
                level = next;
            }
            level.sort();
            level.dedup();
            Ok(level.iter().map(|id| format!("{id}\n")).collect())
        }
    }
}

/// Keeps the newest packs.
fn forget_old(dir: &Path) -> io::Result<()> {
    let mut cuts = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|e| e == "shallow") {
            cuts.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    cuts.sort();
    let surplus = cuts.len().saturating_sub(PACKS);
    for (_, cut) in cuts.into_iter().take(surplus) {
        for kind in ["shallow", "pack", "idx"] {
            // Somebody else may be at it too.
            let _ = std::fs::remove_file(cut.with_extension(kind));
        }
    }
    Ok(())
}

/// Writes `.git` in `target`. The pack is copied, not linked: the job owns what is in its workspace, and could
/// change a file that it shares with the mirror.
fn repository(target: &Path, pack: &Pack, url: &str, commit: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let git = target.join(".git");
    for dir in ["objects/pack", "objects/info", "refs/heads", "refs/tags", "info"] {
        std::fs::create_dir_all(git.join(dir))?;
    }
    let format = if commit.len() == 64 { 1 } else { 0 };
    let mut config = format!(
        "[core]\n\trepositoryformatversion = {format}\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
    );
    if format == 1 {
        config.push_str("[extensions]\n\tobjectformat = sha256\n");
    }
    // The address was checked; a quote or a backslash in it must still not end the value.
    let url = url.replace('\\', "\\\\").replace('"', "\\\"");
    config.push_str(&format!(
        "[remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    ));
    std::fs::write(git.join("config"), config)?;
    std::fs::write(git.join("HEAD"), format!("{commit}\n"))?;
    if !pack.shallow.is_empty() {
        std::fs::write(git.join("shallow"), &pack.shallow)?;
    }
    for kind in ["pack", "idx"] {
        let copy = git.join(format!("objects/pack/pack-{commit}.{kind}"));
        std::fs::copy(pack.stem.with_extension(kind), &copy)?;
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o444))?;
    }
    Ok(())
}
