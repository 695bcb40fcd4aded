//! What holds whatever is written: with objects made up at random from one field of each kind.

use std::sync::LazyLock;

use breakbulk_structured_merge::{
    Applied, ApplyError, Endpoint, FieldSet, Force, Outcome, Schema, Unconverted, Writer, entries_for_scale,
    keep_unchanged_times, validate_managed_fields,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn zoo() -> Schema {
    let schema: Value = serde_saphyr::from_str(include_str!("zoo.yaml")).expect("the schema is YAML");
    let tree = json!({"type": "object", "properties": {"v": {"type": "string"}, "kids": {"type": "object",
        "additionalProperties": {"$ref": "#/tree"}}}});
    Schema::of_object(&schema, &|_| Some(&tree))
}

struct World {
    schema: Schema,
    versions: Unconverted,
    nothing: FieldSet,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let schema = zoo();
        Self {
            schema: schema.clone(),
            versions: Unconverted::one("v1", schema),
            nothing: FieldSet::new(),
        }
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint {
            api_version: "v1",
            kind: "Zoo",
            subresource: "",
            reset_fields: &self.nothing,
            versions: &self.versions,
        }
    }

    fn apply(&self, live: Option<&Value>, config: &Value, who: &str, force: Force) -> Result<Applied, ApplyError> {
        self.endpoint().apply(live, config, &writer(who), force)
    }

    fn update(&self, live: Option<&Value>, mut new: Value, who: &str) -> Value {
        self.endpoint()
            .update(live, &mut new, &writer(who))
            .expect("objects fit the schema");
        new
    }

    fn owned(&self, object: &Value, who: &str, operation: &str) -> FieldSet {
        let entries = object["metadata"]["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mine = entries
            .iter()
            .find(|entry| entry["manager"] == who && entry["operation"] == operation);
        mine.map_or_else(FieldSet::new, |entry| {
            FieldSet::from_fields_v1(&entry["fieldsV1"]).expect("written by us")
        })
    }
}

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        now: "2026-01-01T00:00:00Z".parse().expect("a time"),
    }
}

fn word() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![json!("a"), json!("b")])
}

fn some<S>(fields: Vec<(&'static str, S)>) -> impl Strategy<Value = Value>
where
    S: Strategy<Value = Value> + 'static,
{
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| prop::option::of(value).prop_map(move |value| (name.to_owned(), value)))
        .collect();
    fields.prop_map(|fields| {
        Value::Object(
            fields
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        )
    })
}

fn list_of(items: Vec<Value>) -> impl Strategy<Value = Value> {
    prop::sample::subsequence(items, 0..=3)
        .prop_shuffle()
        .prop_map(Value::Array)
}

fn part(name: &'static str) -> impl Strategy<Value = Value> {
    let fields = vec![
        ("size", word().prop_map(|w| json!(w.to_string().len())).boxed()),
        ("tags", list_of(vec![json!("s"), json!("t"), json!("u")]).boxed()),
    ];
    some(fields).prop_map(move |mut part| {
        part["name"] = name.into();
        part
    })
}

fn free() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![word(), Just(json!(1)), Just(json!([1, "x"])), Just(json!({}))];
    leaf.prop_recursive(3, 8, 2, |inner| some(vec![("a", inner.clone()), ("b", inner)]).boxed())
}

/// An object with some fields of each kind, and no item twice.
fn object() -> impl Strategy<Value = Value> {
    let parts = (prop::option::of(part("p")), prop::option::of(part("r")))
        .prop_map(|(p, r)| Value::Array(p.into_iter().chain(r).collect()));
    let ports = list_of(vec![
        json!({"port": 80}),
        json!({"port": 80, "proto": "UDP", "name": "a"}),
        json!({"port": 81, "name": "b"}),
    ]);
    let fields: Vec<(&'static str, BoxedStrategy<Value>)> = vec![
        ("name", word().boxed()),
        ("frozen", some(vec![("x", word()), ("q", word())]).boxed()),
        (
            "box",
            some(vec![
                ("inner", word().boxed()),
                ("deep", some(vec![("leaf", word())]).boxed()),
            ])
            .boxed(),
        ),
        ("labels", some(vec![("k", word()), ("l", word())]).boxed()),
        ("tags", list_of(vec![json!("s"), json!("t"), json!("u")]).boxed()),
        ("nums", list_of(vec![json!(1), json!(2), json!(2.5)]).boxed()),
        ("args", list_of(vec![json!("s"), json!("t"), json!("s")]).boxed()),
        ("ports", ports.boxed()),
        ("parts", parts.boxed()),
        ("free", some(vec![("a", free()), ("b", free())]).boxed()),
    ];
    some(fields).prop_map(|mut object| {
        object["apiVersion"] = "v1".into();
        object["kind"] = "Zoo".into();
        object
    })
}

