//! What moved between two looks at a repository. Pure.

use std::collections::BTreeMap;

use breakbulk_schemas::git_event::{GitEvent, GitEventKind, GitEventSpec};
use breakbulk_schemas::{GitRepository, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};

use super::git::{Details, Remote};

/// The most refs that are kept.
const MAX_REFS: usize = 2000;

/// The most moves that are recorded after one look; the others follow after the next, at once.
const MAX_MOVES: usize = 100;

/// A ref that points elsewhere now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) ref_: String,
    pub(super) before: Option<String>,
    pub(super) revision: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be recorded.
    pub(super) moves: Vec<Move>,
    /// To be written down after that.
    pub(super) refs: BTreeMap<String, String>,
    /// There are more moves.
    pub(super) more: bool,
}

/// Compares. The first look is where everything starts from: it finds no moves.
pub(super) fn plan(repository: &GitRepository, remote: &Remote) -> Plan {
    let now = kept(&remote.refs);
    let status = repository.status.clone().unwrap_or_default();
    if status.last_check_time.is_none() {
        return Plan {
            moves: Vec::new(),
            refs: now,
            more: false,
        };
    }
    let moved: Vec<Move> = now
        .iter()
        .filter(|(ref_, revision)| status.refs.get(*ref_) != Some(revision))
        .map(|(ref_, revision)| Move {
            ref_: ref_.clone(),
            before: status.refs.get(ref_).cloned(),
            revision: revision.clone(),
        })
        .collect();
    let more = moved.len() > MAX_MOVES;
    let mut refs = now;
    for later in moved.iter().skip(MAX_MOVES) {
        match &later.before {
            Some(before) => refs.insert(later.ref_.clone(), before.clone()),
            None => refs.remove(&later.ref_),
        };
    }
    let moves = moved.into_iter().take(MAX_MOVES).collect();
    Plan { moves, refs, more }
}

/// Branches and tags, branches first where there are too many.
fn kept(refs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let branches = refs.iter().filter(|(ref_, _)| ref_.starts_with("refs/heads/"));
    let tags = refs.iter().filter(|(ref_, _)| ref_.starts_with("refs/tags/"));
    branches
        .chain(tags)
        .take(MAX_REFS)
        .map(|(ref_, revision)| (ref_.clone(), revision.clone()))
        .collect()
}

/// The record of a move. Its name follows from what happened, so that however often it is found it is one object.
pub(super) fn event(repository: &GitRepository, step: &Move, details: Details) -> GitEvent {
    let uid = repository.uid().unwrap_or_default();
    let digest = Sha256::digest(format!("{uid}\0{}\0{}", step.ref_, step.revision));
    let hash: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    let name = repository.name_any();
    let head: String = name.chars().take(40).collect();
    GitEvent {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", head.trim_end_matches(['-', '.']))),
            namespace: repository.namespace(),
            labels: Some(BTreeMap::from([(labels::REPOSITORY.to_owned(), label(&name))])),
            owner_references: repository.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: GitEventSpec {
            kind: if step.ref_.starts_with("refs/tags/") {
                GitEventKind::Tag
            } else {
                GitEventKind::Push
            },
            repository: name,
            ref_: step.ref_.clone(),
            revision: step.revision.clone(),
            before: step.before.clone(),
            changed_paths: details.changed_paths,
            title: details.title,
            author: details.author,
        },
        status: None,
    }
}

/// A name as a label's value: names may be longer than those.
fn label(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use breakbulk_schemas::git_repository::{GitRepositorySpec, GitRepositoryStatus};
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    use super::*;

    fn refs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(ref_, revision)| ((*ref_).to_owned(), (*revision).to_owned()))
            .collect()
    }

    fn repository(known: Option<BTreeMap<String, String>>) -> GitRepository {
        let mut repository = GitRepository::new("r", GitRepositorySpec::default());
        repository.metadata.uid = Some("u".to_owned());
        repository.status = known.map(|refs| GitRepositoryStatus {
            refs,
            last_check_time: Some(Time(Timestamp::UNIX_EPOCH)),
            ..GitRepositoryStatus::default()
        });
        repository
    }

    fn remote(refs: BTreeMap<String, String>) -> Remote {
        Remote { head: None, refs }
    }

    #[test]
    fn the_first_look_finds_no_moves() {
        let plan = plan(&repository(None), &remote(refs(&[("refs/heads/main", "1")])));
        assert!(plan.moves.is_empty() && plan.refs.len() == 1);
    }

    #[test]
    fn a_push_a_new_branch_and_a_tag_are_moves_and_a_deletion_is_none() {
        let known = repository(Some(refs(&[("refs/heads/main", "1"), ("refs/heads/old", "1")])));
        let plan = plan(
            &known,
            &remote(refs(&[
                ("refs/heads/main", "2"),
                ("refs/heads/new", "2"),
                ("refs/tags/v1", "2"),
            ])),
        );
        let moves: Vec<_> = plan
            .moves
            .iter()
            .map(|step| (step.ref_.as_str(), step.before.as_deref()))
            .collect();
        assert_eq!(
            moves,
            [
                ("refs/heads/main", Some("1")),
                ("refs/heads/new", None),
                ("refs/tags/v1", None)
            ]
        );
        assert!(!plan.refs.contains_key("refs/heads/old"));
    }

    #[test]
    fn the_same_move_has_the_same_name_and_another_repository_gives_another() {
        let step = Move {
            ref_: "refs/heads/main".to_owned(),
            before: None,
            revision: "2".to_owned(),
        };
        let one = event(&repository(None), &step, Details::default());
        let again = event(
            &repository(None),
            &Move {
                before: Some("1".to_owned()),
                ..step.clone()
            },
            Details::default(),
        );
        assert_eq!(one.metadata.name, again.metadata.name);
        let mut other = repository(None);
        other.metadata.uid = Some("v".to_owned());
        assert_ne!(
            one.metadata.name,
            event(&other, &step, Details::default()).metadata.name
        );
    }

    proptest! {
        /// Killed before the refs are written down, the same moves are found again; written down, none is; and however
        /// many there are, all are recorded in the end.
        #[test]
        fn every_move_is_recorded_in_the_end(
            known in prop::collection::btree_map("refs/(heads|tags)/[a-d]{1,4}", "[1-3]", 0..200),
            now in prop::collection::btree_map("refs/(heads|tags)/[a-d]{1,4}", "[1-3]", 0..300),
        ) {
            let want: usize = now.iter().filter(|(ref_, revision)| known.get(*ref_) != Some(revision)).count();
            let mut repository = repository(Some(known));
            let remote = remote(now.clone());
            let mut found = std::collections::BTreeSet::new();
            for _ in 0..10 {
                let plan = plan(&repository, &remote);
                found.extend(plan.moves.iter().map(|step| step.ref_.clone()));
                let more = plan.more;
                repository.status.as_mut().unwrap().refs = plan.refs;
                if !more {
                    break;
                }
            }
            prop_assert_eq!(found.len(), want);
            prop_assert_eq!(repository.status.unwrap().refs, now);
        }
    }
}
