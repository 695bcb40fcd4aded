//! Server-side apply of whole objects.

use breakbulk_structured_merge::*;
use serde_json::{Value, json};

use crate::world::*;

#[test]
fn an_endpoint_neither_owns_nor_changes_what_it_resets() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}, "status": {"phase": "p"}}));
    assert_eq!(told(&live), ["creator/Update/-@01 .spec .spec.a"]);

    let mut new = live.clone();
    new["status"]["phase"] = "q".into();
    world
        .status()
        .update(Some(&live), &mut new, &writer("ctl", T2))
        .expect("fits");
    assert_eq!(
        told(&new),
        [
            "creator/Update/-@01 .spec .spec.a",
            "ctl/Update/status@02 .status.phase"
        ]
    );

    let config = thing(&json!({"spec": {"a": "z"}, "status": {"note": "n"}}));
    let applied = world
        .status()
        .apply(Some(&new), &config, &writer("app", T3), Force::No)
        .expect("no conflict")
        .object;
    assert_eq!(applied["spec"], json!({"a": "x"}));
    assert_eq!(applied["status"], json!({"phase": "q", "note": "n"}));
    assert_eq!(told(&applied)[0], "app/Apply/status@03 .status.note");

    let main = thing(&json!({"spec": {"b": "z"}, "status": {"phase": "r"}}));
    let applied = world
        .main()
        .apply(Some(&applied), &main, &writer("app", T3), Force::No)
        .expect("no conflict")
        .object;
    assert_eq!(applied["status"], json!({"phase": "q", "note": "n"}));
    assert!(told(&applied).contains(&"app/Apply/-@03 .spec.b".to_owned()));
    let only_status = thing(&json!({"spec": {"b": "z"}, "status": {"phase": "s"}}));
    let again = world
        .main()
        .apply(Some(&applied), &only_status, &writer("app", T3), Force::No)
        .expect("no conflict");
    assert_eq!(again.outcome, Outcome::Unchanged);
}

#[test]
fn status_may_be_applied_without_a_name() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let config = json!({"apiVersion": "x.io/v1", "kind": "Thing", "status": {"phase": "p"}});
    let applied = world
        .status()
        .apply(Some(&live), &config, &writer("app", T2), Force::No)
        .expect("no conflict")
        .object;
    assert_eq!(applied["metadata"]["name"], "t");
    assert_eq!(applied["metadata"]["uid"], "u-1");
    assert_eq!(applied["status"]["phase"], "p");
}

#[test]
fn an_apply_to_nothing_makes_the_object() {
    let world = World::new();
    let config = thing(&json!({"spec": {"a": "x"}, "status": {"phase": "p"}}));
    let made = world
        .main()
        .apply(None, &config, &writer("app", T1), Force::No)
        .expect("nobody else");
    assert_eq!(made.outcome, Outcome::Changed);
    assert_eq!(made.object["spec"], config["spec"]);
    assert_eq!(made.object.get("status"), None);
    assert_eq!(told(&made.object), ["app/Apply/-@01 .spec.a"]);
}

#[test]
fn an_apply_of_what_is_there_changes_nothing_but_the_owners() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let config = thing(&json!({"spec": {"a": "x"}}));
    let joined = world
        .main()
        .apply(Some(&live), &config, &writer("app", T2), Force::No)
        .expect("the same value");
    assert_eq!(joined.outcome, Outcome::Changed);
    assert_eq!(joined.object["spec"], live["spec"]);
    assert_eq!(
        told(&joined.object),
        ["app/Apply/-@- .spec.a", "creator/Update/-@01 .spec .spec.a"]
    );
    let again = world
        .main()
        .apply(Some(&joined.object), &config, &writer("app", T3), Force::No)
        .expect("the same");
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert_eq!(again.object, joined.object);
}

