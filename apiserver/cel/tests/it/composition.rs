//! Variables that build on each other.

use std::cell::Cell;

use breakbulk_cel::{
    Answer, Authorizer, Bindings, Budget, Composition, Declared, Environment, EvalError, Question, Type,
};
use serde_json::json;

fn compose(environment: &Environment, variables: &[(&str, &str)]) -> (Environment, Composition) {
    let mut composition = Composition::new();
    for (name, text) in variables {
        let program = environment
            .with_variables(&composition)
            .compile(text, &[])
            .expect("compiles");
        composition.add(*name, program).expect("no name twice");
    }
    (environment.with_variables(&composition), composition)
}

#[test]
fn variables_see_those_before_them_and_have_their_types() {
    let base = Environment::new().variable("object", Declared::dynamic());
    let variables = [
        ("replicas", "object.spec.replicas"),
        ("double", "int(variables.replicas) * 2"),
        ("big", "variables.double > 5"),
    ];
    let (environment, composition) = compose(&base, &variables);
    let program = environment
        .compile("variables.big && variables.double == 6", &[Type::Bool])
        .expect("compiles");
    let object = json!({"spec": {"replicas": 3}});
    let bindings = Bindings::new()
        .json("object", &object, Declared::dynamic())
        .variables(&composition);
    let value = program.evaluate(&bindings, &mut Budget::for_object()).expect("a value");
    assert_eq!(value.as_bool(), Some(true));
    let mistake = environment
        .compile("variables.big == 'a'", &[])
        .unwrap_err()
        .to_string();
    assert!(mistake.contains("'_==_' applied to '(bool, string)'"), "{mistake}");
    let mistake = environment
        .compile("variables.none == 'a'", &[])
        .unwrap_err()
        .to_string();
    assert!(mistake.contains("undefined field 'none'"), "{mistake}");
}

struct Counting(Cell<u32>);

// The test is single-threaded; the trait wants what servers need.
struct Shared(std::sync::Mutex<Counting>);

impl Authorizer for Shared {
    fn authorize(&self, _: &Question) -> Answer {
        let counting = self.0.lock().expect("no panic");
        counting.0.set(counting.0.get() + 1);
        Answer::default()
    }
}

#[test]
fn a_variable_is_computed_once_and_only_if_it_is_read() {
    let base = Environment::new().typed_variable("authorizer", Type::Opaque(breakbulk_cel::Opaque::Authorizer));
    let ask = "authorizer.group('').resource('pods').check('get').allowed()";
    let (environment, composition) = compose(&base, &[("may", ask)]);
    let program = environment
        .compile("variables.may || variables.may || true", &[Type::Bool])
        .expect("compiles");
    let other = environment.compile("true", &[Type::Bool]).expect("compiles");
    let authorizer = Shared(std::sync::Mutex::new(Counting(Cell::new(0))));
    let bindings = Bindings::new().authorizer(&authorizer, None).variables(&composition);
    let mut budget = Budget::for_object();
    let asked = || authorizer.0.lock().expect("no panic").0.get();
    other.evaluate(&bindings, &mut budget).expect("a value");
    assert_eq!(asked(), 0);
    program.evaluate(&bindings, &mut budget).expect("a value");
    program.evaluate(&bindings, &mut budget).expect("a value");
    assert_eq!(asked(), 1);
}

#[test]
fn a_variable_without_a_value_is_an_error_where_it_is_read() {
    let (environment, composition) = compose(&Environment::new(), &[("bad", "1 / 0")]);
    let program = environment
        .compile("variables.bad == 1", &[Type::Bool])
        .expect("compiles");
    let bindings = Bindings::new().variables(&composition);
    let error = program.evaluate(&bindings, &mut Budget::for_object()).unwrap_err();
    assert_eq!(error.to_string(), "division by zero");
}

#[test]
fn a_name_is_declared_once() {
    let mut composition = Composition::new();
    let program = || Environment::new().compile("1", &[]).expect("compiles");
    composition.add("a", program()).expect("new");
    assert!(composition.add("a", program()).is_err());
}

#[test]
fn variables_cannot_build_a_tower() {
    let mut composition = Composition::new();
    let mut before = "[1]".to_owned();
    for step in 0..5_000 {
        let environment = Environment::new().with_variables(&composition);
        match environment.compile(&before, &[]) {
            Ok(program) => composition.add(format!("v{step}"), program).expect("new"),
            Err(error) => {
                assert!(
                    error.to_string().contains("expression recursion limit exceeded"),
                    "{error}"
                );
                climb(&composition, step - 1);
                return;
            }
        }
        before = format!("[[[[dyn(variables.v{step})]]]]");
    }
    panic!("the tower has no end");
}

#[test]
fn the_cost_of_variables_comes_from_the_same_budget() {
    let (environment, composition) = compose(&Environment::new(), &[("list", "[1, 2, 3].map(x, [x])")]);
    let program = environment
        .compile("variables.list.size() == 3", &[Type::Bool])
        .expect("compiles");
    let bindings = Bindings::new().variables(&composition);
    let mut budget = Budget::new(1_000, 20);
    assert_eq!(
        program.evaluate(&bindings, &mut budget).unwrap_err(),
        EvalError::BudgetExhausted
    );
    assert_eq!(budget.left(), 0);
}

#[test]
fn programs_can_be_shared_among_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<breakbulk_cel::Program>();
    shared::<Environment>();
    shared::<Composition>();
}

/// The highest tower allowed can be built, and is too high to be looked at as a whole.
fn climb(composition: &Composition, top: usize) {
    let environment = Environment::new().with_variables(composition);
    let bindings = Bindings::new().variables(composition);
    let value = |text: &str| {
        let program = environment.compile(text, &[]).expect("compiles");
        program.evaluate(&bindings, &mut Budget::for_object())
    };
    let tower = value(&format!("variables.v{top}")).expect("a value");
    assert!(tower.to_json().is_err());
    assert!(value(&format!("variables.v{top} == variables.v{top}")).is_err());
}

#[test]
fn a_variable_builds_only_on_those_that_are_there() {
    let mut composition = Composition::new();
    composition
        .add("a", Environment::new().compile("1", &[]).expect("compiles"))
        .expect("new");
    let program = Environment::new()
        .with_variables(&composition)
        .compile("variables.a", &[])
        .expect("compiles");
    assert!(Composition::new().add("b", program).is_err());
}
