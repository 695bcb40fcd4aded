//! What a structural schema says of a value: its type, how its JSON is read, and how large it can become.
//!
//! Source: Kubernetes' mapping of OpenAPI schemas to CEL types. What the mapping gives no type (no `type`, no items of a
//! list) is out of an expression's sight, and so are names that cannot be escaped.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value as Json;

use crate::escape::escape;
use crate::types::Type;

/// The largest request, in bytes: no value is larger.
pub(crate) const MAX_REQUEST: u64 = 3 * 1024 * 1024;
/// Deeper schemas than any JSON that is read.
const MAX_DEPTH: usize = 130;
/// Of what has no size: the estimate takes it for nothing, as Kubernetes does.
const NO_SIZE: u64 = 0;

/// A type together with what the schema says of size and encoding.
#[derive(Debug)]
pub struct Declared {
    pub(crate) ty: Type,
    pub(crate) shape: Shape,
    /// Characters, elements or entries, at most.
    pub(crate) max_elements: u64,
    /// Bytes of the shortest JSON.
    pub(crate) min_serialized: u64,
}

/// How the JSON is read.
#[derive(Debug)]
pub(crate) enum Shape {
    /// By what it is.
    Dyn,
    Bool,
    Int,
    Double,
    String,
    Base64,
    Date,
    DateTime,
    Duration,
    List {
        items: Arc<Declared>,
        merge: Merge,
    },
    Map {
        values: Arc<Declared>,
    },
    Object {
        fields: BTreeMap<String, Field>,
    },
}

/// How two lists are compared and joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    Atomic,
    /// Order does not matter.
    Set,
    /// Order does not matter, and these fields identify an element.
    Keys(Vec<String>),
}

#[derive(Debug)]
pub(crate) struct Field {
    /// Its name in JSON.
    pub(crate) property: String,
    pub(crate) declared: Arc<Declared>,
}

/// Where the schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the root of a resource: `kind`, `apiVersion` and `metadata` with `name` and `generateName` are there
    /// whether it names them or not.
    Resource,
    /// Any other place.
    Part,
}

static DYN: LazyLock<Arc<Declared>> =
    LazyLock::new(|| Arc::new(Declared::simple(Type::Dyn, Shape::Dyn, 1, MAX_REQUEST)));
static TEXT: LazyLock<Arc<Declared>> =
    LazyLock::new(|| Arc::new(Declared::simple(Type::String, Shape::String, 2, MAX_REQUEST - 2)));

impl Declared {
    /// Any JSON, of a type known only when it is there.
    pub fn dynamic() -> &'static Arc<Declared> {
        &DYN
    }

    /// From an OpenAPI v3 schema. `name` is how messages name the type, with the path to each nested object after it.
    /// `None` when the schema says nothing that an expression could use.
    pub fn from_schema(schema: &Json, place: Place, name: &str) -> Option<Arc<Declared>> {
        Reader { depth: 0 }.read(schema, place, name).map(Arc::new)
    }

    /// The type to declare a variable with.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// How many of it can stand in one request, by its shortest JSON: what a rule's cost is multiplied with under a list
    /// or map without a bound of its own.
    pub fn max_cardinality(&self) -> u64 {
        MAX_REQUEST / (self.min_serialized + 1)
    }

    /// The declaration of a property, by its name in JSON.
    pub fn property(&self, name: &str) -> Option<&Arc<Declared>> {
        match &self.shape {
            Shape::Object { fields } => fields.get(&*escape(name)?).map(|field| &field.declared),
            _ => None,
        }
    }

    /// The declaration of a list's items or a map's values.
    pub fn element(&self) -> Option<&Arc<Declared>> {
        match &self.shape {
            Shape::List { items, .. } => Some(items),
            Shape::Map { values } => Some(values),
            _ => None,
        }
    }

    fn simple(ty: Type, shape: Shape, min_serialized: u64, max_elements: u64) -> Self {
        Self {
            ty,
            shape,
            max_elements,
            min_serialized,
        }
    }
}

struct Reader {
    depth: usize,
}

fn limit(schema: &Json, keyword: &str) -> Option<u64> {
    let number = schema.get(keyword)?;
    let whole = number.as_i64().map(|value| u64::try_from(value).unwrap_or(0));
    whole.or_else(|| number.as_u64())
}

fn flag(schema: &Json, keyword: &str) -> bool {
    schema.get(keyword).and_then(Json::as_bool).unwrap_or(false)
}

fn place_of(schema: &Json) -> Place {
    if flag(schema, "x-kubernetes-embedded-resource") {
        Place::Resource
    } else {
        Place::Part
    }
}

