//! What is covered and what is missing: upstream's cases, and properties over a small world of rules.

use proptest::prelude::*;

use super::*;

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> Rule {
    Rule {
        groups: list(groups),
        resources: list(resources),
        names: list(names),
        urls: Vec::new(),
        verbs: list(verbs),
    }
}

fn paths(urls: &[&str]) -> Rule {
    Rule {
        urls: list(urls),
        verbs: list(&["get"]),
        ..Rule::default()
    }
}

fn missing_of(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let held: Vec<&Rule> = held.iter().collect();
    uncovered(&held, wanted).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_held_by_several_rules_together_is_held() {
    let held = [
        rule(&["get"], &[""], &["pods", "secrets"], &[]),
        rule(&["list"], &["", "apps"], &["*"], &[]),
    ];
    let wanted = [rule(&["get", "list"], &[""], &["pods", "secrets"], &[])];
    assert!(missing_of(&held, &wanted).is_empty());
}

#[test]
fn what_is_missing_is_told_in_upstreams_words() {
    let held = [rule(&["get"], &[""], &["pods"], &[])];
    let wanted = [
        rule(&["get", "list", "watch"], &[""], &["pods"], &[]),
        rule(&["get"], &[""], &["secrets"], &["a"]),
        paths(&["/metrics"]),
    ];
    assert_eq!(
        missing_of(&held, &wanted),
        [
            "{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}",
            "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}",
            "{APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"a\"], Verbs:[\"get\"]}",
        ]
    );
}

#[test]
fn names_subresources_and_paths_are_covered_as_they_are_matched() {
    let one = |held: Rule, wanted: Rule| missing_of(&[held], &[wanted]).is_empty();
    let get = |resources: &[&str], names: &[&str]| rule(&["get"], &[""], resources, names);
    assert!(one(get(&["pods"], &[]), get(&["pods"], &["a"])));
    assert!(!one(get(&["pods"], &["a"]), get(&["pods"], &[])));
    assert!(
        !one(get(&["pods"], &["*"]), get(&["pods"], &["a"])),
        "names have no wildcard"
    );
    assert!(!one(get(&["pods"], &[]), get(&["pods/log"], &[])));
    assert!(one(get(&["*/log"], &[]), get(&["pods/log"], &[])));
    assert!(one(get(&["*"], &[]), get(&["pods/log", "*"], &[])));
    assert!(!one(get(&["pods", "secrets"], &[]), get(&["*"], &[])));
    assert!(one(paths(&["/a/*"]), paths(&["/a/b", "/a/*"])));
    assert!(!one(paths(&["/a/b"]), paths(&["/a/*"])));
    assert!(!one(paths(&["*"]), get(&["pods"], &[])));
}

#[test]
fn a_rule_with_more_parts_than_are_looked_at_is_missing_unless_it_is_held_as_it_stands() {
    let many: Vec<String> = (0..2000).map(|n| format!("r{n}")).collect();
    let huge = Rule {
        groups: many.clone(),
        resources: many.clone(),
        verbs: many,
        ..Rule::default()
    };
    assert_eq!(uncovered(&[], std::slice::from_ref(&huge)).len(), 1);
    let [all, _] = everything();
    assert!(uncovered(&[&all], &[huge]).is_empty());
}

fn words(all: &'static [&'static str], least: usize) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(all, least..=all.len()).prop_map(|texts| list(&texts))
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let of_resources = (
        words(&["get", "list", "*"], 1),
        words(&["", "g", "*"], 1),
        words(&["pods", "pods/log", "*/log", "jobs", "*"], 1),
        words(&["a", "b"], 0),
    );
    let of_paths = (words(&["get", "*"], 1), words(&["/a", "/a/*", "/a/b", "*"], 1));
    prop_oneof![
        of_resources.prop_map(|(verbs, groups, resources, names)| Rule {
            groups,
            resources,
            names,
            urls: Vec::new(),
            verbs,
        }),
        of_paths.prop_map(|(verbs, urls)| Rule {
            urls,
            verbs,
            ..Rule::default()
        }),
    ]
}

/// Everything that can be asked in the small world of [`any_rule`].
fn allowed(rules: &[Rule]) -> Vec<String> {
    let none = FieldSelector::default();
    let mut all = Vec::new();
    let mut ask = |asks: Attributes<'_>| {
        if rules.iter().any(|rule| rule.allows(&asks)) {
            all.push(format!("{asks:?}"));
        }
    };
    for verb in ["get", "list", "other"] {
        for path in ["/a", "/a/b", "/a/c", "/z"] {
            let resource = "";
            ask(attributes(verb, ("", resource, ""), None, path, &none));
        }
        for group in ["", "g", "h"] {
            for (resource, subresource) in [("pods", ""), ("pods", "log"), ("jobs", ""), ("jobs", "log"), ("x", "")] {
                for name in [None, Some("a"), Some("b"), Some("c")] {
                    ask(attributes(verb, (group, resource, subresource), name, "", &none));
                }
            }
        }
    }
    all
}

fn attributes<'a>(
    verb: &'a str,
    (group, resource, subresource): (&'a str, &'a str, &'a str),
    name: Option<&'a str>,
    path: &'a str,
    field_selector: &'a FieldSelector,
) -> Attributes<'a> {
    Attributes {
        verb,
        group,
        resource,
        subresource,
        namespace: None,
        name,
        field_selector,
        path,
    }
}

proptest! {
    #[test]
    fn what_is_covered_allows_nothing_new(
        held in proptest::collection::vec(any_rule(), 0..4),
        wanted in proptest::collection::vec(any_rule(), 1..3),
    ) {
        if missing_of(&held, &wanted).is_empty() {
            let before = allowed(&held);
            let new: Vec<_> = allowed(&wanted).into_iter().filter(|asks| !before.contains(asks)).collect();
            prop_assert_eq!(new, Vec::<String>::new());
        }
    }

    #[test]
    fn whoever_holds_what_was_missing_misses_nothing(
        held in proptest::collection::vec(any_rule(), 0..4),
        wanted in proptest::collection::vec(any_rule(), 1..3),
    ) {
        let before: Vec<&Rule> = held.iter().collect();
        let added = uncovered(&before, &wanted);
        let after: Vec<&Rule> = held.iter().chain(&added).collect();
        prop_assert!(uncovered(&after, &wanted).is_empty());
    }

    #[test]
    fn more_rules_never_allow_less(
        some in proptest::collection::vec(any_rule(), 0..3),
        more in proptest::collection::vec(any_rule(), 0..3),
    ) {
        let all: Vec<Rule> = some.iter().chain(&more).cloned().collect();
        let together = allowed(&all);
        prop_assert!(allowed(&some).iter().all(|asks| together.contains(asks)));
        let mut alone: Vec<String> = [allowed(&some), allowed(&more)].concat();
        let mut together = together;
        for list in [&mut alone, &mut together] {
            list.sort();
            list.dedup();
        }
        prop_assert_eq!(alone, together);
    }
}
