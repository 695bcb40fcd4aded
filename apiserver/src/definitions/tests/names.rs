//! Names of one group against each other, and the conditions that come of it.

use super::*;

fn named(plural: &str, kind: &str, short_names: &[&str]) -> CustomResourceDefinition {
    read(
        &changed(&[
            ("/metadata/name", json!(format!("{plural}.example.com"))),
            (
                "/spec/names",
                json!({"plural": plural, "kind": kind, "shortNames": short_names}),
            ),
        ]),
        None,
    )
}

fn reason(crd: &CustomResourceDefinition, type_: &str) -> String {
    let conditions = crd.status.as_ref().unwrap().conditions.as_deref().unwrap();
    let condition = conditions.iter().find(|condition| condition.type_ == type_).unwrap();
    format!(
        "{} {}: {}",
        condition.status,
        condition.reason.as_deref().unwrap(),
        condition.message.as_deref().unwrap()
    )
}

#[test]
fn who_comes_second_gets_what_is_left_and_the_rest_when_it_is_free() {
    let now = NOW.parse().unwrap();
    let mut first = named("widgets", "Widget", &["w"]);
    first.status = Some(establish(&first, accept(&first, [], now), now));
    assert_eq!(reason(&first, "NamesAccepted"), "True NoConflicts: no conflicts found");
    assert_eq!(
        reason(&first, "Established"),
        "True InitialNamesAccepted: the initial names have been accepted"
    );
    let mut second = named("wodgets", "Widget", &["w", "wo"]);
    second.status = Some(accept(&second, [&first], now));
    assert_eq!(
        reason(&second, "NamesAccepted"),
        r#"False ListKindConflict: "WidgetList" is already in use"#
    );
    assert_eq!(
        reason(&second, "Established"),
        "False NotAccepted: not all names are accepted"
    );
    let names = second.status.as_ref().unwrap().accepted_names.as_ref().unwrap();
    assert_eq!(
        (names.plural.as_str(), names.kind.as_str(), names.short_names.as_ref()),
        ("wodgets", "", None)
    );
    assert_eq!(
        establish(&second, second.status.clone().unwrap(), now),
        second.status.clone().unwrap()
    );
    second.status = Some(accept(&second, [], now));
    assert_eq!(
        reason(&second, "Established"),
        "False Installing: the initial names have been accepted"
    );
}

#[test]
fn a_status_that_holds_keeps_its_times() {
    let crd = named("widgets", "Widget", &[]);
    let first = accept(&crd, [], NOW.parse().unwrap());
    let again = accept(
        &CustomResourceDefinition {
            status: Some(first.clone()),
            ..crd
        },
        [],
        "2027-01-01T00:00:00Z".parse().unwrap(),
    );
    assert_eq!(first, again);
}

proptest! {
    #[test]
    fn who_has_its_names_keeps_them_whatever_comes(picks in prop::collection::vec((0..4_usize, 0..4_usize, 0..4_usize), 1..6), order in any::<u64>()) {
        const WORDS: [&str; 4] = ["as", "bs", "cs", "ds"];
        const KINDS: [&str; 4] = ["A", "B", "C", "D"];
        let now: jiff::Timestamp = NOW.parse().unwrap();
        let mut all: Vec<CustomResourceDefinition> = picks
            .iter()
            .enumerate()
            .map(|(n, (plural, kind, short))| {
                let mut crd = named(WORDS[*plural], KINDS[*kind], &[WORDS[*short]]);
                crd.metadata.name = Some(format!("{n}"));
                crd
            })
            .collect();
        for at in 0..all.len() {
            let status = accept(&all[at], &all, now);
            all[at].status = Some(establish(&all[at], status, now));
        }
        // Settled, in any order and any number of rounds nothing changes but for who was refused.
        for round in 0..all.len() {
            let at = (usize::try_from(order % 7).unwrap() + round * 3) % all.len();
            let before = all[at].clone();
            let status = accept(&before, &all, now);
            if is_established(&before) {
                prop_assert_eq!(Some(&status), before.status.as_ref());
            }
            all[at].status = Some(status);
        }
        let kinds: Vec<_> = all.iter().filter(|crd| is_established(crd)).map(|crd| crd.spec.names.kind.clone()).collect();
        let distinct: std::collections::HashSet<_> = kinds.iter().collect();
        prop_assert_eq!(distinct.len(), kinds.len());
    }
}
