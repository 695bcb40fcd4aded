//! Costs: what evaluations cost, what they are reckoned to cost at the most, and what happens beyond the limits. The
//! figures are those of Kubernetes' own model for like expressions.

use breakbulk_cel::{Bindings, Budget, Declared, Environment, EvalError, PER_OBJECT_LIMIT, Place, Type, excess};
use serde_json::{Value as Json, json};

fn schema() -> Json {
    json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "short": {"type": "string", "maxLength": 10},
        "phase": {"type": "string", "enum": ["Pending", "Bound"]},
        "count": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "few": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 10}},
        "words": {"type": "array", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "integer"}},
        "objects": {"type": "array", "items": {"type": "object", "properties": {
            "k": {"type": "string"}, "v": {"type": "string"}}}},
    }})
}

fn object() -> Json {
    json!({
        "name": "twelve chars", "short": "short", "phase": "Bound", "count": 3, "at": "2024-01-02T03:04:05Z",
        "numbers": [1, 1, 2, 2, 3, 3, 4, 5], "few": ["a"], "words": ["a", "b", "c"],
        "labels": {"a": 1, "b": 2},
        "objects": [{"k": "a1", "v": "b1"}, {"k": "a2"}, {"k": "a3", "v": "z"}],
    })
}

fn declared() -> std::sync::Arc<Declared> {
    Declared::from_schema(&schema(), Place::Part, "self").expect("typed")
}