#[test]
fn conflicts_are_told_one_by_one_and_together() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x", "b": "x"}}));
    let mut with_status = live.clone();
    with_status["data"] = json!({"k": "v"});
    let by_status = Endpoint {
        reset_fields: &FieldSet::new(),
        ..world.status()
    };
    by_status
        .update(Some(&live), &mut with_status, &writer("ctl", T2))
        .expect("fits");
    let applied = world.main().apply(
        Some(&with_status),
        &thing(&json!({"spec": {"tags": ["t"]}})),
        &writer("app", T2),
        Force::No,
    );
    let live = applied.expect("no conflict").object;

    let config = thing(&json!({"spec": {"a": "z", "b": "z"}, "data": {"k": "w"}}));
    let Err(ApplyError::Conflicts(conflicts)) =
        world
            .main()
            .apply(Some(&live), &config, &writer("other", T3), Force::No)
    else {
        panic!("not refused");
    };
    assert_eq!(
        conflicts.to_string(),
        "Apply failed with 3 conflicts: conflicts with \"creator\" using x.io/v1:\n- .spec.a\n- .spec.b\n\
         conflicts with \"ctl\" with subresource \"status\" using x.io/v1:\n- .data.k"
    );
    let causes: Vec<_> = conflicts
        .iter()
        .map(|c| (c.message(), c.path().to_string(), c.manager().to_owned()))
        .collect();
    let cause = |message: &str, path: &str, manager: &str| (message.to_owned(), path.to_owned(), manager.to_owned());
    assert_eq!(
        causes,
        [
            cause("conflict with \"creator\" using x.io/v1", ".spec.a", "creator"),
            cause("conflict with \"creator\" using x.io/v1", ".spec.b", "creator"),
            cause(
                "conflict with \"ctl\" with subresource \"status\" using x.io/v1",
                ".data.k",
                "ctl"
            ),
        ]
    );
}

#[test]
fn what_is_not_of_the_endpoint_is_refused_before_anything_else() {
    let world = World::new();
    let refused = |config: Value| {
        let error = world
            .main()
            .apply(None, &config, &writer("app", T1), Force::No)
            .expect_err("refused");
        error.to_string()
    };
    let of = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "t"}});
    assert_eq!(
        refused(of("x.io/v2", "Thing")),
        "invalid object type: x.io/v2, Kind=Thing"
    );
    assert_eq!(refused(of("v1", "Pod")), "invalid object type: /v1, Kind=Pod");
    assert_eq!(refused(json!([])), "invalid object type: /, Kind=");
    let mut config = thing(&json!({}));
    config["metadata"]["managedFields"] = json!([]);
    assert_eq!(refused(config.clone()), "metadata.managedFields must be nil");
    config["metadata"] = json!({"name": "t", "namespace": "n", "managedFields": null});
    config["spec"] = json!({"tags": ["a", "a"]});
    assert_eq!(
        refused(config),
        "failed to create typed patch object (n/t; x.io/v1, Kind=Thing): .spec.tags: duplicate entries for key [=\"a\"]"
    );
}

#[test]
fn a_live_object_with_unreadable_entries_cannot_be_applied_to() {
    let world = World::new();
    let mut live = world.created(&json!({"spec": {"a": "x"}}));
    live["metadata"]["managedFields"][0]["operation"] = "Guess".into();
    let error = world
        .main()
        .apply(Some(&live), &thing(&json!({})), &writer("app", T1), Force::No)
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "failed to decode managed fields: operation must be `Apply` or `Update`"
    );
}

#[test]
fn what_nobody_owns_stays_when_its_neighbours_go() {
    let world = World::new();
    let mut live = world.created(&json!({"data": {"m": "creator's"}}));
    live["data"]["l"] = "nobody's".into();
    let apply = |live: &Value, config: &Value| {
        let applied = world
            .main()
            .apply(Some(live), &thing(config), &writer("app", T2), Force::No);
        applied.expect("no conflict").object
    };
    let applied = apply(&live, &json!({"data": {"k": "app's"}}));
    assert_eq!(
        applied["data"],
        json!({"k": "app's", "l": "nobody's", "m": "creator's"})
    );
    assert_eq!(apply(&applied, &json!({}))["data"], live["data"]);
}
