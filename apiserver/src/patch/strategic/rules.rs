//! What a schema says of how its fields merge: a place in a schema, and the way from there to the fields below.

use serde_json::Value;

/// A place in a schema. Where a schema says nothing (unknown fields, free-form objects) maps merge and lists are
/// replaced.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    schema: Option<&'a Value>,
    find: Find,
}

/// Finds a definition by its name.
type Find = fn(&str) -> Option<&'static Value>;

/// How a field merges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum How<'a> {
    /// Maps merge, lists and values are replaced.
    #[default]
    Plain,
    /// Maps are replaced too.
    Replace,
    /// Lists merge: objects by this key, values as a set.
    Merge(Option<&'a str>),
}

impl<'a> Rules<'a> {
    /// The root of a schema whose `$ref`s lead, by their last part, to what is found so.
    pub fn new(schema: &'a Value, find: Find) -> Self {
        let here = Self { schema: None, find };
        here.at(Some(schema))
    }

    /// A field, and how it merges.
    pub(super) fn field(self, name: &str) -> (Self, How<'a>) {
        let Some(schema) = self.schema else {
            return (self, How::Plain);
        };
        let property = schema.get("properties").and_then(|properties| properties.get(name));
        let field = property.or_else(|| schema.get("additionalProperties"));
        (self.at(field), field.map(strategy).unwrap_or_default())
    }

    /// The elements of a list.
    pub(super) fn items(self) -> Self {
        self.at(self.schema.and_then(|schema| schema.get("items")))
    }

    fn at(self, schema: Option<&'a Value>) -> Self {
        Self {
            schema: schema.and_then(|schema| self.resolved(schema)),
            ..self
        }
    }

    /// Follows a reference. Definitions refer to definitions only from their fields, so that one step is enough.
    fn resolved(self, schema: &'a Value) -> Option<&'a Value> {
        let reference = schema.get("$ref").or_else(|| schema.get("allOf")?.get(0)?.get("$ref"));
        let Some(reference) = reference.and_then(Value::as_str) else {
            return Some(schema);
        };
        (self.find)(reference.rsplit('/').next()?)
    }
}

fn strategy(field: &Value) -> How<'_> {
    let said = field.get("x-kubernetes-patch-strategy").and_then(Value::as_str);
    // `retainKeys` stands beside the strategy: it is for those who make patches.
    let said = said
        .into_iter()
        .flat_map(|said| said.split(','))
        .find(|one| *one != "retainKeys");
    match said {
        Some("merge") => How::Merge(field.get("x-kubernetes-patch-merge-key").and_then(Value::as_str)),
        Some("replace") => How::Replace,
        _ => How::Plain,
    }
}
