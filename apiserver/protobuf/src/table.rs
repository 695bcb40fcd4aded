//! The messages of Kubernetes' API, as data: for each field its number on the wire, its name in JSON, its type, and
//! when it is left out. Decoder and encoder walk this table; no kind has code of its own.
//!
//! The files beside this one hold the rows. A file is one API group (or a part of one):
//!
//! ```text
//! group core v1                  its name here, and its apiVersion
//!
//! kind ConfigMap                 a message that is sent by itself; apiVersions of its own may follow, `*` is any
//!   1 metadata? meta.ObjectMeta  number, JSON name, type; of another group with its name
//!   2 data? {}str                `{}` map from strings, `[]` list, `*` pointer: set apart from its zero
//!
//! type Volume                    a message within others
//!   1 name str
//!   2 < VolumeSource             its fields stand in JSON among those of the message around it
//! ```
//!
//! A `?` behind the name says that JSON leaves the field out when it is empty; without it the field is always there.
//! What is neither `*`, `[]` nor `{}` is always on the wire, empty or not.
//!
//! The facts are those of `generated.proto` and of the types' tags in `k8s.io/api` 0.37.

use std::collections::HashMap;
use std::sync::LazyLock;

const SOURCES: &[&str] = &[
    include_str!("table/admissionregistration.txt"),
    include_str!("table/apidiscovery.txt"),
    include_str!("table/apiextensions.txt"),
    include_str!("table/apps.txt"),
    include_str!("table/authentication.txt"),
    include_str!("table/authorization.txt"),
    include_str!("table/autoscaling.txt"),
    include_str!("table/autoscaling2.txt"),
    include_str!("table/batch.txt"),
    include_str!("table/certificates.txt"),
    include_str!("table/coordination.txt"),
    include_str!("table/core.txt"),
    include_str!("table/core_pod.txt"),
    include_str!("table/core_volume.txt"),
    include_str!("table/discovery.txt"),
    include_str!("table/events.txt"),
    include_str!("table/flowcontrol.txt"),
    include_str!("table/meta.txt"),
    include_str!("table/networking.txt"),
    include_str!("table/node.txt"),
    include_str!("table/policy.txt"),
    include_str!("table/rbac.txt"),
    include_str!("table/scheduling.txt"),
    include_str!("table/scheduling1alpha3.txt"),
    include_str!("table/storage.txt"),
];

static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::parse(SOURCES).expect("the rows are part of the program, and a test reads them"));

/// All messages. Read once, when first asked for.
pub(crate) fn table() -> &'static Table {
    &TABLE
}

/// A message's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageId(usize);

#[derive(Debug)]
pub(crate) struct Message {
    /// `core.ConfigMap`: for error messages.
    pub(crate) name: String,
    /// By number.
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// In JSON; empty for what is inline.
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// JSON leaves it out when it is empty.
    pub(crate) omit_empty: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Always on the wire.
    Plain,
    /// On the wire if it is set, even to zero.
    Pointer,
    /// A message whose fields stand among those of the one around it in JSON.
    Inline,
    List,
    /// From strings.
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Int32,
    Int64,
    Bool,
    Double,
    /// Base64 in JSON.
    Bytes,
    Message(MessageId),
    Special(Special),
}

/// Messages that are not objects in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// Seconds in RFC 3339.
    Time,
    /// The same with six digits behind the point.
    MicroTime,
    Quantity,
    IntOrString,
    /// `runtime.RawExtension`: JSON, or an object in an envelope.
    Raw,
    /// Any JSON: apiextensions' `JSON`, and `FieldsV1`.
    Json,
    /// A message `{items}` of strings that JSON shows as a list.
    Strings,
    /// `JSONSchemaPropsOrArray`, of the schema given, and so on.
    SchemaOrArray(MessageId),
    SchemaOrBool(MessageId),
    SchemaOrStrings(MessageId),
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    messages: Vec<Message>,
    /// By apiVersion, then kind.
    kinds: HashMap<&'static str, HashMap<&'static str, MessageId>>,
}

/// The apiVersion of kinds that every group has.
const ANY: &str = "*";

impl Table {
    pub(crate) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0]
    }

    /// Of all messages.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> impl Iterator<Item = MessageId> + use<> {
        (0..self.messages.len()).map(MessageId)
    }

    /// The message of a kind.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<MessageId> {
        let of = |api_version: &str| self.kinds.get(api_version)?.get(kind).copied();
        of(api_version).or_else(|| of(ANY))
    }

    fn parse(sources: &[&'static str]) -> Result<Self, String> {
        let blocks = sources
            .iter()
            .map(|source| Block::split(source))
            .collect::<Result<Vec<_>, _>>()?;
        let blocks: Vec<Block> = blocks.into_iter().flatten().collect();
        let mut ids = HashMap::new();
        for (at, block) in blocks.iter().enumerate() {
            if ids.insert((block.group, block.name), MessageId(at)).is_some() {
                return Err(format!("{}.{} stands twice", block.group, block.name));
            }
        }
        let mut table = Table::default();
        for (at, block) in blocks.iter().enumerate() {
            for api_version in &block.api_versions {
                table
                    .kinds
                    .entry(api_version)
                    .or_default()
                    .insert(block.name, MessageId(at));
            }
            table.messages.push(block.message(&ids)?);
        }
        Ok(table)
    }
}

type Ids = HashMap<(&'static str, &'static str), MessageId>;

