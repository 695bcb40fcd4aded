//! Owners of fields, where each wrote in a version of its own.

use serde_json::{Value, json};

use super::{CRDS, Mood, NAME, World, ask, get, is_v2, one, path, redefine, until, v1, v2, versions};

on_both!(
    appliers_in_different_versions_share_an_object,
    owners_in_a_version_that_is_gone_own_nothing,
);

/// Who owns what of an object, by name: the version they wrote in, and the fields.
fn owners(object: &Value) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let owner = |entry: &Value| {
        let version = entry["apiVersion"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        let fields = entry["fieldsV1"].as_object().unwrap().keys().map(|field| &field[2..]);
        let text = format!("{version} {}", fields.collect::<Vec<_>>().join(" "));
        (entry["manager"].as_str().unwrap().to_owned(), json!(text))
    };
    entries.map(owner).collect()
}

async fn apply(world: &World, manager: &str, object: &Value, force: &str) -> crate::definitions::Answer {
    let version = object["apiVersion"].as_str().unwrap().rsplit('/').next().unwrap();
    let path = format!("{}?fieldManager={manager}&force={force}", one(version, "a"));
    ask(&world.client, "APPLY", &path, object).await
}

async fn appliers_in_different_versions_share_an_object(world: World) {
    let made = apply(&world, "first", &v1("a"), "false").await.with(201);
    assert_eq!(owners(&made), json!({"first": "v1 hostPort"}));
    // The same in other words.
    let shared = apply(&world, "second", &v2("a"), "false").await.with(200);
    is_v2(&shared);
    assert_eq!(
        owners(&shared),
        json!({"first": "v1 hostPort", "second": "v2 host port"})
    );
    let again = apply(&world, "second", &v2("a"), "false").await.with(200);
    assert_eq!(
        again["metadata"]["resourceVersion"],
        shared["metadata"]["resourceVersion"]
    );
    // What one changes in its version is the other's in its own.
    let mut other = v2("a");
    other["port"] = json!("81");
    let refused = apply(&world, "second", &other, "false").await;
    assert_eq!(
        (refused.code, refused.message()),
        (409, "Apply failed with 1 conflict: conflict with \"first\": .hostPort")
    );
    let forced = apply(&world, "second", &other, "true").await.with(200);
    assert_eq!(
        (&forced["port"], owners(&forced)),
        (&json!("81"), json!({"second": "v2 host port"}))
    );
    let refused = apply(&world, "first", &v1("a"), "false").await;
    let conflict = "Apply failed with 1 conflict: conflict with \"second\": .port";
    assert_eq!((refused.code, refused.message()), (409, conflict));
    // A plain write takes it too, from whoever wrote in whatever version.
    let path = format!("{}?fieldManager=third", one("v1", "a"));
    let written = ask(&world.client, "PATCH", &path, &json!({"hostPort": "localhost:82"}))
        .await
        .with(200);
    assert_eq!(owners(&written), json!({"second": "v2 host", "third": "v1 hostPort"}));
    // Who gives up what it applied in another version gives it up, if nobody else has it.
    let mut noted = v1("a");
    noted["hostPort"] = json!("localhost:82");
    noted["metadata"]["labels"] = json!({"l": "1"});
    apply(&world, "first", &noted, "false").await.with(200);
    let moved =
        json!({"apiVersion": "stable.example.com/v2", "kind": "Foo", "metadata": {"name": "a"}, "host": "localhost"});
    let moved = apply(&world, "first", &moved, "false").await.with(200);
    assert_eq!(
        (&moved["metadata"]["labels"], &moved["port"]),
        (&Value::Null, &json!("82"))
    );
    assert_eq!(
        owners(&moved),
        json!({"first": "v2 host", "second": "v2 host", "third": "v1 hostPort"})
    );
    // Without the program nobody can tell what is whose.
    world.is(Mood::Fails);
    let refused = apply(&world, "third", &v1("a"), "true").await;
    assert_eq!(refused.code, 500);
    assert!(refused.message().contains("not today"), "{}", refused.message());
    world.server.stop().await;
}

async fn owners_in_a_version_that_is_gone_own_nothing(world: World) {
    apply(&world, "first", &v1("a"), "false").await.with(201);
    world.stores("v2").await;
    let moved = apply(&world, "second", &v2("a"), "false").await.with(200);
    assert_eq!(
        owners(&moved),
        json!({"first": "v1 hostPort", "second": "v2 host port"})
    );
    let status = json!({"status": {"storedVersions": ["v2"]}});
    ask(&world.client, "PATCH", &format!("{CRDS}/{NAME}/status"), &status)
        .await
        .with(200);
    let v2_alone = json!([versions("v2")[1]]);
    redefine(&world.client, NAME, &json!({"spec": {"versions": v2_alone}})).await;
    let (client, gone) = (&world.client, path("v1"));
    until("v1 is gone", || async { get(client, &gone).await.code == 404 }).await;
    let mut changed = v2("a");
    changed["port"] = json!("81");
    let changed = apply(&world, "second", &changed, "false").await.with(200);
    assert_eq!(owners(&changed), json!({"second": "v2 host port"}));
    world.server.stop().await;
}
