//! The rules of the kinds, as a user meets them: a manifest in, the mistakes out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use breakbulk_schemas::field::FieldError;
use breakbulk_schemas::kinds;
use serde_json::{Value, json};

fn validate(kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let row = kinds::ALL
        .iter()
        .find(|row| row.kind == kind)
        .expect("a kind of the table");
    (row.validate)(new, old).iter().map(FieldError::to_string).collect()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn pipeline(spec: &str) -> Vec<String> {
    let spec = yaml(spec);
    validate("Pipeline", &json!({"metadata": {"name": "p"}, "spec": spec}), None)
}

#[test]
fn a_pipeline_that_uses_everything_is_accepted() {
    let mistakes = pipeline(
        r#"
repository: app
params:
  level: {type: int, default: 2, options: [1, 2]}
env: {LEVEL: "${{ params.level }}", PORT: 8080, DEBUG: true}
triggers: {push: {branches: [main, "release/**"], paths: ["src/**", "!docs/**"]}}
concurrency: {group: "deploy-${{ git.branch }}", policy: Cancel}
timeout: 1h
jobs:
  build:
    run: make
    retry: {limit: 2, reasons: [NodeLost], backoff: {initial: 1s, max: 1m}}
    resources: {cpu: 500m, memory: 64Mi}
  test-it:
    needs: [build]
    if: git.branch == 'main' && params.level > 1
    matrix: {axes: {os: [linux], v: [1, 2]}, include: [{os: mac, v: 3}]}
    env: {OS: "${{ matrix.os }}", VERSION: "${{ needs.build.outputs.version }}"}
    secrets: [{name: s, key: k, env: TOKEN}, {name: s, key: k, file: token}]
    run: ./test "$OS"
finally:
  notify: {run: "true", if: "needs['test-it'].result != 'Succeeded'"}
"#,
    );
    assert_eq!(mistakes, Vec::<String>::new());
}

#[test]
fn a_manifest_with_many_mistakes_shows_them_all_with_their_places() {
    let mistakes = pipeline(
        r#"
env: {CI_X: a, OK: "${{ nope.x }}", F: 1.5}
triggers: {push: {branches: ["[a"]}}
params: {n: {type: int, default: "x"}}
jobs:
  Build: {run: "echo ${{ params.n }}", needs: [gone]}
  b: {run: "x", if: "1 +", timeout: 0s, secrets: [{name: s, key: k}]}
"#,
    );
    for part in [
        "spec.env.CI_X: Forbidden",
        "spec.env.OK: Invalid value: \"nope.x\"",
        "spec.env.F: Invalid value: \"1.5\"",
        "spec.triggers.push: Required value",
        "spec.triggers.push.branches[0]",
        "spec.params.n.default: Invalid value: \"x\": must be a whole number",
        "spec.jobs.Build: Invalid value",
        "spec.jobs.Build.run: Forbidden: \"echo ${{ params.n }}\"",
        "spec.jobs.Build.needs[0]: Not found: \"gone\"",
        "spec.jobs.b.if: Invalid value: \"1 +\": is not a CEL expression",
        "spec.jobs.b.timeout: Invalid value",
        "spec.jobs.b.secrets[0]: Required value",
    ] {
        assert!(
            mistakes.iter().any(|m| m.starts_with(part)),
            "{part} is not among {mistakes:#?}"
        );
    }
}

#[test]
fn a_run_names_one_thing_to_run() {
    let run = |spec: Value| validate("PipelineRun", &json!({"metadata": {"name": "r"}, "spec": spec}), None);
    assert_eq!(
        run(json!({"pipelineRef": {"name": "p"}, "params": {"a": 1}})),
        Vec::<String>::new()
    );
    assert_eq!(run(json!({})).len(), 1);
    assert_eq!(
        run(json!({"pipelineRef": {"name": "p"}, "rerunOf": {"name": "r"}})).len(),
        1
    );
    let inline = run(json!({"pipelineSpec": {"jobs": {"a": {"run": "x", "needs": ["a"]}}}}));
    assert!(inline[0].starts_with("spec.pipelineSpec.jobs.a.needs[0]"), "{inline:?}");
    assert_eq!(
        run(json!({"pipelineRef": {"name": "p"}, "source": {"ref": "main; rm -rf /"}})).len(),
        1
    );
}

#[test]
fn a_cancel_stays_and_the_rest_of_a_run_is_final() {
    let old = json!({"metadata": {"name": "r"}, "spec": {"pipelineRef": {"name": "p"}, "cancel": true}});
    let mut new = old.clone();
    new["spec"]["cancel"] = json!(false);
    assert_eq!(validate("PipelineRun", &new, Some(&old)).len(), 1);
    let mut new = old.clone();
    new["spec"]["pipelineRef"]["name"] = json!("q");
    assert_eq!(validate("PipelineRun", &new, Some(&old)).len(), 1);
    let mut new = old.clone();
    new["spec"]["priority"] = json!(5);
    assert_eq!(validate("PipelineRun", &new, Some(&old)), Vec::<String>::new());
}

#[expect(clippy::needless_pass_by_value, reason = "reads better at the calls")]
fn job(attempts: Value) -> Value {
    json!({
        "metadata": {"name": "j"},
        "spec": {"script": "x", "nodeName": "n1", "attempt": 1},
        "status": {"attempts": attempts},
    })
}

fn attempt(number: u32, node: &str) -> Value {
    json!({"number": number, "node": node, "token": "t", "bootId": "b", "claimTime": "2026-01-01T00:00:00.000000Z"})
}

#[test]
fn an_attempt_is_claimed_by_the_bound_node_in_its_turn() {
    let unclaimed = job(json!([]));
    assert_eq!(
        validate("Job", &job(json!([attempt(1, "n1")])), Some(&unclaimed)),
        Vec::<String>::new()
    );
    assert_eq!(
        validate("Job", &job(json!([attempt(1, "n2")])), Some(&unclaimed)).len(),
        1
    );
    assert_eq!(
        validate("Job", &job(json!([attempt(2, "n1")])), Some(&unclaimed)).len(),
        1
    );
    let mut second = job(json!([attempt(1, "n1"), attempt(2, "n1")]));
    second["spec"]["attempt"] = json!(2);
    let mut first = job(json!([attempt(1, "n1")]));
    first["spec"]["attempt"] = json!(2);
    let mistakes = validate("Job", &second, Some(&first));
    assert!(mistakes[0].contains("an earlier attempt has not ended"), "{mistakes:?}");
}

#[test]
fn what_has_ended_never_changes() {
    let mut ended = attempt(1, "n1");
    ended["reason"] = json!("Failed");
    ended["exitCode"] = json!(1);
    ended["finishTime"] = json!("2026-01-01T00:00:01.000000Z");
    let old = job(json!([ended]));
    let mut with_log = ended.clone();
    with_log["log"] = json!({"length": 3, "digest": "00"});
    assert_eq!(
        validate("Job", &job(json!([with_log])), Some(&old)),
        Vec::<String>::new()
    );
    let mut turned = ended.clone();
    turned["exitCode"] = json!(0);
    assert_eq!(validate("Job", &job(json!([turned])), Some(&old)).len(), 1);
    assert_eq!(validate("Job", &job(json!([])), Some(&old)).len(), 1);
    let over = |reason: &str| {
        let mut job = old.clone();
        job["status"]["conditions"] = json!([{"type": "Succeeded", "status": "False", "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:02Z"}]);
        job
    };
    assert_eq!(validate("Job", &over("Succeeded"), Some(&over("Failed"))).len(), 1);
}

#[test]
fn nobody_takes_a_place_that_is_not_there() {
    let member = |name: &str| json!({"kind": "Job", "name": name, "uid": name, "since": "2026-01-01T00:00:00Z"});
    let group = |limit: u32, holders: &[&str]| {
        let holders: Vec<_> = holders.iter().map(|name| member(name)).collect();
        json!({"metadata": {"name": "g"}, "spec": {"group": "g", "limit": limit}, "status": {"holders": holders}})
    };
    assert_eq!(
        validate("ConcurrencyGroup", &group(1, &["a", "b"]), Some(&group(1, &["a"]))).len(),
        1
    );
    assert_eq!(
        validate("ConcurrencyGroup", &group(1, &["a", "b"]), Some(&group(2, &["a", "b"]))),
        Vec::<String>::new()
    );
    assert_eq!(
        validate("ConcurrencyGroup", &group(2, &["a", "b"]), Some(&group(2, &["a"]))),
        Vec::<String>::new()
    );
}

#[test]
fn every_schema_is_structural_and_described() {
    fn walk(schema: &Value, path: &str, undescribed: &mut Vec<String>) {
        let preserved = schema.get("x-kubernetes-preserve-unknown-fields").is_some();
        let int_or_string = schema.get("x-kubernetes-int-or-string").is_some();
        assert!(
            schema.get("type").is_some() || preserved || int_or_string,
            "{path} has no type: {schema}"
        );
        for forbidden in ["$ref", "oneOf", "anyOf", "allOf", "not"] {
            assert!(schema.get(forbidden).is_none(), "{path} holds {forbidden}");
        }
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let path = format!("{path}.{name}");
            if property.get("description").is_none() {
                undescribed.push(path.clone());
            }
            walk(property, &path, undescribed);
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner_schema) = schema.get(inner).filter(|s| s.is_object()) {
                walk(inner_schema, &format!("{path}[]"), undescribed);
            }
        }
    }
    let mut undescribed = Vec::new();
    for row in kinds::ALL {
        let crd = serde_json::to_value(row.crd()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for part in ["spec", "status"] {
            walk(
                &schema["properties"][part],
                &format!("{}.{part}", row.kind),
                &mut undescribed,
            );
        }
    }
    assert_eq!(undescribed, Vec::<String>::new(), "fields without a description");
}
