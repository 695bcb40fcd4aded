//! Reading JSON bodies: bounded in depth, and with an eye for keys that stand twice, which `fieldValidation` has to
//! report. Where a key stands twice the last one counts, as everywhere in Kubernetes.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a body is no JSON.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The parser's words, with line and column.
    #[error("invalid JSON: {0}")]
    Syntax(serde_json::Error),
}

/// The most duplicates reported: enough to mend them, too few to blow an answer up.
const MAX_DUPLICATES: usize = 32;

/// Reads one JSON document and lists the paths of keys that stand twice (`spec.x`).
///
/// Nesting is bounded by `max_depth` and by the parser's own limit of 128, whichever is less.
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<(Value, Vec<String>), ParseError> {
    let duplicates = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed {
        duplicates: &duplicates,
        path: None,
        depth: max_depth,
    };
    let value = seed.deserialize(&mut deserializer).map_err(ParseError::Syntax)?;
    deserializer.end().map_err(ParseError::Syntax)?;
    Ok((value, duplicates.into_inner()))
}

/// The path of what is being read, as a chain on the stack: it is spelled out only for a duplicate.
#[derive(Clone, Copy)]
struct Step<'a> {
    before: Option<&'a Step<'a>>,
    name: Name<'a>,
}

#[derive(Clone, Copy)]
enum Name<'a> {
    Key(&'a str),
    Index(usize),
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    duplicates: &'a RefCell<Vec<String>>,
    path: Option<&'a Step<'a>>,
    depth: usize,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        loop {
            let step = Step {
                before: self.path,
                name: Name::Index(list.len()),
            };
            match seq.next_element_seed(Seed {
                path: Some(&step),
                depth,
                ..self
            })? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let step = Step {
                before: self.path,
                name: Name::Key(&key),
            };
            let value = access.next_value_seed(Seed {
                path: Some(&step),
                depth,
                ..self
            })?;
            let mut duplicates = self.duplicates.borrow_mut();
            if map.contains_key(&key) && duplicates.len() < MAX_DUPLICATES {
                duplicates.push(spell(&step));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

fn spell(step: &Step<'_>) -> String {
    let before = step.before.map(spell).unwrap_or_default();
    match step.name {
        Name::Key(key) if before.is_empty() => key.to_owned(),
        Name::Key(key) => format!("{before}.{key}"),
        Name::Index(index) => format!("{before}[{index}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_stand_twice_are_named_and_the_last_counts() {
        let (value, duplicates) = parse(br#"{"a":1,"b":[{"c":1,"c":2}],"a":3}"#, 64).unwrap();
        assert_eq!(value, serde_json::json!({"a": 3, "b": [{"c": 2}]}));
        assert_eq!(duplicates, ["b[0].c", "a"]);
    }

    #[test]
    fn deep_nesting_and_trailing_text_are_refused() {
        assert!(parse("[".repeat(100_000).as_bytes(), 64).is_err());
        let nested = format!("{}1{}", "[".repeat(65), "]".repeat(65));
        assert!(parse(nested.as_bytes(), 64).is_err());
        assert!(parse(nested.as_bytes(), 65).is_ok());
        assert!(parse(b"{} {}", 64).is_err());
        assert!(parse(b"", 64).is_err());
    }
}
