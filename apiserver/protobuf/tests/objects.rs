//! Objects on the wire, byte by byte: what clients send, what they get, and what is refused. The bytes are written out
//! here, so that they do not depend on the codec's own idea of the wire format.

#![allow(clippy::unwrap_used, reason = "a test ends at its first fault")]

use breakbulk_protobuf::{
    DecodeError, EncodeError, Limits, TypeMeta, WatchEventType, WireError, decode, decode_within, encode, encode_as,
    encode_list, knows, watch_frame,
};
use serde_json::{Value, json};

/// A field of bytes: a string, or a message of the parts.
fn field(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(number < 16, "its tag would take two bytes");
    let mut out = vec![number << 3 | 2];
    match u8::try_from(body.len()).unwrap() {
        short @ ..0x80 => out.push(short),
        long => out.extend([long, 1]),
    }
    out.extend(body);
    out
}

/// A field of a small number.
fn number(number: u8, value: u8) -> Vec<u8> {
    assert!(value < 0x80);
    vec![number << 3, value]
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, &[api_version.as_bytes()]), field(2, &[kind.as_bytes()])].concat();
    [
        b"k8s\0".to_vec(),
        field(1, &[&type_meta]),
        field(2, &[raw]),
        field(3, &[]),
        field(4, &[]),
    ]
    .concat()
}

/// An ObjectMeta as Go's clients write it: the strings that are always there, and no time.
fn metadata(name: &str) -> Vec<u8> {
    let strings = [(1, name), (2, ""), (3, ""), (4, ""), (5, ""), (6, "")];
    let strings = strings.map(|(number, text)| field(number, &[text.as_bytes()])).concat();
    [strings, number(7, 0), field(8, &[])].concat()
}

fn decoded(body: &[u8]) -> Value {
    decode(body).unwrap().object
}

#[test]
fn a_namespace_as_kubectl_sends_it() {
    // Written out to the last byte.
    let body = b"k8s\0\
        \x0a\x0f\x0a\x02v1\x12\x09Namespace\
        \x12\x1d\x0a\x15\x0a\x05build\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\0\x42\0\x12\0\x1a\x02\x0a\0\
        \x1a\0\x22\0";
    let wanted = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "build"}, "spec": {}, "status": {},
    });
    assert_eq!(decoded(body), wanted);
    assert_eq!(encode(&wanted).unwrap(), body);
}

#[test]
fn what_a_type_always_has_is_there_and_null_is_not() {
    // A role without rules, which Go prints as `"rules": null`, and without a creationTimestamp.
    let body = envelope("rbac.authorization.k8s.io/v1", "Role", &field(1, &[&metadata("r")]));
    assert_eq!(decoded(&body)["rules"], json!([]));
    assert_eq!(decoded(&body)["metadata"], json!({"name": "r"}));
    // A review that names nobody.
    let body = envelope("authentication.k8s.io/v1", "TokenReview", &field(2, &[]));
    assert_eq!(decoded(&body)["metadata"], json!({}));
}

#[test]
fn secrets_are_base64_and_maps_are_sorted() {
    let entry = |key: &[u8], value: &[u8]| field(2, &[&field(1, &[key]), &field(2, &[value])]);
    let raw = [
        field(1, &[&metadata("s")]),
        entry(b"a", b"\xff\0"),
        entry(b"b", b""),
        field(3, &[b"Opaque"]),
    ]
    .concat();
    let body = envelope("v1", "Secret", &raw);
    let object = decoded(&body);
    assert_eq!(object["data"], json!({"a": "/wA=", "b": ""}));
    assert_eq!(encode(&object).unwrap(), body);
}

#[test]
fn a_lease_keeps_its_microseconds() {
    // 2024-02-29T12:00:00.123456789Z.
    let time = [
        &[0x08][..],
        &[0xc0, 0xe3, 0x81, 0xaf, 0x06],
        &[0x10],
        &[0x95, 0x9a, 0xef, 0x3a],
    ]
    .concat();
    let body = envelope(
        "coordination.k8s.io/v1",
        "Lease",
        &field(2, &[&field(1, &[b"me"]), &field(4, &[&time])]),
    );
    let object = decoded(&body);
    assert_eq!(
        object["spec"],
        json!({"holderIdentity": "me", "renewTime": "2024-02-29T12:00:00.123456Z"})
    );
    let again = decoded(&encode(&object).unwrap());
    assert_eq!(again, object);
}

