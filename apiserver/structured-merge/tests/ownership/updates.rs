//! Creates, replaces and patches, and the list itself.

use breakbulk_structured_merge::*;
use serde_json::{Value, json};

use crate::world::*;

#[test]
fn an_entry_has_the_form_that_clients_read() {
    let world = World::new();
    assert_eq!(
        world.created(&json!({"data": {"k": "v"}}))["metadata"]["managedFields"],
        json!([{"manager": "creator", "operation": "Update", "apiVersion": "x.io/v1", "time": T1,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:k": {}}}}])
    );
    let mut object = thing(&json!({"status": {"phase": "p"}}));
    world.status().update(None, &mut object, &writer("", T1)).expect("fits");
    assert_eq!(entries(&object)[0]["subresource"], "status");
    assert_eq!(entries(&object)[0]["manager"], "unknown");
}

#[test]
fn a_time_moves_only_when_the_manager_changes_something() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x", "b": "x"}}));
    assert_eq!(world.updated(&live, "creator", T2, |_| {}), live);
    let changed = world.updated(&live, "creator", T2, |new| new["spec"]["a"] = "z".into());
    assert_eq!(told(&changed), ["creator/Update/-@02 .spec .spec.a .spec.b"]);
    let removed = world.updated(&changed, "creator", T3, |new| {
        new["spec"].as_object_mut().expect("a map").remove("b");
    });
    assert_eq!(told(&removed), ["creator/Update/-@02 .spec .spec.a"]);
}

#[test]
fn entries_are_sorted_by_operation_time_and_name() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let live = world.updated(&live, "z", T3, |new| new["data"] = json!({"z": "1"}));
    let live = world.updated(&live, "y", T2, |new| new["data"]["y"] = "1".into());
    let live = world.updated(&live, "x", T2, |new| new["data"]["x"] = "1".into());
    let applied = world.main().apply(
        Some(&live),
        &thing(&json!({"spec": {"b": "x"}})),
        &writer("app", T3),
        Force::No,
    );
    let names: Vec<_> = told(&applied.expect("no conflict").object)
        .iter()
        .map(|entry| entry.split('/').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(names, ["app", "creator", "x", "y", "z"]);
}

#[test]
fn an_empty_list_or_an_empty_entry_resets_tracking() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    for reset in [json!([]), json!([{}]), json!([{"manager": "", "time": null}])] {
        let bare = world.updated(&live, "w", T2, |new| {
            new["metadata"]["managedFields"] = reset;
            new["spec"]["b"] = "z".into();
        });
        assert_eq!(bare["metadata"].get("managedFields"), None);
        // From then on nobody tracks it, until it is applied to.
        let still = world.updated(&bare, "w", T3, |new| new["spec"]["b"] = "q".into());
        assert_eq!(still["metadata"].get("managedFields"), None);
        let config = thing(&json!({"spec": {"b": "r"}}));
        let refused = world
            .main()
            .apply(Some(&still), &config, &writer("app", T3), Force::No)
            .expect_err("conflict");
        assert_eq!(
            refused.to_string(),
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using x.io/v1: .spec.b"
        );
        let applied = world
            .main()
            .apply(Some(&still), &config, &writer("app", T3), Force::Yes)
            .expect("forced");
        assert_eq!(
            told(&applied.object),
            ["app/Apply/-@03 .spec.b", "before-first-apply/Update/-@03 .spec .spec.a"]
        );
    }
}

#[test]
fn a_missing_or_unreadable_list_keeps_the_live_one() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let odd = [
        json!(null),
        json!("x"),
        json!([1]),
        json!([{"operation": "Update"}]),
        json!([{"manager": "m", "operation":
        "Update", "apiVersion": "x.io/v1", "fieldsType": "FieldsV1", "fieldsV1": {"spec": {}}}]),
    ];
    for given in odd {
        let new = world.updated(&live, "w", T2, |new| new["metadata"]["managedFields"] = given.clone());
        assert_eq!(new["metadata"], live["metadata"], "{given}");
    }
    let new = world.updated(&live, "w", T2, |new| {
        new["metadata"].as_object_mut().expect("a map").remove("managedFields");
    });
    assert_eq!(new, live);
}

