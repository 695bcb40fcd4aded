//! What the checker lets through does not fail for its types: random expressions over a schema, evaluated on random
//! objects that fit it.

use breakbulk_cel::{Bindings, Budget, Declared, Environment, EvalError, Place};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn schema() -> Json {
    json!({"type": "object", "required": ["s", "n", "d", "b", "l", "m", "t", "o"], "properties": {
        "s": {"type": "string"}, "n": {"type": "integer"}, "d": {"type": "number"}, "b": {"type": "boolean"},
        "l": {"type": "array", "items": {"type": "integer"}},
        "m": {"type": "object", "additionalProperties": {"type": "string"}},
        "t": {"type": "string", "format": "date-time"},
        "o": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "string"}}},
    }})
}

fn object() -> impl Strategy<Value = Json> {
    let text = "[a-c]{0,3}";
    let map = prop::collection::btree_map(text, text, 0..3);
    let list = prop::collection::vec(-3..3_i64, 0..4);
    (text, any::<i64>(), -5.0..5.0_f64, any::<bool>(), list, map, 0..3_i64).prop_map(|(s, n, d, b, l, m, x)| {
        let o = if x == 0 { json!({}) } else { json!({"x": x, "y": s}) };
        json!({"s": s, "n": n, "d": d, "b": b, "l": l, "m": m, "t": "2024-01-02T03:04:05Z", "o": o})
    })
}

#[rustfmt::skip]
const LEAVES: &[&str] = &[
    "self.s", "self.n", "self.d", "self.b", "self.l", "self.m", "self.t", "self.o", "self.o.x", "self.o.y", "1", "2u",
    "1.5", "'a'", "true", "[1, 2]", "[]", "{}", "{'a': 'b'}", "duration('1s')", "optional.of(1)", "optional.none()",
    "self.?o.?x", "x", "has(self.o.x)", "quantity('1')", "ip('1.2.3.4')", "null",
];
const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"];
const MACROS: &[&str] = &["all", "exists", "exists_one", "map", "filter", "optMap"];
#[rustfmt::skip]
const METHODS: &[&str] = &[
    "size()", "sum()", "min()", "isSorted()", "hasValue()", "value()", "split('a')", "upperAscii()", "getHours()",
    "trim()", "asInteger()", "family()", "first()",
];
const FUNCTIONS: &[&str] = &["size", "string", "int", "double", "type", "!", "-", "[", "optional.of"];
const OF_TWO: &[&str] = &["contains", "indexOf", "orValue", "or", "startsWith", "add", "join"];

