//! What is particular to the manager `kubectl`.

use breakbulk_structured_merge::*;
use serde_json::{Value, json};

use crate::world::*;

fn last_applied(config: &Value) -> Value {
    json!({"kubectl.kubernetes.io/last-applied-configuration": config.to_string()})
}

/// An object that kubectl applied on its own side.
fn client_side(world: &World) -> Value {
    let config = thing(&json!({"spec": {"a": "x"}}));
    let mut object = config.clone();
    object["metadata"]["annotations"] = last_applied(&config);
    world
        .main()
        .update(None, &mut object, &writer("kubectl-client-side-apply", T1))
        .expect("fits");
    object
}

#[test]
fn kubectl_takes_over_from_its_own_client_side_apply() {
    let world = World::new();
    let live = client_side(&world);
    let config = thing(&json!({"spec": {"a": "z"}}));
    let applied = world
        .main()
        .apply(Some(&live), &config, &writer("kubectl", T2), Force::No)
        .expect("it was kubectl's");
    assert_eq!(applied.object["spec"]["a"], "z");
    assert_eq!(told(&applied.object)[0], "kubectl/Apply/-@02 .spec.a");
    let text = applied.object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str();
    assert_eq!(
        text,
        Some("{\"apiVersion\":\"x.io/v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"t\"},\"spec\":{\"a\":\"z\"}}\n")
    );
    // Another manager does neither.
    assert!(
        world
            .main()
            .apply(Some(&live), &config, &writer("other", T2), Force::No)
            .is_err()
    );
    let forced = world
        .main()
        .apply(Some(&live), &config, &writer("other", T2), Force::Yes)
        .expect("forced")
        .object;
    assert_eq!(forced["metadata"]["annotations"], live["metadata"]["annotations"]);
}

#[test]
fn kubectl_does_not_take_what_changed_since() {
    let world = World::new();
    let live = client_side(&world);
    let live = world.updated(&live, "hand", T2, |new| new["spec"]["a"] = "q".into());
    let config = thing(&json!({"spec": {"a": "z"}}));
    let error = world
        .main()
        .apply(Some(&live), &config, &writer("kubectl", T3), Force::No)
        .expect_err("hand owns it");
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"hand\" using x.io/v1: .spec.a"
    );
}

#[test]
fn the_annotation_is_kept_only_where_it_is_and_while_it_fits() {
    let world = World::new();
    let applied = |live: &Value, fields: Value| {
        let config = thing(&fields);
        world
            .main()
            .apply(Some(live), &config, &writer("kubectl", T2), Force::Yes)
            .expect("forced")
            .object
    };
    let plain = world.created(&json!({"spec": {"a": "x"}}));
    assert_eq!(
        applied(&plain, json!({"spec": {"a": "z"}}))["metadata"].get("annotations"),
        None
    );
    let live = client_side(&world);
    let escaped = applied(&live, json!({"spec": {"a": "<&>"}}));
    let text = escaped["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].to_string();
    assert!(text.contains("\\\\u003c\\\\u0026\\\\u003e"), "{text}");
    let large = applied(&live, json!({"spec": {"a": "x".repeat(300_000)}}));
    assert_eq!(large["metadata"]["annotations"], json!({}));
}