#[test]
fn a_time_before_the_epoch_and_one_with_an_offset() {
    let role = |time: &str| {
        let role = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"creationTimestamp": time}});
        decoded(&encode(&role).unwrap())["metadata"]["creationTimestamp"].clone()
    };
    assert_eq!(role("1969-12-31T23:59:58.5Z"), "1969-12-31T23:59:58Z");
    assert_eq!(role("2024-02-29T12:00:00+02:00"), "2024-02-29T10:00:00Z");
    assert_eq!(role("0001-01-01T00:00:00Z"), Value::Null);
}

#[test]
fn delete_options_come_with_any_groups_version() {
    let uid = field(1, &[b"u-1"]);
    let body = envelope(
        "batch.example.org/v7",
        "DeleteOptions",
        &[number(1, 0), field(2, &[&uid])].concat(),
    );
    let wanted = json!({
        "apiVersion": "batch.example.org/v7", "kind": "DeleteOptions",
        "gracePeriodSeconds": 0, "preconditions": {"uid": "u-1"},
    });
    assert_eq!(decoded(&body), wanted);
    assert_eq!(encode(&wanted).unwrap(), body);
}

#[test]
fn embedded_structs_are_inline_in_json() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {},
        "spec": {
            "containers": [{
                "name": "c", "resources": {"limits": {"cpu": "1"}},
                "readinessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 5},
                "envFrom": [{"configMapRef": {"name": "env", "optional": false}}],
            }],
            "ephemeralContainers": [{"name": "debug", "targetContainerName": "c", "resources": {}}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "files"}}],
        },
    });
    assert_eq!(decoded(&encode(&pod).unwrap()), pod);
}

#[test]
fn a_crds_schema_has_its_unions() {
    let schema = json!({
        "type": "object", "$ref": "#/x", "x-kubernetes-int-or-string": true, "minimum": -1.5, "maximum": 3,
        "default": {"a": [1, null]}, "enum": [1, "a", null], "items": {"type": "string"},
        "additionalProperties": false, "dependencies": {"a": ["b"], "c": {"type": "integer"}},
        "properties": {"n": {"additionalProperties": {"nullable": true}, "items": [{}, {"format": "date"}]}},
        "x-kubernetes-preserve-unknown-fields": false,
    });
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {},
        "spec": {
            "group": "example.org", "names": {"plural": "as", "kind": "A"}, "scope": "Namespaced",
            "versions": [{"name": "v1", "served": true, "storage": false, "schema": {"openAPIV3Schema": schema}}],
        },
        "status": {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []},
    });
    assert_eq!(decoded(&encode(&crd).unwrap()), crd);
}

#[test]
fn lists_and_tables_of_messages_and_lists_of_strings() {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
        "spec": {"user": "u", "extra": {"scopes": ["a", "b"], "none": []}}, "status": {"allowed": false},
    });
    assert_eq!(decoded(&encode(&review).unwrap()), review);
    let list = json!({
        "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"},
        "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}, "data": {"k": "v"}}],
    });
    assert_eq!(decoded(&encode(&list).unwrap()), list);
}

