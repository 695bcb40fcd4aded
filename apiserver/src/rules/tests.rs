//! Rules against upstream's texts, when they are written and when objects are.

use breakbulk_cel::Budget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::*;
use crate::definitions;

const AT: &str = "spec.validation.openAPIV3Schema.properties[spec]";

/// What is wrong with a definition whose `spec` has this schema.
fn written(spec: &Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let crd = json!({"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let mut crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
    definitions::default(&mut crd);
    definitions::prepare(&mut crd, None);
    let errors = definitions::validate(&crd, None, &Language::new());
    errors.iter().map(ToString::to_string).collect()
}

/// What rules say of an object.
fn judged(schema: &Value, new: &Value, old: Option<&Value>) -> (Vec<String>, Vec<String>) {
    let schema = Schema::parse(schema).unwrap();
    let mut budget = Budget::for_object();
    let scope = Scope {
        base: None,
        budget: &mut budget,
    };
    let verdict = Programs::of_object(&schema).judge(&schema, new, old, scope);
    let errors = verdict.errors.iter().map(ToString::to_string).collect();
    (errors, verdict.warnings)
}

fn ruled(rules: &Value) -> Value {
    json!({"type": "object", "x-kubernetes-validations": rules, "properties": {
        "n": {"type": "integer"}, "text": {"type": "string"}, "max": {"type": "integer", "nullable": true},
        "list": {"type": "array", "items": {"type": "integer"}},
        "either": {"x-kubernetes-int-or-string": true},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}}}})
}

#[test]
fn what_does_not_compile_is_refused_when_it_is_written() {
    let table: Vec<(Value, &str, &str)> = vec![
        (json!({"rule": "self.n <= 5"}), "", ""),
        (
            json!({"rule": "self.nope > 0"}),
            "rule",
            "compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope > 0\n | ....^",
        ),
        (
            json!({"rule": "self.n"}),
            "rule",
            "cel expression must evaluate to a bool",
        ),
        (
            json!({"rule": "self.n > 0", "messageExpression": "self.n"}),
            "messageExpression",
            "messageExpression must evaluate to a string",
        ),
        (
            json!({"rule": "self.n > 0", "messageExpression": "self.x"}),
            "messageExpression",
            "messageExpression compilation failed: ERROR: <input>:1:5: undefined field 'x'\n | self.x\n | ....^",
        ),
        (
            json!({"rule": "self.n > 0", "optionalOldSelf": true}),
            "optionalOldSelf",
            "may not be set if oldSelf is not used in rule",
        ),
        (
            json!({"rule": "oldSelf.n > 0", "optionalOldSelf": true}),
            "rule",
            "compilation failed: ERROR: <input>:1:11: found no matching overload",
        ),
        (
            json!({"rule": "oldSelf.?n.orValue(0) >= 0", "optionalOldSelf": true}),
            "",
            "",
        ),
        (json!({"rule": "self.n > 0", "fieldPath": ".text"}), "", ""),
        (
            json!({"rule": "self.n > 0", "fieldPath": ".nope"}),
            "fieldPath",
            "must be a valid path",
        ),
    ];
    for (rule, field, detail) in table {
        let errors = written(&ruled(&json!([rule])));
        if field.is_empty() {
            assert_eq!(errors, Vec::<String>::new(), "{rule}");
            continue;
        }
        let at = format!("{AT}.x-kubernetes-validations[0].{field}: Invalid value: ");
        assert!(
            errors.first().is_some_and(|error| error.starts_with(&at)) && errors[0].contains(detail),
            "{rule}: {errors:#?}"
        );
    }
}

#[test]
fn what_may_cost_too_much_is_refused_when_it_is_written() {
    let dear = json!([{"rule": "self.list.all(x, self.list.all(y, x == y))"}]);
    let errors = written(&ruled(&dear));
    let start = format!(
        "{AT}.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"
    );
    assert!(errors[0].starts_with(&start), "{errors:#?}");
    assert!(
        errors
            .iter()
            .any(|error| error.contains("estimated rule cost total for entire OpenAPIv3 schema"))
    );
    let unbounded = json!({"type": "array", "items": {"type": "string", "x-kubernetes-validations": [
        {"rule": "self.matches('^a+$')"}]}});
    assert!(written(&unbounded)[0].contains("estimated rule cost exceeds budget by factor of"));
    let bounded = json!({"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10,
        "x-kubernetes-validations": [{"rule": "self.matches('^a+$')"}]}});
    assert_eq!(written(&bounded), Vec::<String>::new());
}

