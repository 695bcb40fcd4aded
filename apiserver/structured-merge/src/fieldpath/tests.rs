//! Elements, paths, the algebra of sets against a plain model, and the form in `managedFields`.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::codec::{has_all, may_touch, survey};
use super::*;

fn key(fields: &[(&str, Value)]) -> PathElement {
    PathElement::key(
        fields
            .iter()
            .map(|(name, value)| (Arc::from(*name), value.clone()))
            .collect(),
    )
}

#[test]
fn paths_are_printed_as_in_upstreams_messages() {
    let path = Path(vec![
        PathElement::field("spec"),
        PathElement::field("list"),
        key(&[("port", json!(80)), ("name", json!("x"))]),
        PathElement::field("value"),
    ]);
    assert_eq!(path.to_string(), ".spec.list[name=\"x\",port=80].value");
    assert_eq!(PathElement::value(json!("a b")).to_string(), "[=\"a b\"]");
    assert_eq!(PathElement::value(json!(1.5)).to_string(), "[=1.5]");
    assert_eq!(PathElement::Index(3).to_string(), "[3]");
    assert_eq!(
        key(&[("a", json!(null)), ("b", json!(true))]).to_string(),
        "[a=null,b=true]"
    );
    assert_eq!(PathElement::field("a.b/c").to_string(), ".a.b/c");
}

#[test]
fn keys_are_written_as_upstream_writes_them() {
    for (element, text) in [
        (PathElement::field("name"), "f:name"),
        (PathElement::field(""), "f:"),
        (
            key(&[("port", json!(80)), ("name", json!("x"))]),
            "k:{\"name\":\"x\",\"port\":80}",
        ),
        (key(&[("a<b", json!("<&>"))]), "k:{\"a<b\":\"\\u003c\\u0026\\u003e\"}"),
        (PathElement::value(json!("x")), "v:\"x\""),
        (PathElement::value(json!(2.0)), "v:2"),
        (PathElement::value(json!(true)), "v:true"),
        (PathElement::Index(-1), "i:-1"),
    ] {
        assert_eq!(element.to_fields_v1_key(), text);
        assert_eq!(PathElement::from_fields_v1_key(text), Ok(Some(element)), "{text}");
    }
}

#[test]
fn keys_that_cannot_be_read_are_errors_and_unknown_kinds_are_none() {
    assert_eq!(PathElement::from_fields_v1_key("x:what"), Ok(None));
    for text in [
        "",
        "f",
        "name",
        "f.name",
        "k:",
        "k:[]",
        "k:1",
        "k:{\"a\":}",
        "v:",
        "v:x",
        "v:1 2",
        "i:x",
        "i:",
        "i:1.5",
    ] {
        assert!(PathElement::from_fields_v1_key(text).is_err(), "{text}");
    }
    assert!(PathElement::from_fields_v1_key("é:x").is_err());
}

#[test]
fn a_set_is_read_leniently_where_upstream_is_and_strictly_where_it_is() {
    let read = |value: Value| FieldSet::from_fields_v1(&value).map(|set| set.to_string());
    assert_eq!(read(json!({})), Ok(String::new()));
    assert_eq!(read(json!(null)), Ok(String::new()));
    assert_eq!(read(json!({"f:a": null})), Ok(".a".to_owned()));
    assert_eq!(read(json!({"f:a": {".": 5}})), Ok(".a".to_owned()));
    assert_eq!(read(json!({"f:a": {"x:b": {}}})), Ok(".a".to_owned()));
    assert_eq!(read(json!({"x:a": {"f:b": {}}})), Ok(String::new()));
    assert_eq!(read(json!({"f:a": {"f:b": {}}})), Ok(".a.b".to_owned()));
    assert_eq!(read(json!({"f:a": {".": {}, "f:b": {}}})), Ok(".a\n.a.b".to_owned()));
    assert_eq!(read(json!({"k:{\"b\":1,\"a\":2}": {}})), Ok("[a=2,b=1]".to_owned()));
    assert_eq!(
        read(json!({"v:1": {}, "v:1.0": {"f:a": {}}})),
        Ok("[=1]\n[=1].a".to_owned())
    );
    for wrong in [
        json!([]),
        json!("x"),
        json!({"f:a": 1}),
        json!({"f:a": []}),
        json!({"a": {}}),
        json!({"v:": {}}),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_set_that_is_too_deep_is_refused() {
    let mut deep = json!({});
    for _ in 0..2 * MAX_DEPTH {
        deep = json!({ "f:a": deep });
    }
    assert_eq!(FieldSet::from_fields_v1(&deep), Err(FieldsError::TooDeep));
    assert_eq!(survey(&deep, None), Err(FieldsError::TooDeep));
}

/// The names are few, so that sets meet.
fn element() -> impl Strategy<Value = PathElement> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c"]).prop_map(PathElement::field),
        2 => (0..2_i64).prop_map(|id| key(&[("id", json!(id))])),
        1 => prop::sample::select(vec![json!("x"), json!(1), json!(1.5), json!(true)]).prop_map(PathElement::value),
        1 => (0..2_i64).prop_map(PathElement::Index),
    ]
}