#[test]
fn a_client_may_edit_the_list_but_not_through_a_subresource() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let edited = json!([{"manager": "me", "operation": "Apply", "apiVersion": "x.io/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:a": {}}}}]);
    let new = world.updated(&live, "w", T2, |new| new["metadata"]["managedFields"] = edited.clone());
    assert_eq!(told(&new), ["me/Apply/-@- .spec.a"]);
    let mut new = live.clone();
    new["metadata"]["managedFields"] = edited;
    world
        .status()
        .update(Some(&live), &mut new, &writer("w", T2))
        .expect("fits");
    assert_eq!(new, live);
}

#[test]
fn only_times_that_changed_are_put_back() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let moved = |change: fn(&mut Value)| {
        let mut new = live.clone();
        new["metadata"]["managedFields"][0]["time"] = T3.into();
        new["metadata"]["resourceVersion"] = "9".into();
        change(&mut new);
        keep_unchanged_times(&live, &mut new);
        new["metadata"]["managedFields"][0]["time"].clone()
    };
    assert_eq!(moved(|_| {}), T1);
    assert_eq!(moved(|new| new["spec"]["a"] = "z".into()), T3);
    assert_eq!(moved(|new| new["metadata"]["labels"] = json!({"a": "b"})), T3);
    assert_eq!(
        moved(|new| new["metadata"]["managedFields"][0]["manager"] = "other".into()),
        T3
    );
}

#[test]
fn an_eleventh_updater_joins_the_two_oldest() {
    let world = World::new();
    let mut live = world.created(&json!({"data": {"k": "v"}}));
    for at in 0..9 {
        let now = format!("2026-01-01T00:01:{at:02}Z");
        live = world.updated(&live, &format!("m{at}"), &now, |new| {
            new["data"][format!("k{at}")] = "v".into();
        });
    }
    assert_eq!(entries(&live).len(), 10);
    let eleventh = world.updated(&live, "n", "2026-01-01T00:02:00Z", |new| new["data"]["n"] = "v".into());
    assert_eq!(entries(&eleventh).len(), 10);
    assert_eq!(
        told(&eleventh)[0],
        "ancient-changes/Update/-@2026-01-01T00:01:00 .data .data.k .data.k0"
    );
    let twelfth = world.updated(&eleventh, "o", "2026-01-01T00:02:01Z", |new| {
        new["data"]["o"] = "v".into();
    });
    assert_eq!(entries(&twelfth).len(), 10);
    assert_eq!(
        told(&twelfth)[0],
        "ancient-changes/Update/-@2026-01-01T00:01:01 .data .data.k .data.k0 .data.k1"
    );
    // Appliers do not count.
    let config = thing(&json!({"spec": {"a": "x"}}));
    let applied = world
        .main()
        .apply(Some(&twelfth), &config, &writer("app", T3), Force::No)
        .expect("no conflict");
    assert_eq!(entries(&applied.object).len(), 11);
}