#[test]
fn a_rule_where_the_schema_has_no_type_is_refused_and_not_skipped() {
    let untyped = json!({"x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{"rule": "true"}]});
    let errors = written(&untyped);
    assert!(
        errors
            .iter()
            .any(|error| error.contains("failed to convert to declType")),
        "{errors:#?}"
    );
}

#[test]
fn a_default_has_to_fulfil_the_rules() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "default": 7,
        "x-kubernetes-validations": [{"rule": "self < 5", "message": "too large"}]}}});
    assert_eq!(
        written(&schema),
        [format!(
            "{AT}.properties[n].default: Invalid value: \"integer\": too large"
        )]
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is read from top to bottom")]
fn an_object_is_refused_in_upstreams_words() {
    let table: Vec<(Value, Value, &str)> = vec![
        (json!({"rule": "self.n < 5"}), json!({"n": 4}), ""),
        (
            json!({"rule": "self.n < 5"}),
            json!({"n": 5}),
            r#"<nil>: Invalid value: "object": failed rule: self.n < 5"#,
        ),
        (
            json!({"rule": "self.n < 5", "message": " small! "}),
            json!({"n": 5}),
            r#"<nil>: Invalid value: "object": small!"#,
        ),
        (
            json!({"rule": "self.n < 5", "message": "small", "messageExpression": "'not ' + string(self.n)"}),
            json!({"n": 5}),
            r#"<nil>: Invalid value: "object": not 5"#,
        ),
        (
            json!({"rule": "self.n < 5", "message": "small", "messageExpression": "self.text"}),
            json!({"n": 5, "text": " "}),
            r#"<nil>: Invalid value: "object": small"#,
        ),
        (
            json!({"rule": "self.n < 5", "messageExpression": "string(self.list[3])"}),
            json!({"n": 5, "list": []}),
            r#"<nil>: Invalid value: "object": failed rule: self.n < 5"#,
        ),
        (
            json!({"rule": "self.n < 5", "reason": "FieldValueForbidden"}),
            json!({"n": 5}),
            "<nil>: Forbidden: failed rule: self.n < 5",
        ),
        (
            json!({"rule": "self.n < 5", "reason": "FieldValueRequired", "fieldPath": ".text"}),
            json!({"n": 5}),
            "text: Required value: failed rule: self.n < 5",
        ),
        (
            json!({"rule": "self.n < 5", "reason": "FieldValueDuplicate", "fieldPath": ".map['a.b']"}),
            json!({"n": 5}),
            r#"map[a.b]: Duplicate value: "object""#,
        ),
        (
            json!({"rule": "self.list[3] == 0"}),
            json!({"list": [1]}),
            r#"<nil>: Invalid value: "object": index out of bounds: 3 evaluating rule: self.list[3] == 0"#,
        ),
        (
            json!({"rule": "self.either < 5"}),
            json!({"either": "a"}),
            r#"<nil>: Invalid value: "object": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.either < 5"#,
        ),
        (
            json!({"rule": "self.metadata.name == 'a'"}),
            json!({"metadata": {"name": "a", "labels": {}}}),
            "",
        ),
        (json!({"rule": "self.n > oldSelf.n"}), json!({"n": 1}), ""),
        (
            json!({"rule": "oldSelf.hasValue()", "optionalOldSelf": true}),
            json!({"n": 1}),
            r#"<nil>: Invalid value: "object": failed rule: oldSelf.hasValue()"#,
        ),
    ];
    for (rule, object, expected) in table {
        let (errors, _) = judged(&ruled(&json!([rule])), &object, None);
        let expected: Vec<&str> = Some(expected).into_iter().filter(|text| !text.is_empty()).collect();
        assert_eq!(errors, expected, "{rule}");
    }
}

#[test]
fn what_an_update_leaves_alone_is_let_pass_with_a_warning_unless_the_rule_is_about_the_change() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]},
        "b": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf", "message": "must grow"}]},
        "atomic": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]}},
    }});
    let old = json!({"a": 9, "b": 1, "atomic": [9]});
    let (errors, warnings) = judged(&schema, &json!({"a": 9, "b": 2, "atomic": [9]}), Some(&old));
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(
        warnings,
        [
            r#"a: Invalid value: "integer": failed rule: self < 5"#,
            r#"atomic[0]: Invalid value: "integer": failed rule: self < 5"#
        ]
    );
    let (errors, _) = judged(&schema, &json!({"a": 8, "b": 1, "atomic": [9, 1]}), Some(&old));
    assert_eq!(
        errors,
        [
            r#"a: Invalid value: "integer": failed rule: self < 5"#,
            r#"atomic[0]: Invalid value: "integer": failed rule: self < 5"#,
            r#"b: Invalid value: "integer": must grow"#
        ]
    );
}

#[test]
fn a_rule_that_compiles_no_longer_refuses_and_is_not_skipped() {
    let (errors, _) = judged(&ruled(&json!([{"rule": "self.gone"}])), &json!({}), None);
    assert!(errors[0].starts_with(r#"<nil>: Invalid value: "object": rule compile error: compilation failed: ERROR"#));
}

#[test]
fn one_budget_pays_for_all_rules_of_an_object() {
    let list: Vec<u32> = (0..2_000).collect();
    let rules: Vec<Value> = (0..60)
        .map(|_| json!({"rule": "self.list.all(x, self.list.exists(y, y == 40 && x <= 2000))"}))
        .collect();
    let (errors, _) = judged(&ruled(&json!(rules)), &json!({"list": list.clone()}), None);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("running out of cost budget"), "{errors:#?}");
    let square = json!([{"rule": "self.list.all(x, self.list.all(y, x + y >= 0))"}, {"rule": "false"}]);
    let (errors, _) = judged(&ruled(&square), &json!({"list": list}), None);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("'operation cancelled: actual cost limit exceeded': no further validation rules"));
}