/// A message's rows, split but not understood.
struct Block {
    group: &'static str,
    name: &'static str,
    /// None, unless it is a kind.
    api_versions: Vec<&'static str>,
    rows: Vec<&'static str>,
}

impl Block {
    fn split(source: &'static str) -> Result<Vec<Block>, String> {
        let mut lines = source.lines().filter(|line| !line.is_empty());
        let head: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let ["group", group, api_version] = head[..] else {
            return Err(format!("no group: {head:?}"));
        };
        let mut blocks: Vec<Block> = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, api_versions) = match &words[..] {
                ["type", name] => (*name, Vec::new()),
                ["kind", name] => (*name, vec![api_version]),
                ["kind", name, own @ ..] => (*name, own.to_vec()),
                _ => {
                    let block = blocks
                        .last_mut()
                        .ok_or_else(|| format!("{line}: no message before it"))?;
                    block.rows.push(line.trim_start());
                    continue;
                }
            };
            blocks.push(Block {
                group,
                name,
                api_versions,
                rows: Vec::new(),
            });
        }
        Ok(blocks)
    }

    fn message(&self, ids: &Ids) -> Result<Message, String> {
        let name = format!("{}.{}", self.group, self.name);
        let fields = self
            .rows
            .iter()
            .map(|row| self.field(row, ids).map_err(|e| format!("{name}: {row}: {e}")));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        if !fields.is_sorted_by(|a, b| a.number < b.number) {
            return Err(format!("{name}: its fields are not in order"));
        }
        Ok(Message { name, fields })
    }

    fn field(&self, row: &'static str, ids: &Ids) -> Result<Field, String> {
        let words: Vec<&'static str> = row.split(' ').collect();
        let [number, name, of] = words[..] else {
            return Err("not three words".to_owned());
        };
        let (form, of) = match (name, of.split_at_checked(2)) {
            ("<", _) => (Form::Inline, of),
            (_, Some(("[]", of))) => (Form::List, of),
            (_, Some(("{}", of))) => (Form::Map, of),
            _ => of.strip_prefix('*').map_or((Form::Plain, of), |of| (Form::Pointer, of)),
        };
        let kind = self.type_named(of, ids).ok_or("no such type")?;
        if form == Form::Inline && !matches!(kind, Kind::Message(_)) {
            return Err("only a message can be inline".to_owned());
        }
        Ok(Field {
            number: number.parse().map_err(|_| "no number")?,
            name: if form == Form::Inline {
                ""
            } else {
                name.trim_end_matches('?')
            },
            form,
            omit_empty: name.ends_with('?'),
            kind,
        })
    }

    fn type_named(&self, name: &'static str, ids: &Ids) -> Option<Kind> {
        let schema = || ids.get(&(self.group, "JSONSchemaProps")).copied();
        let special = match name {
            "str" => return Some(Kind::String),
            "i32" => return Some(Kind::Int32),
            "i64" => return Some(Kind::Int64),
            "bool" => return Some(Kind::Bool),
            "f64" => return Some(Kind::Double),
            "bytes" => return Some(Kind::Bytes),
            "Time" => Special::Time,
            "MicroTime" => Special::MicroTime,
            "Quantity" => Special::Quantity,
            "IntOrString" => Special::IntOrString,
            "Raw" => Special::Raw,
            "Json" | "FieldsV1" => Special::Json,
            "strs" => Special::Strings,
            "SchemaOrArray" => Special::SchemaOrArray(schema()?),
            "SchemaOrBool" => Special::SchemaOrBool(schema()?),
            "SchemaOrStrings" => Special::SchemaOrStrings(schema()?),
            _ => {
                let key = name.split_once('.').unwrap_or((self.group, name));
                return ids.get(&key).copied().map(Kind::Message);
            }
        };
        Some(Kind::Special(special))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_can_be_read() {
        let table = Table::parse(SOURCES).unwrap();
        assert!(table.messages.len() > 600, "{}", table.messages.len());
    }

    #[test]
    fn a_kind_is_found_by_its_version_and_options_by_any() {
        let name = |api_version, kind| {
            table()
                .kind(api_version, kind)
                .map(|id| table().message(id).name.as_str())
        };
        assert_eq!(name("v1", "Event"), Some("core.Event"));
        assert_eq!(name("events.k8s.io/v1", "Event"), Some("events.Event"));
        assert_eq!(name("apps/v1", "DeleteOptions"), Some("meta.DeleteOptions"));
        assert_eq!(name("v1", "Status"), Some("meta.Status"));
        assert_eq!(name("apps/v1", "Status"), None);
        assert_eq!(name("v1", "PodSpec"), None);
    }

    #[test]
    fn a_wrong_row_is_refused() {
        let parse = |rows: &'static str| Table::parse(&[rows]).unwrap_err();
        assert_eq!(parse("kind A"), "no group: [\"kind\", \"A\"]");
        assert_eq!(parse("group g v1\ntype A\n  1 b B"), "g.A: 1 b B: no such type");
        assert_eq!(
            parse("group g v1\ntype A\n  2 b str\n  1 c str"),
            "g.A: its fields are not in order"
        );
        assert_eq!(parse("group g v1\ntype A\ntype A"), "g.A stands twice");
        assert_eq!(
            parse("group g v1\ntype A\n  1 < str"),
            "g.A: 1 < str: only a message can be inline"
        );
        assert_eq!(parse("group g v1\n  1 a str"), "  1 a str: no message before it");
    }
}