type Model = BTreeSet<Path>;

fn paths() -> impl Strategy<Value = Model> {
    let path = prop::collection::vec(element(), 1..4).prop_map(Path);
    prop::collection::btree_set(path, 0..12)
}

fn set(model: &Model) -> FieldSet {
    model.iter().cloned().collect()
}

fn model(set: &FieldSet) -> Model {
    set.paths().into_iter().collect()
}

fn is_below(path: &Path, parent: &Path) -> bool {
    path.0.len() > parent.0.len() && path.0.starts_with(&parent.0)
}

proptest! {
    #[test]
    fn a_set_holds_what_was_put_in(a in paths(), probe in prop::collection::vec(element(), 0..4)) {
        let found = set(&a);
        prop_assert_eq!(model(&found), a.clone());
        prop_assert_eq!(found.len(), a.len());
        prop_assert_eq!(found.is_empty(), a.is_empty());
        prop_assert_eq!(found.contains(&probe), a.contains(&Path(probe)));
    }

    #[test]
    fn the_algebra_is_that_of_sets_of_paths(a in paths(), b in paths()) {
        let (x, y) = (set(&a), set(&b));
        prop_assert_eq!(model(&x.union(&y)), &a | &b);
        prop_assert_eq!(model(&x.intersection(&y)), &a & &b);
        prop_assert_eq!(model(&x.difference(&y)), &a - &b);
        prop_assert_eq!(x == y, a == b);
        let kept: Model = a.iter().filter(|p| !b.contains(p) && !b.iter().any(|q| is_below(p, q))).cloned().collect();
        prop_assert_eq!(model(&x.recursive_difference(&y)), kept);
        let leaves: Model = a.iter().filter(|p| !a.iter().any(|q| is_below(q, p))).cloned().collect();
        prop_assert_eq!(model(&x.leaves()), leaves);
    }

    #[test]
    fn results_have_the_one_shape_that_their_paths_have(a in paths(), b in paths()) {
        let (x, y) = (set(&a), set(&b));
        for result in [x.union(&y), x.intersection(&y), x.difference(&y), x.recursive_difference(&y), x.leaves()] {
            prop_assert_eq!(set(&model(&result)), result);
        }
    }

    #[test]
    fn what_is_written_is_read_back(a in paths()) {
        let written = set(&a).to_fields_v1();
        let text = written.to_string();
        let again: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(FieldSet::from_fields_v1(&again), Ok(set(&a)));
        prop_assert!(survey(&again, None).is_ok());
    }

    #[test]
    fn a_look_at_the_written_form_tells_the_truth(a in paths(), b in paths()) {
        let (x, y) = (set(&a), set(&b));
        let written = x.to_fields_v1();
        if !may_touch(&written, &y) {
            prop_assert!(x.intersection(&y).is_empty());
        }
        if has_all(&written, &y) {
            prop_assert!(y.difference(&x).is_empty());
        } else {
            prop_assert!(!y.difference(&x).is_empty());
        }
    }

    #[test]
    fn elements_have_a_total_order(a in element(), b in element(), c in element()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.to_fields_v1_key() == b.to_fields_v1_key());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn no_key_panics(text in "[fkvix]?:?\\PC{0,12}") {
        let _ = PathElement::from_fields_v1_key(&text);
        let _ = FieldSet::from_fields_v1(&json!({ text: {} }));
    }
}