/// Expressions that are often, but not always, well-typed.
fn expression() -> impl Strategy<Value = String> {
    let any_of = prop::sample::select::<&'static str>;
    let leaf = any_of(LEAVES.to_vec()).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let two = (inner.clone(), inner.clone());
        let call = |(name, a): (&str, String)| {
            if name == "[" {
                format!("[{a}]")
            } else {
                format!("{name}({a})")
            }
        };
        prop_oneof![
            (two.clone(), any_of(OPERATORS.to_vec())).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (two.clone(), any_of(MACROS.to_vec())).prop_map(|((a, b), name)| format!("{a}.{name}(x, {b})")),
            (two.clone(), any_of(OF_TWO.to_vec())).prop_map(|((a, b), name)| format!("{a}.{name}({b})")),
            (inner.clone(), any_of(METHODS.to_vec())).prop_map(|(a, name)| format!("{a}.{name}")),
            (any_of(FUNCTIONS.to_vec()), inner.clone()).prop_map(call),
            two.clone().prop_map(|(a, b)| format!("{a}[{b}]")),
            (two, inner).prop_map(|((a, b), c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

/// One expression of each type.
#[derive(Clone, Debug)]
struct Typed {
    bool: String,
    int: String,
    text: String,
    list: String,
}

/// Expressions that are well-typed, and deeper than luck would make them.
fn typed() -> impl Strategy<Value = Typed> {
    let of = |texts: &[&'static str]| prop::sample::select(texts.to_vec()).prop_map(str::to_owned);
    let bool = of(&[
        "self.b",
        "true",
        "has(self.o.x)",
        "self.?o.?x.hasValue()",
        "('a' in self.m)",
    ]);
    let int = of(&[
        "self.n",
        "7",
        "size(self.m)",
        "self.o.x",
        "int(self.d)",
        "self.t.getMonth()",
        "self.?o.?x.orValue(2)",
    ]);
    let text = of(&[
        "self.s",
        "'ab'",
        "self.o.y",
        "self.m['a']",
        "self.m[?'b'].orValue('c')",
        "string(self.t)",
    ]);
    let list = of(&[
        "self.l",
        "[1, 2]",
        "self.m.map(k, size(k))",
        "[self.n]",
        "self.l.transformList(i, v, i + v)",
    ]);
    let leaf = (bool, int, text, list).prop_map(|(bool, int, text, list)| Typed { bool, int, text, list });
    leaf.prop_recursive(5, 64, 2, |inner| {
        (inner.clone(), inner, any::<[u8; 4]>()).prop_map(|(a, b, [w, x, y, z])| Typed {
            bool: bool_of(&a, &b, w),
            int: int_of(&a, &b, x),
            text: text_of(&a, &b, y),
            list: list_of(&a, &b, z),
        })
    })
}

fn bool_of(a: &Typed, b: &Typed, choice: u8) -> String {
    match choice % 8 {
        0 => format!("({} && {})", a.bool, b.bool),
        1 => format!("({} || !{})", a.bool, b.bool),
        2 => format!("{}.all(x, x > {} || {})", a.list, b.int, b.bool),
        3 => format!("{}.exists(i, x, i < x && {})", a.list, b.bool),
        4 => format!("({} == {})", a.text, b.text),
        5 => format!("({} in {})", a.int, b.list),
        6 => format!("{}.contains({})", a.text, b.text),
        _ => format!("({} <= double({}))", a.int, b.int),
    }
}

fn int_of(a: &Typed, b: &Typed, choice: u8) -> String {
    match choice % 7 {
        0 => format!("({} + {})", a.int, b.int),
        1 => format!("({} % {})", a.int, b.int),
        2 => format!("size({})", a.list),
        3 => format!("{}[{}]", a.list, b.int),
        4 => format!("({} ? {} : {})", a.bool, a.int, b.int),
        5 => format!("{}.sum()", a.list),
        _ => format!("{}[?{}].optMap(o, o + 1).orValue({})", a.list, a.int, b.int),
    }
}

fn text_of(a: &Typed, b: &Typed, choice: u8) -> String {
    match choice % 6 {
        0 => format!("({} + {})", a.text, b.text),
        1 => format!("{}.replace({}, '-')", a.text, b.text),
        2 => format!("string({})", a.int),
        3 => format!("{}.split('a').join({})", a.text, b.text),
        4 => format!("'%s %d %s'.format([{}, {}, {}])", a.text, b.int, b.list),
        _ => format!("({} ? {} : {}.lowerAscii())", a.bool, a.text, b.text),
    }
}

fn list_of(a: &Typed, b: &Typed, choice: u8) -> String {
    match choice % 6 {
        0 => format!("({} + {})", a.list, b.list),
        1 => format!("{}.map(x, x - {})", a.list, b.int),
        2 => format!("{}.filter(x, x != {} && {})", a.list, b.int, b.bool),
        3 => format!("[{}, {}]", a.int, b.int),
        4 => format!("{}.transformMap(i, v, v + {}).map(k, k)", a.list, b.int),
        _ => format!("({} ? {} : [?optional.of({})])", a.bool, a.list, b.int),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_well_typed_compiles_and_runs(typed in typed(), object in object()) {
        let declared = Declared::from_schema(&schema(), Place::Part, "self").expect("typed");
        let environment = Environment::new().variable("self", &declared);
        let bindings = Bindings::new().json("self", &object, &declared);
        for text in [&typed.bool, &typed.int, &typed.text, &typed.list] {
            let program = environment.compile(text, &[]);
            let program = program.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            let result = program.evaluate(&bindings, &mut Budget::for_object());
            prop_assert!(!matches!(result, Err(EvalError::NoSuchOverload)), "{text} on {object}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn what_checks_does_not_fail_for_its_types(text in expression(), object in object()) {
        let declared = Declared::from_schema(&schema(), Place::Part, "self").expect("typed");
        let environment = Environment::new().variable("self", &declared);
        if let Ok(program) = environment.compile(&text, &[]) {
            let bindings = Bindings::new().json("self", &object, &declared);
            let result = program.evaluate(&bindings, &mut Budget::for_object());
            // `dyn` arises where an empty list says nothing of its elements, and null stands for any object; these are
            // left to evaluation by design.
            let open = ["[]", "{}", "null", "optional.none()"].iter().any(|part| text.contains(part));
            if let (Err(EvalError::NoSuchOverload), false) = (&result, open) {
                prop_assert!(false, "{text} on {object}");
            }
        }
    }
}