#[test]
fn an_evaluation_costs_its_steps() {
    let declared = declared();
    let object = object();
    let environment = Environment::new().variable("self", &declared);
    let bindings = Bindings::new().json("self", &object, &declared);
    let mut wrong = String::new();
    for (text, expected) in [
        ("true", 0),
        ("self.count == 3", 3),
        ("double(5) < 10.0", 1),
        ("type(self.count) == int", 4),
        ("self.name == 'twelve chars'", 4),
        ("self.name.startsWith('twelve') && self.count > 0", 7),
        ("self.name.startsWith('x') && self.count > 0", 4),
        ("self.name.matches('^[^0-9]*$')", 8),
        ("self.name.indexOf('w') == 1", 4),
        ("self.name.replace(' ', '-') == 'twelve-chars'", 7),
        ("self.phase in ['Pending', 'Bound']", 2),
        ("self.at == timestamp('2024-01-02T00:00:00Z') + duration('3h4m5s')", 4),
        ("1 in self.numbers", 10),
        ("self.numbers[0] in self.numbers", 13),
        ("self.numbers + [4] == [1]", 4),
        ("has(self.name)", 1),
        ("self.numbers.all(e, e > 0)", 43),
        ("self.numbers.exists(e, e > 2)", 36),
        ("self.numbers.exists_one(e, e > 4)", 22),
        ("!self.numbers.all(e, e < 2)", 21),
        ("!self.numbers.exists(e, e < 0)", 52),
        ("size(self.numbers.filter(e, e % 2 == 0)) == 3", 68),
        ("self.numbers.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)", 194),
        ("self.numbers.transformList(i, e, e > 2, e * 2).size() > 0", 77),
        ("self.labels.all(k, self.labels[k] > 0)", 17),
        ("self.labels.transformMap(k, v, v + 1).size() == 2", 15),
        ("self.labels.transformMapEntry(k, v, {k + '2': v + 1}).size() == 2", 77),
        ("!self.objects.exists_one(o, o.k.startsWith('a'))", 20),
        ("self.objects.map(o, has(o.v) && o.v == 'z', o.v).size() == 1", 28),
        ("sets.contains(self.words, ['a'])", 6),
        ("sets.equivalent(self.words, ['a', 'b', 'c'])", 21),
        ("optional.of('a').or(optional.of('a')).hasValue()", 2),
        ("optional.of('a').optMap(v, v == 'value').hasValue()", 8),
        ("self.?name.orValue('v') == 'a'", 3),
        ("quantity('50k').sub(20) == quantity('49980')", 4),
        (
            "quantity('200M') == quantity('0.2G') && quantity('0.2G') == quantity('200M')",
            6,
        ),
    ] {
        let program = environment.compile(text, &[]).expect(text);
        let mut budget = Budget::for_object();
        program.evaluate(&bindings, &mut budget).expect(text);
        let cost = PER_OBJECT_LIMIT - budget.left();
        if cost != expected {
            wrong.push_str(&format!("\n{text}: wanted {expected}, cost {cost}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_worst_cost_follows_from_the_schema() {
    let declared = declared();
    let environment = Environment::new().variable("self", &declared);
    let mut wrong = String::new();
    for (text, expected) in [
        ("self.count == 3", 2),
        ("self.name == 'twelve chars'", 4),
        ("self.name == self.name", 314_577),
        ("self.short == self.short", 8),
        ("self.name.matches('^[^0-9]*$')", 943_721),
        ("self.name.indexOf('o') == 1", 314_576),
        ("self.name.replace(' ', 'x') == 'Rookxtakesxx'", 629_150),
        ("self.name.split(' ') == ['a', 'b', 'c']", 629_159),
        ("self.name.substring(4, 10).trim() == 'takes'", 629_149),
        ("self.name.lowerAscii() == self.name.lowerAscii()", 943_723),
        ("self.phase == 'Pending'", 3),
        ("self.phase in ['Pending', 'Bound']", 14),
        ("1 in self.numbers", 1_572_865),
        ("self.numbers[0] in self.numbers", 1_572_868),
        ("self.numbers + [4, 5] == [1, 2, 3, 4, 5]", 24),
        ("self.numbers.all(k, size(self.numbers) > 0)", 11_010_044),
        ("self.numbers.exists_one(k, self.numbers == [2])", 23_592_949),
        ("size(self.numbers.filter(k, size(self.numbers) > 1)) == 1", 26_738_686),
        ("'a' in self.words", 1_048_577),
        ("self.words.all(k, size(self.words) > 0)", 7_340_028),
        ("string(self.count) == self.name", 314_578),
        ("self.few.all(w, w.startsWith('a'))", 28),
        ("has(self.name) && has(self.few)", 2),
        ("self.at == timestamp('2024-01-02T00:00:00Z') + duration('3h')", 6),
    ] {
        let cost = environment.compile(text, &[]).expect(text).cost().max;
        if cost != expected {
            wrong.push_str(&format!("\n{text}: wanted {expected}, estimated {cost}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_excess_is_told_with_its_factor() {
    let hint = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and \
                strings are declared)";
    assert_eq!(excess("estimated rule cost", 10_000_000, 10_000_000), None);
    let told = |cost| excess("estimated rule cost", cost, 10_000_000).expect("over the limit");
    assert_eq!(
        told(2_000_000_000),
        format!("estimated rule cost exceeds budget by factor of more than 100x {hint}")
    );
    assert_eq!(
        told(25_000_000),
        format!("estimated rule cost exceeds budget by factor of 2.5x {hint}")
    );
    assert_eq!(
        told(11_010_044),
        format!("estimated rule cost exceeds budget by factor of 1.101004x {hint}")
    );
}

#[test]
fn an_evaluation_ends_at_its_limit_and_a_series_at_its_budget() {
    let declared = declared();
    let object = object();
    let environment = Environment::new().variable("self", &declared);
    let bindings = Bindings::new().json("self", &object, &declared);
    let program = environment
        .compile("self.numbers.all(e, e > 0) || true", &[Type::Bool])
        .expect("compiles");
    let mut budget = Budget::new(40, 1_000);
    let error = program.evaluate(&bindings, &mut budget).unwrap_err();
    assert_eq!(error, EvalError::CallCostExceeded);
    assert_eq!(error.to_string(), "operation cancelled: actual cost limit exceeded");
    assert!(budget.left() < 1_000);
    let mut budget = Budget::new(1_000, 100);
    assert!(program.evaluate(&bindings, &mut budget).is_ok());
    assert!(program.evaluate(&bindings, &mut budget).is_ok());
    assert_eq!(
        program.evaluate(&bindings, &mut budget).unwrap_err(),
        EvalError::BudgetExhausted
    );
}

#[test]
fn what_grows_without_being_paid_for_is_stopped() {
    let long = "a".repeat(2_000_000);
    let environment = Environment::new().typed_variable("s", Type::String);
    let bindings = Bindings::new().value("s", breakbulk_cel::Value::String(breakbulk_cel::Text::Borrowed(&long)));
    for text in [
        "s.replace('a', s).size() > 0",
        "[s, s, s, s, s, s, s, s].join(s) == s",
        "[1].map(a, [a, a]).map(b, [b, b]).map(c, [c, c]).map(d, [d, d]).map(e, [e, e]).map(f, [f, f]).map(g, [g, g])\
         .map(a, [a, a]).map(b, [b, b]).map(c, [c, c]).map(d, [d, d]).map(e, [e, e]).map(f, [f, f]).map(g, [g, g])\
         .map(a, [a, a]).map(b, [b, b]).map(c, [c, c]).map(d, [d, d]).map(e, [e, e]).map(f, [f, f]).map(g, [g, g])\
         .map(a, [a, a]).map(b, [b, b]).map(c, [c, c]).map(d, [d, d]).map(e, [e, e]).map(f, [f, f]).map(g, [g, g])\
         .map(x, x == x).size() > 0",
    ] {
        let program = environment.compile(text, &[Type::Bool]).expect("compiles");
        let error = program
            .evaluate(&bindings, &mut Budget::new(10_000, 10_000))
            .unwrap_err();
        assert_eq!(error, EvalError::CallCostExceeded);
    }
}