impl Reader {
    fn read(&mut self, schema: &Json, place: Place, name: &str) -> Option<Declared> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let declared = self.dispatch(schema, place, name);
        self.depth -= 1;
        declared
    }

    fn dispatch(&mut self, schema: &Json, place: Place, name: &str) -> Option<Declared> {
        if flag(schema, "x-kubernetes-int-or-string") {
            let max = limit(schema, "maxLength").map_or(MAX_REQUEST - 2, |max| max.saturating_mul(4));
            return Some(Declared::simple(Type::Dyn, Shape::Dyn, 1, max));
        }
        let kind = match place {
            Place::Resource => "object",
            Place::Part => schema.get("type").and_then(Json::as_str)?,
        };
        match kind {
            "array" => self.list(schema, name),
            "object" => self.object(schema, place, name),
            "string" => Some(string(schema)),
            "boolean" => Some(Declared::simple(Type::Bool, Shape::Bool, 4, NO_SIZE)),
            "number" => Some(Declared::simple(Type::Double, Shape::Double, 1, NO_SIZE)),
            "integer" => Some(Declared::simple(Type::Int, Shape::Int, 1, NO_SIZE)),
            _ => None,
        }
    }

    fn list(&mut self, schema: &Json, name: &str) -> Option<Declared> {
        let of = schema.get("items").filter(|items| items.is_object())?;
        let items = self.read(of, place_of(of), &format!("{name}.@idx"))?;
        let max = limit(schema, "maxItems").unwrap_or((MAX_REQUEST - 2) / (items.min_serialized + 1));
        let merge = match schema.get("x-kubernetes-list-type").and_then(Json::as_str) {
            Some("set") => Merge::Set,
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
                let keys = keys.into_iter().flatten().filter_map(Json::as_str);
                Merge::Keys(keys.map(str::to_owned).collect())
            }
            _ => Merge::Atomic,
        };
        let ty = Type::list(items.ty.clone());
        let items = Arc::new(items);
        Some(Declared::simple(ty, Shape::List { items, merge }, 2, max))
    }

    fn object(&mut self, schema: &Json, place: Place, name: &str) -> Option<Declared> {
        if let Some(of) = schema.get("additionalProperties").filter(|of| of.is_object()) {
            let values = self.read(of, place_of(of), &format!("{name}.@elem"))?;
            let max = limit(schema, "maxProperties").unwrap_or((MAX_REQUEST - 2) / (values.min_serialized + 6));
            let ty = Type::map(Type::String, values.ty.clone());
            let values = Arc::new(values);
            return Some(Declared::simple(ty, Shape::Map { values }, 2, max));
        }
        let mut fields = BTreeMap::new();
        let mut min_serialized = 2;
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        for (property, of) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            if place == Place::Resource && matches!(property.as_str(), "kind" | "apiVersion" | "metadata") {
                continue;
            }
            let escaped = escape(property);
            let path = format!("{name}.{}", escaped.as_deref().unwrap_or(property));
            let Some(declared) = self.read(of, place_of(of), &path) else {
                continue;
            };
            if required.contains(&property.as_str()) && of.get("default").is_none() {
                min_serialized += property.len() as u64 + declared.min_serialized + 4;
            }
            if let Some(escaped) = escaped {
                let declared = Arc::new(declared);
                let property = property.clone();
                fields.insert(escaped.into_owned(), Field { property, declared });
            }
        }
        if place == Place::Resource {
            add_type_and_metadata(&mut fields, name);
        }
        Some(with_fields(name, fields, min_serialized))
    }
}

fn with_fields(name: &str, fields: BTreeMap<String, Field>, min_serialized: u64) -> Declared {
    let types = fields
        .iter()
        .map(|(name, field)| (name.clone(), field.declared.ty.clone()));
    let ty = Type::object(name, types);
    Declared::simple(ty, Shape::Object { fields }, min_serialized, NO_SIZE)
}

fn add_type_and_metadata(fields: &mut BTreeMap<String, Field>, name: &str) {
    let text = |property: &str| {
        let declared = TEXT.clone();
        let property = property.to_owned();
        (property.clone(), Field { property, declared })
    };
    let metadata = ["name", "generateName"].map(text).into_iter().collect();
    let declared = Arc::new(with_fields(&format!("{name}.metadata"), metadata, 2));
    let property = "metadata".to_owned();
    fields.insert(property.clone(), Field { property, declared });
    fields.extend(["kind", "apiVersion"].map(text));
}

fn string(schema: &Json) -> Declared {
    let max_length = limit(schema, "maxLength");
    match schema.get("format").and_then(Json::as_str) {
        Some("byte") => Declared::simple(Type::Bytes, Shape::Base64, 2, max_length.unwrap_or(MAX_REQUEST - 2)),
        Some("duration") => Declared::simple(Type::Duration, Shape::Duration, 3, 32),
        Some("date") => Declared::simple(Type::Timestamp, Shape::Date, 12, 12),
        Some("date-time") => Declared::simple(Type::Timestamp, Shape::DateTime, 21, 32),
        _ => {
            let listed = schema
                .get("enum")
                .and_then(Json::as_array)
                .filter(|values| !values.is_empty());
            let longest = |values: &Vec<Json>| {
                let lengths = values.iter().filter_map(Json::as_str).map(|text| text.len() as u64);
                lengths.max().unwrap_or(0)
            };
            // Four bytes for each character that the limit allows.
            let max = max_length
                .map(|max| max.saturating_mul(4))
                .or_else(|| listed.map(longest));
            Declared::simple(Type::String, Shape::String, 2, max.unwrap_or(MAX_REQUEST - 2))
        }
    }
}