/// The object without its bookkeeping, its lists in one order, and without what is empty.
fn plain(object: &Value) -> Value {
    match object {
        Value::Object(map) => {
            let kept = map
                .iter()
                .filter(|(name, _)| *name != "managedFields" && *name != "args");
            let kept = kept.map(|(name, value)| (name.clone(), plain(value)));
            Value::Object(kept.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(plain).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// What no apply may change: the leaves of the live object that lie neither on, below, nor above a path of the set.
fn untouched(schema: &Schema, live: &Value, touched: &FieldSet) -> FieldSet {
    let leaves = schema
        .field_set(live)
        .expect("fits")
        .leaves()
        .recursive_difference(touched);
    let touched = touched.paths();
    let above = |path: &breakbulk_structured_merge::Path| touched.iter().any(|other| other.0.starts_with(&path.0));
    leaves.paths().into_iter().filter(|path| !above(path)).collect()
}

/// Any JSON at all.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z:.{}\"]{0,6}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "apiVersion",
        "kind",
        "metadata",
        "managedFields",
        "name",
        "tags",
        "ports",
        "parts",
        "box",
        "free",
        "f:a",
        "k:{}",
        "v:1",
        ".",
        "manager",
        "operation",
        "fieldsV1",
        "fieldsType",
        "time",
        "labels",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|fields| Value::Object(
                fields
                    .into_iter()
                    .map(|(n, v)| (n.to_owned(), v))
                    .collect::<Map<_, _>>()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_is_applying_once(start in object(), config in object()) {
        let world = &*WORLD;
        let live = world.update(None, start, "u");
        let once = world.apply(Some(&live), &config, "a", Force::Yes).expect("forced");
        let twice = world.apply(Some(&once.object), &config, "a", Force::No).expect("all is owned");
        prop_assert_eq!(twice.outcome, Outcome::Unchanged);
        prop_assert_eq!(twice.object, once.object);
    }

    #[test]
    fn what_is_applied_is_there_and_is_owned(start in object(), config in object()) {
        let world = &*WORLD;
        let live = world.update(None, start, "u");
        let applied = world.apply(Some(&live), &config, "a", Force::Yes).expect("forced").object;
        let fields = world.schema.field_set(&config).expect("fits");
        let there = world.schema.extract(&applied, &fields.leaves());
        prop_assert_eq!(plain(&there), plain(&config));
        let owned = world.owned(&applied, "a", "Apply");
        let identity = FieldSet::from_fields_v1(&json!({"f:apiVersion": {}, "f:kind": {}})).expect("a set");
        prop_assert_eq!(owned, fields.difference(&identity));
    }

    #[test]
    fn what_is_not_owned_does_not_change(start in object(), first in object(), second in object()) {
        let world = &*WORLD;
        let live = world.update(None, start, "u");
        let live = world.apply(Some(&live), &first, "a", Force::Yes).expect("forced").object;
        let last = world.owned(&live, "a", "Apply");
        let applied = world.apply(Some(&live), &second, "a", Force::Yes).expect("forced").object;
        let touched = last.union(&world.schema.field_set(&second).expect("fits"));
        let untouched = untouched(&world.schema, &live, &touched);
        let before = world.schema.extract(&live, &untouched);
        let after = world.schema.extract(&applied, &untouched);
        prop_assert_eq!(plain(&before), plain(&after));
    }

    #[test]
    fn a_refused_apply_would_have_changed_what_others_own(start in object(), config in object()) {
        let world = &*WORLD;
        let live = world.update(None, start, "u");
        match world.apply(Some(&live), &config, "a", Force::No) {
            Ok(applied) => {
                let kept = world.owned(&live, "u", "Update");
                let now = world.owned(&applied.object, "u", "Update");
                prop_assert_eq!(kept, now);
            }
            Err(ApplyError::Conflicts(conflicts)) => {
                let owned = world.owned(&live, "u", "Update");
                let mut count = 0;
                for conflict in conflicts.iter() {
                    prop_assert!(owned.contains(&conflict.path().0));
                    count += 1;
                }
                prop_assert!(count > 0);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn two_who_force_in_turn_do_not_drift(one in object(), other in object()) {
        let world = &*WORLD;
        let force = |live: Option<&Value>, config, who| world.apply(live, config, who, Force::Yes).expect("forced").object;
        let first = force(None, &one, "a");
        let both = force(Some(&first), &other, "b");
        let again = force(Some(&both), &one, "a");
        let both_again = force(Some(&again), &other, "b");
        prop_assert_eq!(plain(&both), plain(&both_again));
        prop_assert_eq!(world.owned(&both, "b", "Apply"), world.owned(&both_again, "b", "Apply"));
    }

    #[test]
    fn who_gives_in_owns_together(one in object(), other in object()) {
        let world = &*WORLD;
        let first = world.apply(None, &one, "a", Force::No).expect("nobody else").object;
        let taken = world.apply(Some(&first), &other, "b", Force::Yes).expect("forced").object;
        let agreed = world.apply(Some(&taken), &other, "a", Force::No).expect("the values are the same").object;
        prop_assert_eq!(world.owned(&agreed, "a", "Apply"), world.owned(&agreed, "b", "Apply"));
    }

    #[test]
    fn who_leaves_leaves_nothing_behind(config in object()) {
        let world = &*WORLD;
        let applied = world.apply(None, &config, "a", Force::No).expect("nobody else").object;
        let nothing = json!({"apiVersion": "v1", "kind": "Zoo"});
        let left = world.apply(Some(&applied), &nothing, "a", Force::No).expect("nobody else").object;
        let fields = world.schema.field_set(&config).expect("fits");
        let named = world.schema.extract(&left, &fields.leaves());
        prop_assert_eq!(plain(&named), plain(&nothing));
        prop_assert!(world.owned(&left, "a", "Apply").is_empty());
    }

    #[test]
    fn every_field_of_an_update_is_owned_by_one(start in object(), next in object()) {
        let world = &*WORLD;
        let live = world.update(None, start, "u");
        let mut next = next;
        next["metadata"] = live["metadata"].clone();
        let now = world.update(Some(&live), next, "w");
        let (u, w) = (world.owned(&now, "u", "Update"), world.owned(&now, "w", "Update"));
        prop_assert!(u.intersection(&w).is_empty());
        let unowned = world.schema.field_set(&now).expect("fits").leaves().difference(&u.union(&w));
        let unowned: Vec<_> = unowned.paths().iter().map(ToString::to_string).collect();
        let identity = [".apiVersion", ".kind"];
        prop_assert!(unowned.iter().all(|p| identity.contains(&p.as_str()) || p.starts_with(".metadata")), "{:?}", unowned);
    }

    #[test]
    fn an_update_that_changes_nothing_changes_no_owner(start in object()) {
        let world = &*WORLD;
        let live = world.update(None, start, "u");
        prop_assert_eq!(world.update(Some(&live), live.clone(), "w"), live);
    }

    #[test]
    fn nothing_panics(live in anything(), new in anything(), entries in anything()) {
        let world = &*WORLD;
        let endpoint = world.endpoint();
        let mut object = json!({"apiVersion": "v1", "kind": "Zoo", "free": new, "metadata": {"managedFields": entries}});
        let _ = endpoint.apply(Some(&live), &object, &writer("a"), Force::No);
        let _ = endpoint.apply(Some(&live), &new, &writer("a"), Force::Yes);
        let config = json!({"apiVersion": "v1", "kind": "Zoo", "free": new});
        let _ = endpoint.apply(Some(&object), &config, &writer("kubectl"), Force::No);
        let _ = endpoint.update(Some(&live), &mut object, &writer("u"));
        let mut other = new.clone();
        let _ = endpoint.update(Some(&object), &mut other, &writer("u"));
        let _ = endpoint.update(None, &mut other, &writer("u"));
        keep_unchanged_times(&live, &mut other);
        let _ = validate_managed_fields(&entries);
        let _ = entries_for_scale(&entries, &Default::default());
        let _ = FieldSet::from_fields_v1(&entries);
        let schema = Schema::of_object(&live, &|_| Some(&new));
        let _ = schema.field_set(&object);
    }
}
