//! A YAML document as a tree that remembers where each key and each value stands.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::source::Piece;

/// A place in a source; line and column are counted from 1, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// How many characters it covers, at least one.
    pub(crate) length: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Content,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) node: Node,
}

/// The parser's stack: it takes a dozen frames for each of the 64 levels it allows, and large ones without
/// optimisation.
const STACK: usize = 32 << 20;

/// Parses one document; none when it is empty. The mistake, if there is one, with its place.
pub(crate) fn parse(piece: &Piece<'_>) -> Result<Option<Node>, (Place, String)> {
    let failed = |words: &str| {
        (
            Place {
                line: piece.lines_before + 1,
                column: 1,
                length: 1,
            },
            words.to_owned(),
        )
    };
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || parse_here(piece));
        let parser = parser.map_err(|error| failed(&format!("cannot start the parser: {error}")))?;
        parser.join().unwrap_or_else(|_| Err(failed("the parser gave up")))
    })
}

fn parse_here(piece: &Piece<'_>) -> Result<Option<Node>, (Place, String)> {
    let options = serde_saphyr::options! {
        // Every repeated key is to be told, not only the first: they are forwarded and found in `to_json`.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // YAML 1.2: `on`, `yes` and `no` are words.
        strict_booleans: true,
    };
    let parsed = serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(piece.text, options);
    match parsed {
        Ok(None) => Ok(None),
        Ok(Some(spanned)) if matches!(spanned.value, Raw::Null) => Ok(None),
        Ok(Some(spanned)) => Ok(Some(node(spanned, piece.lines_before))),
        Err(error) => {
            let place = error.location().map_or(
                Place {
                    line: 1,
                    column: 1,
                    length: 1,
                },
                place,
            );
            let place = Place {
                line: place.line + piece.lines_before,
                ..place
            };
            Err((place, message(&error)))
        }
    }
}

impl Node {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The same without places. Keys that stand twice are told.
    pub(crate) fn to_json(&self, problems: &mut Vec<(Place, String)>) -> Value {
        match &self.value {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::String(value) => Value::String(value.clone()),
            Content::List(items) => items.iter().map(|item| item.to_json(problems)).collect(),
            Content::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    let value = entry.node.to_json(problems);
                    if map.insert(entry.key.clone(), value).is_some() {
                        let first = entries.iter().find(|e| e.key == entry.key).map_or(0, |e| e.at.line);
                        problems.push((
                            entry.at,
                            format!("the key {:?} stands twice (first in line {first})", entry.key),
                        ));
                    }
                }
                Value::Object(map)
            }
        }
    }
}

/// The words of a parser's error, without the place and without the snippet.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default().trim();
    let words = first.strip_prefix("error: ").unwrap_or(first);
    let words = words.split_once(" at line ").map_or(words, |(words, _)| words);
    let words = words
        .split_once(": ")
        .filter(|(head, _)| head.starts_with("line "))
        .map_or(words, |(_, rest)| rest);
    format!("no valid YAML: {words}")
}

fn place(location: Location) -> Place {
    let (line, column) = (location.line(), location.column());
    let length = u32::try_from(location.span().len()).unwrap_or(1).max(1);
    Place {
        line: u32::try_from(line).unwrap_or(1).max(1),
        column: u32::try_from(column).unwrap_or(1).max(1),
        length,
    }
}

fn node(spanned: Spanned<Raw>, lines_before: u32) -> Node {
    let shift = |location: Location| {
        let place = place(location);
        Place {
            line: place.line + lines_before,
            ..place
        }
    };
    let at = shift(spanned.referenced);
    let value = match spanned.value {
        Raw::Null => Content::Null,
        Raw::Bool(value) => Content::Bool(value),
        Raw::Number(value) => Content::Number(value),
        Raw::String(value) => Content::String(value),
        Raw::List(items) => Content::List(items.into_iter().map(|item| node(item, lines_before)).collect()),
        Raw::Map(entries) => {
            let entry = |(key, value): (Spanned<Key>, Spanned<Raw>)| Entry {
                key: key.value.0,
                at: shift(key.referenced),
                node: node(value, lines_before),
            };
            Content::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { at, value }
}

/// What the parser builds.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Key>, Spanned<Self>)>),
}

/// A key. JSON has only texts as keys: a number or a boolean becomes its text.
struct Key(String);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
                Raw::deserialize(deserializer)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Number(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Number(value.into()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
                Number::from_f64(value)
                    .map(Raw::Number)
                    .ok_or_else(|| E::custom("JSON has no such number: quote it"))
            }
            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::String(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<Raw, E> {
                Ok(Raw::String(value))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Raw::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Raw::Map(map))
            }
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = match Raw::deserialize(deserializer)? {
            Raw::Null => "null".to_owned(),
            Raw::Bool(value) => value.to_string(),
            Raw::Number(value) => value.to_string(),
            Raw::String(value) => value,
            Raw::List(_) | Raw::Map(_) => return Err(de::Error::custom("a key must be a text")),
        };
        Ok(Self(words))
    }
}
