//! Whether a push is one that a pipeline waits for. Pure.

use breakbulk_schemas::git_event::GitEventSpec;
use breakbulk_schemas::pipeline::PushTrigger;
use globset::GlobBuilder;

/// Whether `event` starts a run.
pub(super) fn matches(push: &PushTrigger, event: &GitEventSpec) -> bool {
    if let Some(tag) = event.ref_.strip_prefix("refs/tags/") {
        return any(&push.tags, tag);
    }
    let Some(branch) = event.ref_.strip_prefix("refs/heads/") else {
        return false;
    };
    let every = push.branches.is_empty() && push.tags.is_empty();
    (every || any(&push.branches, branch)) && touches(&push.paths, event)
}

/// New branches match whatever they change, and so does a push of which that is not known.
fn touches(patterns: &[String], event: &GitEventSpec) -> bool {
    let (Some(paths), Some(_)) = (&event.changed_paths, &event.before) else {
        return true;
    };
    patterns.is_empty() || paths.iter().any(|path| selected(patterns, path))
}

/// The last pattern that fits decides. Where all patterns take files out, the others are in.
fn selected(patterns: &[String], path: &str) -> bool {
    let mut selected = patterns.iter().all(|pattern| pattern.starts_with('!'));
    for pattern in patterns {
        let (wanted, pattern) = pattern
            .strip_prefix('!')
            .map_or((true, pattern.as_str()), |rest| (false, rest));
        if fits(pattern, path) {
            selected = wanted;
        }
    }
    selected
}

fn any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, name))
}

/// `*` stays within one path element, `**` does not. A pattern that is none fits nothing; the server lets none in.
fn fits(pattern: &str, text: &str) -> bool {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(ref_: &str, before: Option<&str>, paths: &[&str]) -> GitEventSpec {
        GitEventSpec {
            ref_: ref_.to_owned(),
            before: before.map(str::to_owned),
            changed_paths: Some(paths.iter().map(|path| (*path).to_owned()).collect()),
            ..GitEventSpec::default()
        }
    }

    fn trigger(branches: &[&str], tags: &[&str], paths: &[&str]) -> PushTrigger {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        PushTrigger {
            branches: own(branches),
            tags: own(tags),
            paths: own(paths),
        }
    }

    #[test]
    fn without_patterns_every_branch_matches_and_no_tag_does() {
        let all = trigger(&[], &[], &[]);
        assert!(matches(&all, &event("refs/heads/x", None, &[])));
        assert!(!matches(&all, &event("refs/tags/v1", None, &[])));
        assert!(!matches(&trigger(&[], &["v*"], &[]), &event("refs/heads/x", None, &[])));
        assert!(matches(&trigger(&[], &["v*"], &[]), &event("refs/tags/v1", None, &[])));
    }

    #[test]
    fn a_star_stays_within_one_element() {
        let release = trigger(&["release/*"], &[], &[]);
        assert!(matches(&release, &event("refs/heads/release/1", None, &[])));
        assert!(!matches(&release, &event("refs/heads/release/1/2", None, &[])));
        assert!(matches(
            &trigger(&["release/**"], &[], &[]),
            &event("refs/heads/release/1/2", None, &[])
        ));
    }

    #[test]
    fn paths_decide_on_pushes_but_not_on_new_branches() {
        let docs = trigger(&[], &[], &["src/**", "!src/**/*.md"]);
        assert!(matches(
            &docs,
            &event("refs/heads/x", Some("1"), &["README", "src/a/b.rs"])
        ));
        assert!(!matches(
            &docs,
            &event("refs/heads/x", Some("1"), &["README", "src/a/b.md"])
        ));
        assert!(matches(&docs, &event("refs/heads/x", None, &["README"])));
        assert!(matches(
            &trigger(&[], &[], &["!docs/**"]),
            &event("refs/heads/x", Some("1"), &["src/x"])
        ));
    }
}