#[test]
fn entries_that_cannot_be_read_are_told_why() {
    let good = json!({"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"});
    let with = |name: &str, value: Value| {
        let mut entry = good.clone();
        entry[name] = value;
        validate_managed_fields(&json!([good, entry]))
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(with("time", json!(T1)), None);
    assert_eq!(with("fieldsV1", json!({"f:a": {}})), None);
    assert_eq!(
        with("operation", json!("")).as_deref(),
        Some("operation must be `Apply` or `Update`")
    );
    assert_eq!(
        with("apiVersion", json!("")).as_deref(),
        Some("apiVersion must not be empty")
    );
    assert_eq!(
        with("fieldsType", json!("")).as_deref(),
        Some("missing fieldsType in managed fields entry 1")
    );
    assert_eq!(
        with("fieldsType", json!("V2")).as_deref(),
        Some("invalid fieldsType \"V2\" in managed fields entry 1")
    );
    assert!(with("fieldsV1", json!({"a": {}})).is_some());
    assert!(with("time", json!("noon")).is_some());
    assert!(with("manager", json!(1)).is_some());
    assert!(validate_managed_fields(&json!({})).is_err());
}

#[test]
fn a_manager_is_named_by_its_user_agent() {
    assert_eq!(manager_of_user_agent("kubectl/v1.30 (linux/amd64)"), "kubectl");
    assert_eq!(manager_of_user_agent("a\tb c\u{7f}/x"), "ab c");
    assert_eq!(manager_of_user_agent(""), "");
    assert_eq!(manager_of_user_agent(&"ä".repeat(100)).len(), 128);
    assert_eq!(manager_of_user_agent(&format!("{}é", "x".repeat(127))).len(), 127);
}

#[test]
fn metadata_that_is_null_is_metadata_without_anything() {
    let world = World::new();
    let mut object = thing(&json!({"data": {"k": "v"}, "metadata": null}));
    world
        .main()
        .update(None, &mut object, &writer("creator", T1))
        .expect("fits");
    assert_eq!(told(&object), ["creator/Update/-@01 .data .data.k"]);
}

#[test]
fn what_a_manager_changes_later_joins_what_it_has() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let more = world.updated(&live, "creator", T2, |new| new["spec"]["tags"] = json!(["t"]));
    assert_eq!(
        told(&more),
        ["creator/Update/-@02 .spec .spec.a .spec.tags .spec.tags[=\"t\"]"]
    );
}

#[test]
fn an_item_is_the_same_item_however_its_key_is_written() {
    let versions = {
        let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "at"],
            "items": {"type": "object", "properties": {"id": {"type": "number"}, "at": {"type": "string"}, "v": {"type": "string"}}}});
        let schema = json!({"type": "object", "properties": {"items": keyed}});
        Unconverted::one("x.io/v1", Schema::of_object(&schema, &|_| None))
    };
    let world = World {
        versions,
        ..World::new()
    };
    let mut live = world.created(&json!({"items": [{"id": 1, "at": "p", "v": "x"}]}));
    live["metadata"]["managedFields"][0]["fieldsV1"] =
        json!({"f:items": {"k:{\"id\": 1.0, \"at\": \"p\"}": {".": {}, "f:v": {}}}});
    let new = world.updated(&live, "w", T2, |new| new["items"][0]["v"] = "z".into());
    assert_eq!(
        told(&new),
        [
            "creator/Update/-@01 .items[at=\"p\",id=1]",
            "w/Update/-@02 .items[at=\"p\",id=1].v"
        ]
    );
}

#[test]
fn what_can_be_read_before_can_be_read_after() {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let versions = Unconverted::one("x.io/v1", Schema::of_object(&schema, &|_| None));
    let world = World {
        versions,
        ..World::new()
    };
    let (mut tracked, mut untracked) = (0, 0);
    for depth in 80..140 {
        let text = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let Ok(deep) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        let mut object = thing(&json!({"deep": deep}));
        let Ok(_) = serde_json::from_str::<Value>(&object.to_string()) else {
            continue;
        };
        match world.main().update(None, &mut object, &writer("creator", T1)) {
            Ok(()) => tracked += 1,
            Err(_) => untracked += 1,
        }
        assert!(serde_json::from_str::<Value>(&object.to_string()).is_ok(), "{depth}");
    }
    assert!(tracked > 0 && untracked > 0);
}

#[test]
fn a_list_of_more_entries_than_anyone_has_is_ignored() {
    let world = World::new();
    let live = world.created(&json!({"spec": {"a": "x"}}));
    let entry = |at: usize| {
        json!({"manager": format!("m{at}"), "operation": "Apply", "apiVersion": "x.io/v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:a": {}}}})
    };
    let given = |count: usize| {
        let entries: Vec<Value> = (0..count).map(entry).collect();
        world.updated(&live, "w", T2, |new| new["metadata"]["managedFields"] = entries.into())
    };
    assert_eq!(entries(&given(500)).len(), 500);
    assert_eq!(given(501), live);
}
