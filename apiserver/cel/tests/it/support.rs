//! How the tables are run.

use breakbulk_cel::{Bindings, Budget, Environment, Type};
use serde_json::Value as Json;

/// What an expression gives: JSON, or what is said instead of a value.
pub(crate) fn run_in(environment: &Environment, bindings: &Bindings<'_>, text: &str) -> Result<Json, String> {
    let program = environment.compile(text, &[]).map_err(|error| error.to_string())?;
    let value = program.evaluate(bindings, &mut Budget::for_object());
    let value = value.map_err(|error| error.to_string())?;
    value.to_json().map_err(|error| error.to_string())
}

/// Runs a table; every line that is not as expected is told at once. An expectation that begins with `error: ` is of the
/// message; any other is JSON.
pub(crate) fn table(environment: &Environment, bindings: &Bindings<'_>, lines: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in lines {
        let found = match run_in(environment, bindings, text) {
            Ok(value) => value.to_string(),
            Err(message) => format!("error: {message}"),
        };
        let expected = match serde_json::from_str::<Json>(expected) {
            Ok(value) => value.to_string(),
            Err(_) => (*expected).to_owned(),
        };
        if found != expected {
            wrong.push_str(&format!("\n{text}\n  wanted {expected}\n  found  {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

pub(crate) fn plain(lines: &[(&str, &str)]) {
    table(&Environment::new(), &Bindings::new(), lines);
}

/// All must be true.
pub(crate) fn all_true(texts: &[&str]) {
    let lines: Vec<(&str, &str)> = texts.iter().map(|text| (*text, "true")).collect();
    plain(&lines);
}

/// What the compiler says.
pub(crate) fn mistake(environment: &Environment, text: &str) -> String {
    match environment.compile(text, &[Type::Bool]) {
        Ok(_) => panic!("{text} compiles"),
        Err(error) => error.to_string(),
    }
}
