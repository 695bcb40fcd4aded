//! Parsers and rules under input that nobody wrote in good faith: they may refuse, never panic, and never take long.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test that cannot go on fails; lists are long"
)]

use breakbulk_schemas::expression::{Context, Expression, Template};
use breakbulk_schemas::pipeline::Matrix;
use breakbulk_schemas::{Duration, Scalar, kinds, matrix, quantity};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Any JSON, of the sizes that a request may have in miniature.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("build"),
            Just("${{ params.x }}"),
            Just("1h"),
            Just("refs/heads/main"),
            Just("a"),
            Just("True")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((field_name(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Names that the kinds know, so that arbitrary values end up where they hurt, and some that they do not.
fn field_name() -> impl Strategy<Value = String> {
    let known = [
        "metadata",
        "spec",
        "status",
        "name",
        "jobs",
        "finally",
        "run",
        "needs",
        "if",
        "env",
        "matrix",
        "axes",
        "include",
        "exclude",
        "params",
        "type",
        "default",
        "options",
        "triggers",
        "push",
        "branches",
        "paths",
        "secrets",
        "key",
        "file",
        "concurrency",
        "group",
        "limit",
        "retry",
        "backoff",
        "initial",
        "max",
        "resources",
        "cpu",
        "memory",
        "attempts",
        "number",
        "node",
        "token",
        "bootId",
        "claimTime",
        "conditions",
        "reason",
        "url",
        "interval",
        "ref",
        "source",
        "pipelineSpec",
        "pipelineRef",
        "rerunOf",
        "cancel",
        "script",
        "shell",
        "attempt",
        "nodeName",
        "holders",
        "tolerations",
        "nodeSelector",
        "checkout",
        "path",
        "timeout",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_of_every_kind_survive_any_object(new in json(), old in prop::option::of(json()), spec in json()) {
        for row in kinds::ALL {
            let _ = (row.validate)(&new, old.as_ref());
            let object = serde_json::json!({"metadata": {"name": "x"}, "spec": spec, "status": new});
            let _ = (row.validate)(&object, None);
            let _ = (row.validate)(&object, old.as_ref());
        }
    }

    #[test]
    fn any_text_is_an_expression_or_is_refused(text in "[ -~]{0,80}|\\PC{0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.evaluate_bool(&Context::default());
            let _ = expression.evaluate_text(&Context::default());
        }
        if let Ok(template) = Template::parse(&text) {
            let _ = template.render(&Context::default());
        }
    }

    #[test]
    fn a_text_without_braces_renders_as_itself(text in "[^$]{0,60}") {
        prop_assert_eq!(Template::parse(&text).unwrap().render(&Context::default()).unwrap(), text);
    }

    #[test]
    fn any_text_is_a_duration_and_a_quantity_or_is_refused(text in "[0-9hmsKMGTPiekun.]{0,12}|.{0,20}") {
        if let Ok(duration) = text.parse::<Duration>() {
            prop_assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration);
        }
        let scalar = Scalar::from(text);
        let _ = (quantity::cpu_millis(&scalar), quantity::memory_bytes(&scalar));
    }

    #[test]
    fn every_combination_of_a_matrix_is_there_once(
        sizes in prop::collection::vec(1usize..4, 1..4),
        excluded in 0usize..3,
    ) {
        let axes = sizes.iter().enumerate().map(|(axis, size)| {
            (format!("a{axis}"), (0..*size).map(|value| Scalar::Int(i64::try_from(value).unwrap())).collect())
        });
        let mut matrix = Matrix { axes: axes.collect(), ..Matrix::default() };
        let all = matrix::expand(&matrix);
        prop_assert_eq!(all.len(), sizes.iter().product::<usize>());
        let unique: std::collections::BTreeSet<_> = all.iter().cloned().collect();
        prop_assert_eq!(unique.len(), all.len());
        matrix.exclude = all.iter().take(excluded).cloned().collect();
        prop_assert_eq!(matrix::expand(&matrix).len(), all.len() - excluded.min(all.len()));
    }
}

#[test]
fn expressions_made_to_be_deep_or_long_are_refused_quickly() {
    for text in [
        "(".repeat(2000),
        "!".repeat(2000),
        "-".repeat(2000),
        "[".repeat(2000),
        "a?".repeat(900),
        "a.".repeat(1000),
        "a+".repeat(1000),
        "a[".repeat(900),
    ] {
        assert!(Expression::parse(&text).is_err(), "{}…", &text[..10]);
    }
    // The longest that are taken must fit the stack of a thread, parsed and evaluated.
    let sum = vec!["1"; 200].join("+");
    assert_eq!(
        Expression::parse(&sum)
            .unwrap()
            .evaluate_text(&Context::default())
            .unwrap(),
        "200"
    );
    let chain = vec!["true"; 100].join("&&");
    assert!(
        Expression::parse(&chain)
            .unwrap()
            .evaluate_bool(&Context::default())
            .unwrap()
    );
    let path = format!("git{}", ".a".repeat(200));
    assert!(
        Expression::parse(&path)
            .unwrap()
            .evaluate_bool(&Context::default())
            .is_err()
    );
    let nested = format!("{}1{}", "(".repeat(32), ")".repeat(32));
    assert_eq!(
        Expression::parse(&nested)
            .unwrap()
            .evaluate_text(&Context::default())
            .unwrap(),
        "1"
    );
    let lists = format!("size({}1{}) == 1", "[".repeat(31), "]".repeat(31));
    assert!(
        Expression::parse(&lists)
            .unwrap()
            .evaluate_bool(&Context::default())
            .unwrap()
    );
    let conditions = format!("{}true", "true ? true : ".repeat(20));
    assert!(
        Expression::parse(&conditions)
            .unwrap()
            .evaluate_bool(&Context::default())
            .unwrap()
    );
}
