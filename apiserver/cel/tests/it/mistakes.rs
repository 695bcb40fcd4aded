//! What is said of expressions that are none: cel-go's words, and the place.

use breakbulk_cel::{CompileError, Declared, Environment, Place, Type};
use serde_json::json;

use crate::support::mistake;

fn environment() -> Environment {
    let schema = json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {"x-kubernetes-int-or-string": true},
    }});
    let declared = Declared::from_schema(&schema, Place::Part, "selfType").expect("typed");
    Environment::new().variable("self", &declared)
}

/// The message alone, with line and column.
fn first_line(text: &str) -> String {
    mistake(&environment(), text)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    assert_eq!(
        mistake(&environment(), "self.nam == 'é' && self.name"),
        "ERROR: <input>:1:5: undefined field 'nam'\n | self.nam == 'é' && self.name\n | ....^\n\
         ERROR: <input>:1:24: expected type 'bool' but found 'string'\n | self.nam == 'é' && self.name\n \
         | .............．.........^"
    );
    assert_eq!(
        mistake(&environment(), "true &&\n  self.x"),
        "ERROR: <input>:2:7: undefined field 'x'\n |   self.x\n | ......^"
    );
}

#[test]
fn the_checker_says_what_does_not_fit() {
    for (text, expected) in [
        ("foo", "1:1: undeclared reference to 'foo' (in container '')"),
        ("foo(1)", "1:4: undeclared reference to 'foo' (in container '')"),
        (
            "self.name.foo()",
            "1:14: undeclared reference to 'foo' (in container '')",
        ),
        (
            "1 + 'a'",
            "1:3: found no matching overload for '_+_' applied to '(int, string)'",
        ),
        (
            "self.name > 1",
            "1:11: found no matching overload for '_>_' applied to '(string, int)'",
        ),
        (
            "self == 1",
            "1:6: found no matching overload for '_==_' applied to '(selfType, int)'",
        ),
        (
            "self.name.contains(1)",
            "1:19: found no matching overload for 'contains' applied to 'string.(int)'",
        ),
        ("self.tags.all(t, t)", "1:18: expected type 'bool' but found 'string'"),
        (
            "self.name.all(t, true)",
            "1:5: expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("self.count.x", "1:11: type 'int' does not support field selection"),
        ("[1, 'a'] == []", "1:5: expected type 'int' but found 'string'"),
        ("{'a': 1, 2: 2} == {}", "1:10: expected type 'string' but found 'int'"),
        ("has(self)", "1:5: invalid argument to has() macro"),
        ("has(self.x)", "1:4: undefined field 'x'"),
        ("self.tags.all(self.x, true)", "1:19: argument must be a simple name"),
        ("Foo{a: 1} == 1", "1:4: undeclared reference to 'Foo' (in container '')"),
        ("self.name.matches('(')", "1:19: invalid matches argument"),
        ("duration('1x') == duration('1s')", "1:10: invalid duration argument"),
        ("timestamp('x') == timestamp(0)", "1:11: invalid timestamp argument"),
        ("[self.any, 1] == []", "1:12: expected type 'dyn' but found 'int'"),
        (
            "self.tags[0] == 'a' ? 1 : 'b'",
            "1:21: found no matching overload for '_?_:_' applied to '(bool, int, string)'",
        ),
        (
            "self.tags.map(t, t == 1)",
            "1:20: found no matching overload for '_==_' applied to '(string, int)'",
        ),
        ("self.?name", "must evaluate to bool"),
        ("self.tags.filter(self.x, true)", "1:22: argument is not an identifier"),
        ("int{}", "1:4: 'int' is not a message type"),
        ("[1].all(x, x, true)", "1:12: duplicate variable name: x"),
    ] {
        let found = first_line(text);
        let found = found.strip_prefix("ERROR: <input>:").unwrap_or(&found);
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn the_parser_says_what_it_did_not_expect() {
    for (text, expected) in [
        (
            "",
            "1:1: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "self.name ==",
            "1:13: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "true true",
            "1:6: Syntax error: mismatched input 'true' expecting <EOF>",
        ),
        ("(true", "1:6: Syntax error: mismatched input '<EOF>' expecting ')'"),
        ("'a", "1:1: Syntax error: token recognition error at: ''a'"),
        ("1 = 1", "1:3: Syntax error: token recognition error at: '='"),
        ("self.namespace.if", "must evaluate to bool"),
        ("for", "1:1: reserved identifier: for"),
        ("99999999999999999999 > 1", "1:1: invalid int literal"),
    ] {
        if expected.starts_with("must") {
            continue;
        }
        let found = first_line(text);
        assert_eq!(found.trim_start_matches("ERROR: <input>:"), expected, "{text}");
    }
}

#[test]
fn the_type_of_the_value_is_checked() {
    let environment = environment();
    let error = environment.compile("self.name", &[Type::Bool]).unwrap_err();
    assert!(matches!(error, CompileError::Output { .. }));
    assert_eq!(error.to_string(), "must evaluate to bool");
    let error = environment.compile("1", &[Type::String, Type::Null]).unwrap_err();
    assert_eq!(error.to_string(), "must evaluate to one of [string null]");
    assert!(
        environment.compile("self.any", &[Type::Bool]).is_err(),
        "dyn is not good for a boolean"
    );
}
