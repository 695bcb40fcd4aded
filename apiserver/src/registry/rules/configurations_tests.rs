//! What is refused of the objects that configure admission, and in which words.

use serde_json::{Value, json};

use super::webhooks::{MUTATING, VALIDATING};

fn hook(change: impl FnOnce(&mut Value)) -> Value {
    let mut hook = json!({
        "name": "a.b.c",
        "clientConfig": {"url": "https://example.com/x"},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    });
    change(&mut hook);
    hook
}

fn errors(hooks: &Value) -> Vec<String> {
    let mut object = json!({"metadata": {"name": "x"}, "webhooks": hooks});
    (MUTATING.prepare)(&mut object, None);
    (MUTATING.validate)(&object, None)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_configuration_that_says_the_least_is_fine_and_gets_its_defaults() {
    let mut object = json!({"webhooks": [hook(|_| {})]});
    (VALIDATING.prepare)(&mut object, None);
    assert!((VALIDATING.validate)(&object, None).is_empty());
    let written = &object["webhooks"][0];
    assert_eq!(
        (&written["timeoutSeconds"], &written["failurePolicy"]),
        (&json!(10), &json!("Fail"))
    );
    assert_eq!(
        (&written["objectSelector"], &written["rules"][0]["scope"]),
        (&json!({}), &json!("*"))
    );
    assert_eq!(written["clientConfig"], json!({"url": "https://example.com/x"}));
    assert!(written.get("reinvocationPolicy").is_none());
    (MUTATING.prepare)(&mut object, None);
    assert_eq!(object["webhooks"][0]["reinvocationPolicy"], "Never");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is read from top to bottom")]
fn every_mistake_of_a_webhook_has_its_words() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str)] = &[
        (|h| h["name"] = json!(""), "webhooks[0].name: Required value"),
        (
            |h| h["name"] = json!("a.b"),
            "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
        ),
        (
            |h| h["sideEffects"] = json!("Some"),
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ),
        (
            |h| h["timeoutSeconds"] = json!(31),
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            |h| h["admissionReviewVersions"] = json!([]),
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1",
        ),
        (
            |h| h["admissionReviewVersions"] = json!(["v2"]),
            "must include at least one of v1",
        ),
        (
            |h| h["admissionReviewVersions"] = json!(["v1", "v1"]),
            "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v1\": duplicate version",
        ),
        (
            |h| h["failurePolicy"] = json!("Maybe"),
            "webhooks[0].failurePolicy: Unsupported value",
        ),
        (
            |h| h["matchPolicy"] = json!("Some"),
            "webhooks[0].matchPolicy: Unsupported value",
        ),
        (
            |h| h["reinvocationPolicy"] = json!("Always"),
            "webhooks[0].reinvocationPolicy: Unsupported value",
        ),
        (
            |h| h["clientConfig"] = json!({}),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (
            |h| h["clientConfig"]["url"] = json!("http://x"),
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            |h| h["clientConfig"]["url"] = json!("https:///x"),
            "host must be specified; desired format: https://host[/path]",
        ),
        (
            |h| h["clientConfig"]["url"] = json!("https://u:p@h/x"),
            "user information is not permitted in the URL",
        ),
        (
            |h| h["clientConfig"]["url"] = json!("https://h/x#f"),
            "fragments are not permitted in the URL",
        ),
        (
            |h| h["clientConfig"]["url"] = json!("https://h/x?q=1"),
            "query parameters are not permitted in the URL",
        ),
        (
            |h| h["clientConfig"] = json!({"service": {"name": "", "namespace": "n", "port": 70000}}),
            "webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
        ),
        (
            |h| h["clientConfig"] = json!({"service": {"name": "s", "namespace": "n", "path": "a//b"}}),
            "must start with a '/'",
        ),
        (
            |h| h["clientConfig"] = json!({"service": {"name": "s", "namespace": "n", "path": "/a//b"}}),
            "segment[1] may not be empty",
        ),
        (
            |h| h["rules"][0]["operations"] = json!(["*", "CREATE"]),
            "if '*' is present, must not specify other operations",
        ),
        (
            |h| h["rules"][0]["operations"] = json!(["READ"]),
            "webhooks[0].rules[0].operations[0]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
        ),
        (
            |h| h["rules"][0]["apiGroups"] = json!(["a", "*"]),
            "if '*' is present, must not specify other API groups",
        ),
        (
            |h| h["rules"][0]["apiVersions"] = json!([""]),
            "webhooks[0].rules[0].apiVersions[0]: Required value",
        ),
        (
            |h| h["rules"][0]["resources"] = json!([]),
            "webhooks[0].rules[0].resources: Required value",
        ),
        (
            |h| h["rules"][0]["resources"] = json!(["a/*", "a/x"]),
            "webhooks[0].rules[0].resources[1]: Invalid value: \"a/x\": if 'a/*' is present, must not specify a/x",
        ),
        (
            |h| h["rules"][0]["resources"] = json!(["*/a", "x/a"]),
            "if '*/a' is present, must not specify x/a",
        ),
        (
            |h| h["rules"][0]["resources"] = json!(["*/*", "a"]),
            "if '*/*' is present, must not specify other resources",
        ),
        (
            |h| h["rules"][0]["resources"] = json!(["*", "a"]),
            "if '*' is present, must not specify other resources without subresources",
        ),
        (
            |h| h["rules"][0]["scope"] = json!("All"),
            "webhooks[0].rules[0].scope: Unsupported value",
        ),
        (
            |h| h["objectSelector"] = json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "webhooks[0].objectSelector",
        ),
        (
            |h| h["namespaceSelector"] = json!({"matchLabels": {"-": "x"}}),
            "webhooks[0].namespaceSelector.matchLabels: Invalid value: \"-\"",
        ),
        (
            |h| h["matchConditions"] = json!([{"name": "", "expression": "true"}]),
            "webhooks[0].matchConditions[0].name: Required value",
        ),
        (
            |h| h["matchConditions"] = json!([{"name": "a b", "expression": "true"}]),
            "webhooks[0].matchConditions[0].name: Invalid value",
        ),
        (
            |h| h["matchConditions"] = json!([{"name": "a", "expression": " "}]),
            "webhooks[0].matchConditions[0].expression: Required value",
        ),
        (
            |h| h["matchConditions"] = json!([{"name": "a", "expression": "1"}]),
            "webhooks[0].matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool",
        ),
        (
            |h| {
                h["matchConditions"] =
                    json!([{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]);
            },
            "webhooks[0].matchConditions[1].name: Duplicate value: \"a\"",
        ),
        (
            |h| h["matchConditions"] = json!(vec![json!({"name": "a", "expression": "true"}); 65]),
            "webhooks[0].matchConditions: Too many: 65: must have at most 64 items",
        ),
    ];
    for (change, words) in cases {
        let found = errors(&json!([hook(change)]));
        assert!(found.iter().any(|error| error.contains(words)), "{words} in {found:#?}");
    }
    let twice = errors(&json!([hook(|_| {}), hook(|_| {})]));
    assert_eq!(twice, ["webhooks[1].name: Duplicate value: \"a.b.c\""]);
}
