//! The messages of OpenAPI documents, as data. The files hold them in rows:
//!
//! ```text
//! type Schema
//!   1 $ref str             field number, name in JSON, type
//!   25 properties {}Schema `{}` a message of named values, `[]` repeated
//!   22 type (str)          a message whose first field is the value, or each of a list
//!   31 x- any              all members whose names start so, named; `any` is YAML text
//!   2 * PathItem           all members that have no row and are no extensions, named
//!
//! choice AdditionalPropertiesItem
//!   2 bool bool            the first that holds is written: by the value's type,
//!   1 else Schema          by a member (`$ref`, `in=body`), or always
//! ```

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

static V2: LazyLock<Table> = LazyLock::new(|| parsed(include_str!("v2.txt")));
static V3: LazyLock<Table> = LazyLock::new(|| parsed(include_str!("v3.txt")));

fn parsed(rows: &'static str) -> Table {
    Table::parse(rows).expect("the rows are part of the program, and a test reads them")
}

/// Of gnostic's `openapi.v2`.
pub(super) fn v2() -> &'static Table {
    &V2
}

/// Of gnostic's `openapi.v3`.
pub(super) fn v3() -> &'static Table {
    &V3
}

#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    document: EntryId,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct EntryId(usize);

#[derive(Debug)]
pub(super) enum Entry {
    Message(Vec<Row>),
    /// A `oneof`.
    Choice(Vec<Choice>),
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) number: u32,
    pub(super) key: Key,
    pub(super) of: Type,
}

#[derive(Debug)]
pub(super) enum Key {
    Name(&'static str),
    Extensions,
    Others,
}

impl Key {
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Key::Name(own) if *own == name)
    }
}

#[derive(Debug)]
pub(super) struct Choice {
    pub(super) number: u32,
    pub(super) when: Condition,
    pub(super) of: Type,
}

#[derive(Debug)]
pub(super) enum Condition {
    Bool,
    Number,
    String,
    Has(&'static str),
    Is(&'static str, &'static str),
    Always,
}

#[derive(Debug)]
pub(super) enum Type {
    String,
    Bool,
    Int,
    Double,
    Any,
    List(Box<Type>),
    Map(Box<Type>),
    OneOrMore(Box<Type>),
    Message(EntryId),
}

impl Condition {
    pub(super) fn holds(&self, value: &Value) -> bool {
        match self {
            Condition::Bool => value.is_boolean(),
            Condition::Number => value.is_number(),
            Condition::String => value.is_string(),
            Condition::Has(name) => value.get(name).is_some(),
            Condition::Is(name, wanted) => value.get(name).and_then(Value::as_str) == Some(wanted),
            Condition::Always => true,
        }
    }

    fn parse(word: &'static str) -> Self {
        match word {
            "bool" => Condition::Bool,
            "number" => Condition::Number,
            "string" => Condition::String,
            "else" => Condition::Always,
            _ => word
                .split_once('=')
                .map_or(Condition::Has(word), |(name, wanted)| Condition::Is(name, wanted)),
        }
    }
}

type Ids = HashMap<&'static str, EntryId>;

impl Table {
    pub(super) fn entry(&self, id: EntryId) -> &Entry {
        &self.entries[id.0]
    }

    pub(super) fn document(&self) -> &Entry {
        self.entry(self.document)
    }

    fn parse(rows: &'static str) -> Result<Self, String> {
        let blocks: Vec<&'static str> = rows.trim_end().split("\n\n").collect();
        let heads = blocks.iter().map(|block| {
            let head = block.lines().next().unwrap_or_default();
            head.split_once(' ').ok_or_else(|| format!("{head}: no name"))
        });
        let heads = heads.collect::<Result<Vec<_>, _>>()?;
        let ids: Ids = heads
            .iter()
            .enumerate()
            .map(|(at, (_, name))| (*name, EntryId(at)))
            .collect();
        let mut entries = Vec::new();
        for (block, (what, name)) in blocks.iter().zip(&heads) {
            let rows = block.lines().skip(1);
            let entry = match *what {
                "type" => rows
                    .map(|row| Row::parse(row, &ids))
                    .collect::<Option<_>>()
                    .map(Entry::Message),
                "choice" => rows
                    .map(|row| Choice::parse(row, &ids))
                    .collect::<Option<_>>()
                    .map(Entry::Choice),
                _ => None,
            };
            entries.push(entry.ok_or_else(|| format!("{name}: a wrong row"))?);
        }
        let document = *ids.get("Document").ok_or("no Document")?;
        Ok(Table { entries, document })
    }
}

fn words(row: &'static str) -> Option<[&'static str; 3]> {
    row.trim_start().split(' ').collect::<Vec<_>>().try_into().ok()
}

impl Row {
    fn parse(row: &'static str, ids: &Ids) -> Option<Self> {
        let [number, name, of] = words(row)?;
        let key = match name {
            "x-" => Key::Extensions,
            "*" => Key::Others,
            name => Key::Name(name),
        };
        Some(Row {
            number: number.parse().ok()?,
            key,
            of: Type::parse(of, ids)?,
        })
    }
}

impl Choice {
    fn parse(row: &'static str, ids: &Ids) -> Option<Self> {
        let [number, when, of] = words(row)?;
        Some(Choice {
            number: number.parse().ok()?,
            when: Condition::parse(when),
            of: Type::parse(of, ids)?,
        })
    }
}

impl Type {
    fn parse(name: &'static str, ids: &Ids) -> Option<Self> {
        let inner = |name| Type::parse(name, ids).map(Box::new);
        if let Some(of) = name.strip_prefix("[]") {
            return inner(of).map(Type::List);
        }
        if let Some(of) = name.strip_prefix("{}") {
            return inner(of).map(Type::Map);
        }
        if let Some(of) = name.strip_prefix('(').and_then(|name| name.strip_suffix(')')) {
            return inner(of).map(Type::OneOrMore);
        }
        Some(match name {
            "str" => Type::String,
            "bool" => Type::Bool,
            "i64" => Type::Int,
            "f64" => Type::Double,
            "any" => Type::Any,
            name => Type::Message(*ids.get(name)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_can_be_read() {
        for rows in [include_str!("v2.txt"), include_str!("v3.txt")] {
            assert!(Table::parse(rows).unwrap().entries.len() > 30);
        }
    }

    #[test]
    fn a_wrong_row_is_refused() {
        assert_eq!(
            Table::parse("type Document\n  1 a Nothing").unwrap_err(),
            "Document: a wrong row"
        );
        assert_eq!(Table::parse("type A\n  1 a str").unwrap_err(), "no Document");
        assert_eq!(Table::parse("A").unwrap_err(), "A: no name");
    }
}
