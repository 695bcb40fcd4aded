//! From a JSON value that has passed its schema to a typed spec, with every mistake under its path.
//!
//! A structural schema cannot say "a string, a whole number or a boolean", so scalars are looked at here first, all of
//! them; what then still does not decode is named by the decoder with its path.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Scalar;
use crate::field::{ErrorKind, FieldError, Path};

/// Where scalars stand in a kind: field names, `*` for every key or every element.
pub type ScalarPlaces = &'static [&'static [&'static str]];

/// Decodes `value` as `T`. Mistakes in scalars are added to `errors` and replaced, so that the rest is looked at too;
/// `None` means that nothing more can be said.
pub fn decode<T: DeserializeOwned>(
    value: &Value,
    places: ScalarPlaces,
    root: &Path,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let mut value = value.clone();
    for place in places {
        scalars(&mut value, place, root, errors);
    }
    match serde_path_to_error::deserialize(&value) {
        Ok(typed) => Some(typed),
        Err(error) => {
            let path = path_of(root, error.path());
            errors.push(FieldError::new(
                path,
                ErrorKind::TypeInvalid,
                error.into_inner().to_string(),
            ));
            None
        }
    }
}

fn scalars(value: &mut Value, place: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    let Some((head, rest)) = place.split_first() else {
        if let Err(error) = serde_json::from_value::<Scalar>(value.clone()) {
            let shown = value.to_string();
            errors.push(FieldError::with_value(
                path.clone(),
                ErrorKind::TypeInvalid,
                &shown,
                error.to_string(),
            ));
            *value = Value::String(String::new());
        }
        return;
    };
    match (value, *head) {
        (Value::Object(map), "*") => {
            map.iter_mut()
                .for_each(|(key, inner)| scalars(inner, rest, &path.child(key), errors));
        }
        (Value::Array(list), "*") => {
            list.iter_mut()
                .enumerate()
                .for_each(|(index, inner)| scalars(inner, rest, &path.index(index), errors));
        }
        (Value::Object(map), name) => {
            if let Some(inner) = map.get_mut(name) {
                scalars(inner, rest, &path.child(name), errors);
            }
        }
        _ => {}
    }
}

fn path_of(root: &Path, found: &serde_path_to_error::Path) -> Path {
    use serde_path_to_error::Segment;
    found.iter().fold(root.clone(), |path, segment| match segment {
        Segment::Seq { index } => path.index(*index),
        Segment::Map { key } => path.child(key),
        Segment::Enum { variant } => path.child(variant),
        Segment::Unknown => path,
    })
}
