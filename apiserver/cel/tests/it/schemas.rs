//! Values seen through their schemas.

use breakbulk_cel::{Bindings, Declared, Environment, Place};
use serde_json::{Value as Json, json};

use crate::support::table;

fn run(schema: &Json, place: Place, object: &Json, lines: &[(&str, &str)]) {
    let declared = Declared::from_schema(schema, place, "self").expect("typed");
    let environment = Environment::new()
        .variable("self", &declared)
        .variable("oldSelf", &declared);
    let bindings = Bindings::new()
        .json("self", object, &declared)
        .json("oldSelf", object, &declared);
    table(&environment, &bindings, lines);
}

#[test]
fn formats_give_values_their_types() {
    let schema = json!({"type": "object", "properties": {
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "span": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "mail": {"type": "string", "format": "email"},
        "port": {"x-kubernetes-int-or-string": true},
        "ratio": {"type": "number"},
        "count": {"type": "integer"},
        "bad": {"type": "string", "format": "date-time"},
    }});
    let object = json!({
        "at": "2024-01-02T03:04:05Z", "day": "2024-01-02", "span": "1h", "raw": "aGk=", "mail": "a@b",
        "port": 80, "ratio": 3, "count": 2.0, "bad": "soon",
    });
    run(
        &schema,
        Place::Part,
        &object,
        &[
            ("self.at.getFullYear()", "2024"),
            ("self.day < self.at", "true"),
            ("self.span == duration('60m')", "true"),
            ("string(self.raw)", "\"hi\""),
            ("self.mail.endsWith('b')", "true"),
            ("type(self.port) == int ? self.port < 100 : self.port == 'http'", "true"),
            ("self.port == 80", "true"),
            ("self.ratio / 2.0", "1.5"),
            ("self.count + 1", "3"),
            (
                "self.bad == self.at",
                "error: parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse",
            ),
            ("has(self.bad)", "true"),
        ],
    );
}

#[test]
fn names_are_escaped_and_what_has_no_name_is_not_there() {
    let schema = json!({"type": "object", "properties": {
        "a-b": {"type": "string"}, "a.b": {"type": "string"}, "a/b": {"type": "string"}, "a__b": {"type": "string"},
        "in": {"type": "string"}, "namespace": {"type": "string"}, "$x": {"type": "string"}, "1x": {"type": "string"},
    }});
    let object = json!({
        "a-b": "dash", "a.b": "dot", "a/b": "slash", "a__b": "under", "in": "in", "namespace": "ns", "$x": "no",
        "other": 1,
    });
    run(
        &schema,
        Place::Part,
        &object,
        &[
            (
                "self.a__dash__b + self.a__dot__b + self.a__slash__b + self.a__underscores__b",
                "\"dashdotslashunder\"",
            ),
            ("self.__in__ + self.__namespace__", "\"inns\""),
            (
                "self.other",
                "error: ERROR: <input>:1:5: undefined field 'other'\n | self.other\n | ....^",
            ),
        ],
    );
}

#[test]
fn a_resource_has_its_type_and_names() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                     "x-kubernetes-preserve-unknown-fields": true},
    }}}});
    let object = json!({
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "labels": {"a": "b"}},
        "spec": {"template": {"kind": "T", "metadata": {"name": "t"}}},
    });
    run(
        &schema,
        Place::Resource,
        &object,
        &[
            ("self.kind + self.apiVersion + self.metadata.name", "\"Kv1n\""),
            ("has(self.metadata.generateName)", "false"),
            ("self.metadata.generateName", "error: no such key: generateName"),
            ("self.spec.template.kind + self.spec.template.metadata.name", "\"Tt\""),
            (
                "self.metadata.labels",
                "error: ERROR: <input>:1:14: undefined field 'labels'\n | self.metadata.labels\n | .............^",
            ),
        ],
    );
}

#[test]
fn lists_that_are_sets_or_maps_ignore_their_order() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
        "b": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
        "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}},
        "plain": {"type": "array", "items": {"type": "integer"}},
    }});
    let object = json!({
        "a": [1, 2], "b": [2, 1], "plain": [2, 1],
        "m": [{"k": "x", "v": 1}, {"k": "y", "v": 2}],
    });
    run(
        &schema,
        Place::Part,
        &object,
        &[
            ("self.a == self.b", "true"),
            ("self.plain == [1, 2]", "false"),
            ("self.a + [2, 3]", "[1,2,3]"),
            ("self.plain + [1]", "[2,1,1]"),
            ("self.m.filter(e, e.k == 'y')[0].v", "2"),
            ("self.m == oldSelf.m && self == oldSelf", "true"),
        ],
    );
    let declared = Declared::from_schema(&schema, Place::Part, "self").expect("typed");
    let environment = Environment::new()
        .variable("self", &declared)
        .variable("oldSelf", &declared);
    let turned = json!({"m": [{"k": "y", "v": 2}, {"k": "x", "v": 3}]});
    let bindings = Bindings::new()
        .json("self", &object, &declared)
        .json("oldSelf", &turned, &declared);
    table(
        &environment,
        &bindings,
        &[
            ("self.m == oldSelf.m", "false"),
            ("(self.m + oldSelf.m).map(e, e.v)", "[3,2]"),
        ],
    );
}

#[test]
fn maps_have_keys_and_unknown_objects_have_none() {
    let schema = json!({"type": "object", "properties": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "untyped": {"x-kubernetes-preserve-unknown-fields": true},
        "maybe": {"type": "string", "nullable": true},
    }});
    let object = json!({"labels": {"a": "b", "c-d": "e"}, "free": {"x": 1}, "untyped": {"y": 1}, "maybe": null});
    run(
        &schema,
        Place::Part,
        &object,
        &[
            ("self.labels.a + self.labels['c-d']", "\"be\""),
            ("self.labels.all(k, self.labels[k] != '')", "true"),
            ("'a' in self.labels && !('z' in self.labels)", "true"),
            (
                "self.free.x",
                "error: ERROR: <input>:1:10: undefined field 'x'\n | self.free.x\n | .........^",
            ),
            (
                "self.untyped",
                "error: ERROR: <input>:1:5: undefined field 'untyped'\n | self.untyped\n | ....^",
            ),
            (
                "has(self.maybe) && self.maybe == null",
                "error: ERROR: <input>:1:31: found no matching overload for '_==_' applied to '(string, null)'\n | has(self.maybe) && self.maybe == null\n | ..............................^",
            ),
            ("dyn(self.maybe) == null", "true"),
        ],
    );
}

#[test]
fn json_without_a_schema_is_what_it_looks_like() {
    let object = json!({"n": 1, "u": 18446744073709551615u64, "d": 1.5, "s": "x", "l": [1, "a"], "o": {"k": null}});
    let dynamic = Declared::dynamic();
    let environment = Environment::new().variable("object", dynamic);
    let bindings = Bindings::new().json("object", &object, dynamic);
    table(
        &environment,
        &bindings,
        &[
            ("object.n + 1", "2"),
            ("object.u == 18446744073709551615u", "true"),
            ("object.d * 2.0", "3.0"),
            ("object.l[1] + object.s", "\"ax\""),
            ("object.o.k == null && has(object.o.k) && !has(object.x)", "true"),
            ("object.?x.?y.orValue('none')", "\"none\""),
            ("object.n + 'a'", "error: no such overload"),
            ("object.s.startsWith('x') && object.l.exists(i, i == 'a')", "true"),
        ],
    );
}
