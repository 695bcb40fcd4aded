//! Texts that nobody would write: nothing panics, nothing runs away.

use breakbulk_cel::{Bindings, Budget, CompileError, Declared, Environment, compile_pattern};
use proptest::prelude::*;
use serde_json::json;

fn attempt(text: &str) {
    let environment = Environment::new().variable("self", Declared::dynamic());
    let object = json!({"a": [1, "x", null, {"b": 1.5}], "s": "text", "m": {"k": {"v": true}}});
    let bindings = Bindings::new().json("self", &object, Declared::dynamic());
    if let Ok(program) = environment.compile(text, &[]) {
        let mut budget = Budget::for_object();
        if let Ok(value) = program.evaluate(&bindings, &mut budget) {
            let _ = value.to_json();
        }
    }
}

fn refused(text: &str, reason: &str) {
    let Err(error) = Environment::new().compile(text, &[]) else {
        panic!("{text} compiles");
    };
    assert!(
        matches!(&error, CompileError::Invalid(message) if message.contains(reason)),
        "{error}"
    );
}

#[test]
fn depth_is_bounded_whatever_makes_it() {
    let deep = "expression recursion limit exceeded: 250";
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "", "]"),
        ("{1:", "1", "}"),
        ("[1][", "0", "]"),
        ("size(", "''", ")"),
        ("true ? 1 : ", "1", ""),
        ("[1].all(x, ", "true", ")"),
        ("!(", "true", ")"),
    ] {
        refused(&format!("{}{middle}{}", open.repeat(5_000), close.repeat(5_000)), deep);
        attempt(&format!("{}{middle}{}", open.repeat(120), close.repeat(120)));
    }
    refused(&format!("1{}", " + 1".repeat(20_000)), deep);
    refused(&format!("[1]{}", ".map(x, [x])".repeat(2_000)), deep);
    refused(&format!("self{}", ".a".repeat(20_000)), deep);
    attempt(&format!("1{}", " + 1".repeat(500)));
    attempt(&format!("[1]{}", ".map(x, [x])".repeat(200)));
    attempt(&format!("true{}", " && true".repeat(12_000)));
    attempt(&"-".repeat(99_000));
    attempt(&format!("{}true", "!".repeat(99_000)));
}

#[test]
fn deep_values_are_not_looked_at_forever() {
    let mut deep = json!(1);
    for _ in 0..5_000 {
        deep = serde_json::Value::Array(vec![deep]);
    }
    let environment = Environment::new().variable("self", Declared::dynamic());
    let bindings = Bindings::new().json("self", &deep, Declared::dynamic());
    for text in ["self == self", "self in [self]", "'%s'.format([self]) == ''"] {
        let program = environment.compile(text, &[]).expect("compiles");
        let error = program.evaluate(&bindings, &mut Budget::for_object()).unwrap_err();
        assert_eq!(error.to_string(), "value nests too deep", "{text}");
    }
    // Its own destructor recurses.
    let mut rest = deep;
    while let Some(inner) = rest.as_array_mut().and_then(|items| items.pop()) {
        rest = inner;
    }
}

#[test]
fn length_is_bounded() {
    refused(
        &" ".repeat(100_001),
        "expression code point size exceeds limit: size: 100001, limit 100000",
    );
    attempt(&format!("'{}'", "x".repeat(99_000)));
    attempt(&format!("[{}]", "1,".repeat(49_000)));
    attempt(&format!("{{{}}}", "1:1,".repeat(20_000)));
    attempt(&"1".repeat(99_000));
}

#[test]
fn types_cannot_explode() {
    let tower = format!("[1]{}", ".map(x, {x: x})".repeat(60));
    refused(&tower, "the type of the expression is too large");
    attempt(&format!("[{}]", "[],".repeat(20_000)));
}

#[test]
fn errors_and_limits_hold_in_loops_within_loops() {
    let list = format!("[{}]", vec!["1"; 1_000].join(","));
    attempt(&format!("{list}.all(a, {list}.all(b, {list}.all(c, a + b + c > 0)))"));
    attempt(&format!("{list}.map(a, {list}.map(b, {list}.map(c, [a, b, c])))"));
}

#[test]
fn patterns_are_bounded() {
    for pattern in [
        "(((a{1000}){1000}){1000})",
        "x{100000}",
        "(",
        "a**",
        "\\",
        "[",
        "[a-",
        "(?P<",
        "\\Q",
        "{",
        "[[:",
    ] {
        let _ = compile_pattern(pattern);
    }
    assert!(compile_pattern("(((a{1000}){1000}){1000})").is_err());
    assert!(compile_pattern(&"(".repeat(10_000)).is_err());
}

/// Pieces of the language, right and wrong.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "self", "self.a", "self.m.k.v", "self.s", "1", "-1", "1u", "1.5", "'x'", "b'x'", "true", "null", "(", ")", "[", "]",
    "{", "}", ",", ":", ".", "?", ".?", "[?", "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "!", " in ",
    ".all(x, ", ".exists(x, ", ".map(x, ", ".filter(x, ", ".map(i, x, ", ".transformMap(k, v, ", "x", "has(",
    "size(", "string(", "int(", ".size()", ".matches('a+')", ".split('')", ".replace('', 'ab')", ".format([", "type(",
    "dyn(", "timestamp('2024-01-01T00:00:00Z')", "duration('1s')", "quantity('1Gi')", "ip('::1')", "cidr('::/0')",
    "url('http://x')", "optional.of(", "optional.none()", ".optMap(o, ", "o", ".orValue(", ".value()", "sets.contains(",
    "[1, 2, 3]", "{'a': 1}", ".sum()", ".min()", ".substring(1)", ".getHours()", "9223372036854775807", "é", "'",
    "\"", "\\", "//", "\n", "Foo{",
];

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn token_soup_neither_panics_nor_runs_away(tokens in prop::collection::vec(token(), 0..24)) {
        attempt(&tokens.concat());
    }

    #[test]
    fn any_text_neither_panics_nor_runs_away(text in "\\PC{0,60}") {
        attempt(&text);
        let _ = compile_pattern(&text);
        for call in ["quantity", "url", "ip", "cidr", "semver", "duration", "timestamp", "int", "double"] {
            let quoted = text.replace('\\', "\\\\").replace('\'', "\\'");
            attempt(&format!("{call}('{quoted}')"));
        }
        attempt(&format!("'{}'.format([1, 'a', 2.5, [dyn(1)]])", text.replace(['\\', '\''], "%")));
    }
}