#[test]
fn an_object_within_an_object_may_have_an_envelope() {
    let namespace = envelope("v1", "Namespace", &field(1, &[&metadata("n")]));
    let raw = [
        field(2, &[&field(1, &[&namespace])]),
        field(2, &[&field(1, &[br#"{"kind":"X"}"#])]),
    ]
    .concat();
    let items = decoded(&envelope("v1", "List", &raw))["items"].clone();
    assert_eq!(items[0]["metadata"]["name"], "n");
    assert_eq!(items[1], json!({"kind": "X"}));
}

#[test]
fn what_comes_twice_counts_as_protobuf_says() {
    let name = |name: &str| field(1, &[&field(1, &[name.as_bytes()])]);
    let labels = field(1, &[&field(11, &[&field(1, &[b"l"]), &field(2, &[b"1"])])]);
    let body = envelope("v1", "ConfigMap", &[name("first"), labels, name("last")].concat());
    assert_eq!(
        decoded(&body)["metadata"],
        json!({"name": "last", "labels": {"l": "1"}})
    );
    let body = envelope("v1", "ConfigMap", &[name("first"), name("")].concat());
    assert_eq!(decoded(&body)["metadata"], json!({}));
}

#[test]
fn unknown_fields_are_skipped_and_listed() {
    let raw = [field(1, &[&metadata("c"), &field(15, &[])]), number(9, 1), number(9, 2)].concat();
    let decoded = decode(&envelope("v1", "ConfigMap", &raw)).unwrap();
    assert_eq!(decoded.object["metadata"]["name"], "c");
    assert_eq!(decoded.unknown_fields, ["meta.ObjectMeta.15", "core.ConfigMap.9"]);
}

#[test]
fn the_urls_kind_stands_for_one_that_is_not_said() {
    let body = [b"k8s\0".to_vec(), field(2, &[&field(1, &[&metadata("c")])])].concat();
    assert!(matches!(decode(&body), Err(DecodeError::MissingKind)));
    let expected = TypeMeta {
        api_version: "v1",
        kind: "ConfigMap",
    };
    let decoded = decode_within(&body, Some(expected), &Limits::default()).unwrap();
    assert_eq!(
        (decoded.api_version.as_str(), decoded.kind.as_str()),
        ("v1", "ConfigMap")
    );
    assert_eq!(decoded.object["kind"], "ConfigMap");
}

#[test]
fn what_is_no_object_is_refused_with_its_place() {
    let error = |body: &[u8]| decode(body).unwrap_err();
    assert!(matches!(error(b""), DecodeError::Empty));
    assert!(matches!(error(b"{}"), DecodeError::NotProtobuf));
    let text = |raw: &[u8]| error(&envelope("v1", "ConfigMap", raw)).to_string();
    assert_eq!(text(&[0x08, 1]), "core.ConfigMap.metadata: a varint instead of bytes");
    assert_eq!(
        text(&field(1, &[&field(1, &[b"\xff"])])),
        "meta.ObjectMeta.name: text that is not UTF-8"
    );
    let cut = error(&envelope("v1", "ConfigMap", &[0x0a, 9]));
    assert!(
        matches!(&cut, DecodeError::Wire { at, source: WireError::Truncated } if at == "core.ConfigMap"),
        "{cut:?}"
    );
    let unknown = error(&envelope("example.org/v1", "Thing", &[]));
    assert_eq!(
        unknown.to_string(),
        "no kind \"Thing\" is registered for version \"example.org/v1\" in protobuf"
    );
}

#[test]
fn bombs_stay_small() {
    let many = envelope_of(&[0x0a, 0].repeat(300_000));
    assert!(matches!(decode(&many), Err(DecodeError::TooMany { .. })));
    let large = envelope_of(&vec![0; 4 << 20]);
    assert!(matches!(
        decode(&large),
        Err(DecodeError::TooLarge { limit: 3_145_728 })
    ));
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let raw = field(2, &[&field(1, &[deep.as_bytes()])]);
    assert!(
        matches!(decode(&envelope("v1", "List", &raw)), Err(DecodeError::TooDeep { at }) if at == "core.List.items")
    );
    let wide = format!("[{}1]", "1,".repeat(200_000));
    let raw = long_field(2, &long_field(1, wide.as_bytes()));
    let wide = [b"k8s\0".to_vec(), type_meta("v1", "List"), long_field(2, &raw)].concat();
    assert!(matches!(decode(&wide), Err(DecodeError::TooMany { at }) if at == "core.List.items"));
}

/// A PodList of the items' bytes.
fn envelope_of(items: &[u8]) -> Vec<u8> {
    let items = items
        .iter()
        .map(|byte| if *byte == 0x0a { 0x12 } else { *byte })
        .collect::<Vec<_>>();
    [b"k8s\0".to_vec(), type_meta("v1", "PodList"), long_field(2, &items)].concat()
}

fn type_meta(api_version: &str, kind: &str) -> Vec<u8> {
    field(
        1,
        &[&field(1, &[api_version.as_bytes()]), &field(2, &[kind.as_bytes()])],
    )
}

fn long_field(number: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = body.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(body);
    out
}

#[test]
fn messages_within_messages_have_an_end() {
    // A schema that is its own `not` 5,000 times: field 28 of JSONSchemaProps.
    let mut schema = Vec::new();
    for _ in 0..5_000 {
        let mut outer = vec![0xe2, 0x01];
        outer.extend(&long_field(0, &schema)[1..]);
        schema = outer;
    }
    let version = long_field(4, &long_field(1, &schema));
    let raw = long_field(2, &long_field(7, &version));
    let body = [
        b"k8s\0".to_vec(),
        type_meta("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        long_field(2, &raw),
    ];
    let error = decode(&body.concat()).unwrap_err();
    assert!(
        matches!(&error, DecodeError::TooDeep { at } if at == "apiextensions.JSONSchemaProps"),
        "{error:?}"
    );
}

#[test]
fn what_cannot_be_written_says_so() {
    let error = |object: Value| encode(&object).unwrap_err().to_string();
    assert_eq!(error(json!({"apiVersion": "v1"})), "Object 'Kind' is missing");
    assert_eq!(
        error(json!({"apiVersion": "meta.k8s.io/v1", "kind": "Table"})),
        "no kind \"Table\" is registered for version \"meta.k8s.io/v1\" in protobuf"
    );
    let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "new": 1});
    assert_eq!(
        error(config(json!({"a": 1}))),
        "core.ConfigMap.data: a number instead of a string"
    );
    assert_eq!(
        error(config(json!([]))),
        "core.ConfigMap.data: a list instead of an object"
    );
    assert!(encode(&config(json!({}))).is_ok());
    assert!(matches!(encode(&json!([])), Err(EncodeError::MissingKind)));
}

#[test]
fn the_kinds_that_are_known() {
    for (api_version, kind) in [
        ("v1", "Event"),
        ("events.k8s.io/v1", "EventList"),
        ("policy/v1", "Eviction"),
        ("autoscaling/v1", "Scale"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
        ("meta.k8s.io/v1", "PartialObjectMetadataList"),
        ("v1", "Status"),
        ("example.org/v1", "DeleteOptions"),
    ] {
        assert!(knows(api_version, kind), "{api_version} {kind}");
    }
    assert!(!knows("meta.k8s.io/v1", "Table"));
    assert!(!knows("v1", "ObjectMeta"));
    assert!(!knows("apps/v1beta1", "Deployment"));
}

#[test]
fn an_item_can_be_encoded_as_something_else() {
    let pod = json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": []}});
    let meta = TypeMeta {
        api_version: "meta.k8s.io/v1",
        kind: "PartialObjectMetadata",
    };
    let object = decoded(&encode_as(meta, &pod).unwrap());
    let wanted = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": "p", "labels": {"a": "b"}},
    });
    assert_eq!(object, wanted);
}

#[test]
fn a_list_is_the_same_from_its_parts() {
    let list = json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7", "remainingItemCount": 3},
        "items": [{"metadata": {"name": "a"}}, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}}],
    });
    let meta = TypeMeta {
        api_version: "v1",
        kind: "PodList",
    };
    let parts = encode_list(meta, &list["metadata"], list["items"].as_array().unwrap()).unwrap();
    assert_eq!(parts, encode(&list).unwrap());
    let wrong = encode_list(
        TypeMeta {
            api_version: "v1",
            kind: "Pod",
        },
        &json!({}),
        std::iter::empty::<&Value>(),
    )
    .unwrap_err();
    assert_eq!(wrong.to_string(), "core.Pod is no list");
}

#[test]
fn what_is_as_deep_as_may_be_is_written_again() {
    // An object, `spec`, `versions`, an element and `schema` stand around the schemas.
    let crd = |depth: usize| {
        let schema = (1..depth).fold(json!({}), |inner, _| json!({"items": inner}));
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]},
        })
    };
    let deepest = encode(&crd(95)).unwrap();
    assert_eq!(encode(&decoded(&deepest)).unwrap(), deepest);
    assert!(matches!(
        decode(&encode(&crd(96)).unwrap()),
        Err(DecodeError::TooDeep { .. })
    ));
    assert!(matches!(encode(&crd(1_000)), Err(EncodeError::TooDeep { .. })));
}

#[test]
fn a_frame_of_a_watch() {
    let frame = watch_frame(WatchEventType::Bookmark, b"k8s\0...");
    assert_eq!(frame, b"\0\0\0\x15\x0a\x08BOOKMARK\x12\x09\x0a\x07k8s\0...");
}
