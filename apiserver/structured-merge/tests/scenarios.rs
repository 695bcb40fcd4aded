//! Whole histories of an object: who wrote what, what became of it, and who owns what in the end.
//!
//! `scenarios/*.txt` hold them, one per paragraph. A step is `WHO VERB VERSION: CONFIG`, with the verbs `update`,
//! `apply` and `force`; an apply that is refused says why after `=>`. Then come the object, as JSON, and the owners.

use breakbulk_structured_merge::{Endpoint, FieldSet, Force, Schema, Unconverted, Writer};
use serde_json::{Value, json};

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zoo() -> Unconverted {
    let schema = yaml(include_str!("zoo.yaml"));
    let tree = json!({"type": "object", "properties": {"v": {"type": "string"}, "kids": {"type": "object",
        "additionalProperties": {"$ref": "#/tree"}}}});
    let schema = Schema::of_object(&schema, &|reference| (reference == "#/tree").then_some(&tree));
    assert_eq!(schema.problems(), []);
    Unconverted::new(["v1", "v2", "v3"].map(|version| (version.to_owned(), schema.clone())))
}

struct History {
    versions: Unconverted,
    live: Option<Value>,
}

impl History {
    /// Takes a step; says why it was refused.
    fn step(&mut self, head: &str, config: &str) -> Result<(), String> {
        let words: Vec<_> = head.split(' ').collect();
        let [manager, verb, version] = words[..] else {
            panic!("{head:?}: not a step")
        };
        let nothing = FieldSet::new();
        let endpoint = Endpoint {
            api_version: version,
            kind: "Zoo",
            subresource: "",
            reset_fields: &nothing,
            versions: &self.versions,
        };
        let writer = Writer {
            manager,
            now: "2026-01-01T00:00:00Z".parse().expect("a time"),
        };
        let mut config = yaml(config);
        let map = config.as_object_mut().expect("a map");
        map.insert("apiVersion".to_owned(), version.into());
        map.insert("kind".to_owned(), "Zoo".into());
        if let Some(live) = &mut self.live {
            live["apiVersion"] = version.into();
        }
        let live = self.live.as_ref();
        let force = match verb {
            "update" => {
                let updated = endpoint
                    .update(live, &mut config, &writer)
                    .map_err(|error| error.to_string());
                self.live = Some(config);
                return updated;
            }
            "apply" => Force::No,
            "force" => Force::Yes,
            other => panic!("{other:?}: not a verb"),
        };
        let applied = endpoint
            .apply(live, &config, &writer, force)
            .map_err(|error| error.to_string())?;
        self.live = Some(applied.object);
        Ok(())
    }

    fn object(&self) -> Value {
        let mut map = self
            .live
            .as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        map.retain(|name, _| !["apiVersion", "kind"].contains(&name.as_str()));
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        map.retain(|name, value| name != "metadata" || *value != json!({}));
        Value::Object(map)
    }

    fn owners(&self) -> Vec<String> {
        let metadata = self
            .live
            .as_ref()
            .and_then(|live| live.get("metadata"))
            .cloned()
            .unwrap_or_default();
        let entries = metadata["managedFields"].as_array().cloned().unwrap_or_default();
        let owner = |entry: &Value| {
            let set = FieldSet::from_fields_v1(&entry["fieldsV1"]).expect("written by us");
            let paths: Vec<_> = set.paths().iter().map(ToString::to_string).collect();
            let word = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {}: {}",
                word("manager"),
                word("operation"),
                word("apiVersion"),
                paths.join(" ")
            )
        };
        entries.iter().map(owner).collect()
    }
}

/// Plays a paragraph and writes it down as it went.
fn play(paragraph: &str) -> String {
    let mut history = History {
        versions: zoo(),
        live: None,
    };
    let mut told = Vec::new();
    for line in paragraph.lines() {
        let Some((head, rest)) = line.split_once(": ").filter(|(head, _)| is_step(head)) else {
            if line.starts_with('#') {
                told.push(line.to_owned());
            }
            continue;
        };
        let config = rest.split(" => ").next().unwrap_or(rest);
        match history.step(head, config) {
            Ok(()) => told.push(format!("{head}: {config}")),
            Err(why) => told.push(format!("{head}: {config} => {}", why.replace('\n', " "))),
        }
    }
    told.push(format!("object: {}", history.object()));
    told.extend(history.owners());
    told.join("\n")
}

fn is_step(head: &str) -> bool {
    ["update", "apply", "force"].contains(&head.split(' ').nth(1).unwrap_or_default())
}

fn play_all(paragraphs: &str) {
    let mut wrong = Vec::new();
    for paragraph in paragraphs
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
    {
        let told = play(paragraph);
        if told != paragraph {
            wrong.push(told);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} histories went otherwise:\n\n{}\n",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn one_applier_gets_what_it_asks_for_and_loses_what_it_no_longer_asks_for() {
    play_all(include_str!("scenarios/one_applier.txt"));
}

#[test]
fn several_appliers_share_what_they_agree_on_and_conflict_on_the_rest() {
    play_all(include_str!("scenarios/several_appliers.txt"));
}

#[test]
fn updates_take_what_they_change_and_applies_mind_them() {
    play_all(include_str!("scenarios/updates.txt"));
}

#[test]
fn lists_keep_their_items_apart_by_their_names() {
    play_all(include_str!("scenarios/lists.txt"));
}

#[test]
fn items_of_one_name_are_one_thing() {
    play_all(include_str!("scenarios/duplicates.txt"));
}

#[test]
fn metadata_is_the_same_in_every_object() {
    play_all(include_str!("scenarios/metadata.txt"));
}

#[test]
fn a_history_that_goes_otherwise_is_noticed() {
    let told = play("a apply v1: {name: x}\nobject: {}\n");
    assert_eq!(
        told,
        "a apply v1: {name: x}\nobject: {\"name\":\"x\"}\na Apply v1: .name"
    );
}
