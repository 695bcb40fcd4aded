//! The operations on values, as tables: one row is one case, written as YAML.

use serde_json::{Value, json};

use super::*;
use crate::fieldpath::FieldSet;
use crate::schema::Schema;

/// The schema of the tables.
fn zoo() -> Schema {
    let schema = yaml(include_str!("../../tests/zoo.yaml"));
    let tree = json!({"type": "object", "properties": {"v": {"type": "string"}, "kids": {"type": "object",
        "additionalProperties": {"$ref": "#/tree"}}}});
    let schema = Schema::of_value(&schema, &|reference| (reference == "#/tree").then_some(&tree));
    assert_eq!(schema.problems(), []);
    schema
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Runs one check on each row of a table and reports all rows that fail.
fn table(rows: &str, check: impl Fn(&str) -> String) {
    let rows: Vec<_> = rows
        .lines()
        .map(str::trim)
        .filter(|row| !row.is_empty() && !row.starts_with('#'))
        .collect();
    let mut wrong = Vec::new();
    for row in &rows {
        let (input, expected) = row.split_once(" => ").unwrap_or((row, ""));
        let found = check(input);
        if found != expected {
            wrong.push(format!("{input} => {found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows differ:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

fn words(set: &FieldSet, sign: &str) -> Vec<String> {
    set.paths().iter().map(|path| format!("{sign}{path}")).collect()
}

#[test]
fn a_value_sets_its_leaves_its_items_and_its_undeclared_entries() {
    let zoo = zoo();
    table(include_str!("tests/sets.txt"), |row| {
        match to_field_set(zoo.root(), &yaml(row)) {
            Ok(set) => words(&set, "").join(" "),
            Err(errors) => format!("! {errors}").replace('\n', " |"),
        }
    });
}

#[test]
fn the_upper_value_wins_at_leaves_and_containers_are_joined() {
    let zoo = zoo();
    table(include_str!("tests/merges.txt"), |row| {
        let (lower, upper) = row.split_once(" + ").expect("two values");
        match merge(zoo.root(), &yaml(lower), &yaml(upper)) {
            Ok(merged) => merged.to_string(),
            Err(errors) => format!("! {errors}").replace('\n', " |"),
        }
    });
}

#[test]
fn a_comparison_tells_added_modified_and_removed_apart() {
    let zoo = zoo();
    let compared = |old: &Value, new: &Value| match compare(zoo.root(), old, new) {
        Ok(found) => {
            let (added, modified) = (words(&found.added, "+"), words(&found.modified, "~"));
            [added, modified, words(&found.removed, "-")].concat().join(" ")
        }
        Err(errors) => format!("! {errors}"),
    };
    table(include_str!("tests/comparisons.txt"), |row| {
        let (old, new) = row.split_once(" -> ").expect("two values");
        let (old, new) = (yaml(old), yaml(new));
        let mirrored: String = compared(&new, &old)
            .split(' ')
            .map(|word| match word.split_at_checked(1) {
                Some(("+", rest)) => format!("-{rest} "),
                Some(("-", rest)) => format!("+{rest} "),
                _ => format!("{word} "),
            })
            .collect();
        let found = compared(&old, &new);
        let sorted = |text: &str| {
            let mut words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            words.sort();
            words
        };
        if !found.starts_with('!') {
            assert_eq!(
                sorted(&found),
                sorted(&mirrored),
                "{row}: the way back is the mirror image"
            );
        }
        found
    });
}

#[test]
fn removing_takes_named_fields_and_extracting_takes_the_others() {
    let zoo = zoo();
    table(include_str!("tests/removals.txt"), |row| {
        let (object, fields) = row.split_once(" / ").expect("a value and a set");
        let (object, fields) = (yaml(object), FieldSet::from_fields_v1(&yaml(fields)).expect("a set"));
        let left = remove_items(zoo.root(), &object, &fields);
        let taken = extract_items(zoo.root(), &object, &fields);
        format!("{left} and {taken}")
    });
}

#[test]
fn what_does_not_fit_is_told_in_upstreams_words() {
    let zoo = zoo();
    table(include_str!("tests/validations.txt"), |row| {
        match validate(zoo.root(), &yaml(row)) {
            Ok(()) => "fits".to_owned(),
            Err(errors) => errors.to_string().replace('\n', " |"),
        }
    });
}

#[test]
fn a_set_follows_its_schema_when_what_was_granular_becomes_atomic() {
    let zoo = zoo();
    table(include_str!("tests/reconciliations.txt"), |row| {
        let fields = FieldSet::from_fields_v1(&yaml(row)).expect("a set");
        match reconcile(zoo.root(), &fields) {
            Some(set) => words(&set, "").join(" "),
            None => "same".to_owned(),
        }
    });
}

#[test]
fn declared_fields_on_the_way_to_a_path_are_named() {
    let zoo = zoo();
    let named = |object: &str| {
        let set = to_field_set(zoo.root(), &yaml(object)).expect("fits");
        words(&ensure_named_fields(zoo.root(), &set), "").join(" ")
    };
    assert_eq!(named("{box: {deep: {leaf: a}}}"), ".box .box.deep .box.deep.leaf");
    assert_eq!(named("{labels: {a: b}}"), ".labels .labels.a");
    assert_eq!(
        named("{tree: {kids: {a: {v: b}}}}"),
        ".tree .tree.kids .tree.kids.a .tree.kids.a.v"
    );
    assert_eq!(
        named("{parts: [{name: a, tags: [x]}]}"),
        ".parts .parts[name=\"a\"] .parts[name=\"a\"].name .parts[name=\"a\"].tags .parts[name=\"a\"].tags[=\"x\"]"
    );
    assert_eq!(named("{free: {a: {b: c}}}"), ".free .free.a .free.a.b");
}

#[test]
fn a_value_that_is_too_deep_is_an_error_everywhere() {
    let schema = Schema::of_value(&Value::Null, &|_| None);
    let mut deep = json!(1);
    for _ in 0..1000 {
        deep = json!({ "a": deep });
    }
    let ty = schema.root();
    assert!(to_field_set(ty, &deep).is_err());
    assert!(merge(ty, &deep, &deep).is_err());
    assert!(compare(ty, &deep, &json!({})).is_err());
    assert!(validate(ty, &deep).is_err());
    // Nothing is named at that depth, so nothing is walked there.
    assert_eq!(remove_items(ty, &deep, &FieldSet::new()), deep);
}

#[test]
fn only_so_many_mistakes_are_told() {
    let items: Vec<Value> = (0..1000).map(|_| json!({"port": 1})).collect();
    let errors = validate(zoo().root(), &json!({ "ports": items })).expect_err("the items have one name");
    assert_eq!(errors.0.len(), 100);
}
