//! Where a kind has a `scale`, the numbers of replicas in its objects are such as a Scale can hold, and the selector is a
//! text: upstream's `registry/customresource/validator.go`. Fields that an update leaves alone are not looked at.

use breakbulk_schemas::field::{ErrorKind, FieldError, Path};
use serde_json::Value;

use crate::registry::resource::{Resource, Sub};

/// Every mistake in the fields that a Scale is made from.
pub(super) fn mistakes(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(Sub::Scale(paths)) = resource.subresource("scale").map(|sub| &sub.what) else {
        return Vec::new();
    };
    let touched = |path: &&Vec<String>| old.is_none_or(|old| at(new, path).ok() != at(old, path).ok());
    let numbers = [&paths.spec_replicas, &paths.status_replicas].into_iter();
    let numbers = numbers.filter(touched).filter_map(|path| replicas(new, path));
    let selector = paths
        .selector
        .iter()
        .filter(touched)
        .filter_map(|path| selector(new, path));
    numbers.chain(selector).collect()
}

/// What stands at a path; else what stands in the way.
fn at<'a>(object: &'a Value, path: &[String]) -> Result<Option<&'a Value>, (usize, &'a Value)> {
    let mut place = object;
    for (depth, name) in path.iter().enumerate() {
        match place {
            Value::Object(map) => match map.get(name) {
                Some(next) => place = next,
                None => return Ok(None),
            },
            other => return Err((depth, other)),
        }
    }
    Ok(Some(place))
}

fn replicas(object: &Value, path: &[String]) -> Option<FieldError> {
    let (number, detail) = match at(object, path) {
        Ok(None) => return None,
        Ok(Some(found)) => match found.as_i64() {
            Some(number) if number < 0 => (number, "should be a non-negative integer".to_owned()),
            Some(number) if number > i64::from(i32::MAX) => {
                (number, format!("should be less than or equal to {}", i32::MAX))
            }
            Some(_) => return None,
            None => (0, wrong(path, found, "int64")),
        },
        Err((depth, found)) => (0, wrong(&path[..depth], found, "map[string]interface{}")),
    };
    Some(error(path, number.to_string(), detail))
}

fn selector(object: &Value, path: &[String]) -> Option<FieldError> {
    let detail = match at(object, path) {
        Ok(None | Some(Value::String(_))) => return None,
        Ok(Some(found)) => wrong(path, found, "string"),
        Err((depth, found)) => wrong(&path[..depth], found, "map[string]interface{}"),
    };
    Some(error(path, "\"\"".to_owned(), detail))
}

fn error(path: &[String], value: String, detail: String) -> FieldError {
    let path = Path::root(&format!(".{}", path.join(".")));
    FieldError {
        value: Some(value),
        ..FieldError::new(path, ErrorKind::Invalid, detail)
    }
}

/// In the words of upstream's accessors.
fn wrong(path: &[String], found: &Value, wanted: &str) -> String {
    let (shown, is) = match found {
        Value::Null => ("<nil>".to_owned(), "<nil>"),
        Value::Bool(flag) => (flag.to_string(), "bool"),
        Value::Number(number) => (number.to_string(), "float64"),
        Value::String(text) => (text.chars().take(120).collect(), "string"),
        Value::Array(_) => ("[...]".to_owned(), "[]interface {}"),
        Value::Object(_) => ("map[...]".to_owned(), "map[string]interface {}"),
    };
    format!(
        ".{} accessor error: {shown} is of the type {is}, expected {wanted}",
        path.join(".")
    )
}
