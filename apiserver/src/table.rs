//! Tables: what `kubectl get` prints. A kind has columns; an object has a cell for each.
//!
//! Columns of our kinds and of CustomResourceDefinitions come from their printer columns; the core kinds have theirs
//! written down here, as upstream's printers have them.

mod age;
mod core;
pub mod jsonpath;
mod pods;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

pub use age::human;

use self::jsonpath::JsonPath;

/// The columns of a kind.
#[derive(Clone, Debug)]
pub struct Columns {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    type_: String,
    format: String,
    description: String,
    priority: i32,
    cell: Cell,
}

#[derive(Clone, Debug)]
enum Cell {
    /// `metadata.name`.
    Name,
    /// How long ago a path's time is.
    Age(JsonPath),
    /// A path's value.
    Path(JsonPath),
    /// A function of the object and the time.
    Computed(fn(&Value, Timestamp) -> Value),
}

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources.";
const AGE_DESCRIPTION: &str =
    "CreationTimestamp is a timestamp representing the server time when this object was created.";

impl Columns {
    /// The columns of a kind that defines its own. None given: the object's age.
    pub fn from_crd(definitions: &[CustomResourceColumnDefinition]) -> Self {
        let mut columns = vec![name()];
        for definition in definitions {
            // A path that does not parse was refused when the kind was defined; here it shows nothing.
            let path = JsonPath::parse(&definition.json_path).unwrap_or_default();
            let date = definition.type_ == "date";
            columns.push(Column {
                name: definition.name.clone(),
                type_: definition.type_.clone(),
                format: definition.format.clone().unwrap_or_default(),
                description: description(definition),
                priority: definition.priority.unwrap_or(0),
                cell: if date { Cell::Age(path) } else { Cell::Path(path) },
            });
        }
        if definitions.is_empty() {
            columns.push(creation_age());
        }
        Self { columns }
    }

    /// The columns of a core kind; name and age for one that has none of its own.
    pub fn core(kind: &str) -> Self {
        let own = core::columns(kind);
        let mut columns = if core::has_name_first(kind) {
            vec![name()]
        } else {
            Vec::new()
        };
        if own.is_empty() {
            columns.push(creation_age());
        }
        columns.extend(own);
        Self { columns }
    }

    /// The `columnDefinitions` of a Table.
    pub fn definitions(&self) -> Vec<Value> {
        let definition = |column: &Column| {
            json!({
                "name": column.name,
                "type": column.type_,
                "format": column.format,
                "description": column.description,
                "priority": column.priority,
            })
        };
        self.columns.iter().map(definition).collect()
    }

    /// The cells of an object's row.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        self.columns.iter().map(|column| column.value(object, now)).collect()
    }
}

impl Column {
    fn value(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Name => object.pointer("/metadata/name").cloned().unwrap_or(Value::Null),
            Cell::Computed(cell) => cell(object, now),
            // What is no text has no age; a text that is no time is told to be none.
            Cell::Age(path) => match path.first(object) {
                Some(value @ Value::String(_)) => age::of(value, now),
                _ => Value::Null,
            },
            Cell::Path(path) => path
                .first(object)
                .map_or(Value::Null, |value| typed(&self.type_, value)),
        }
    }
}

/// What a column shows, in its author's words or upstream's.
fn description(definition: &CustomResourceColumnDefinition) -> String {
    let given = definition.description.clone().filter(|text| !text.is_empty());
    given.unwrap_or_else(|| {
        let path = &definition.json_path;
        format!("Custom resource definition column (in JSONPath format): {path}")
    })
}

/// A number without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what an i64 cannot hold becomes the nearest that it can"
)]
fn whole(number: f64) -> i64 {
    number as i64
}

/// A value as a column's type wants it; one that does not fit shows nothing.
fn typed(type_: &str, value: &Value) -> Value {
    match (type_, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => Value::String(other.to_string()),
        ("integer", value) => value
            .as_i64()
            .or_else(|| value.as_f64().map(whole))
            .map_or(Value::Null, Value::from),
        ("number", value) => value.as_f64().map_or(Value::Null, Value::from),
        ("boolean", Value::Bool(_)) => value.clone(),
        _ => Value::Null,
    }
}

fn name() -> Column {
    Column {
        name: "Name".to_owned(),
        type_: "string".to_owned(),
        format: "name".to_owned(),
        description: NAME_DESCRIPTION.to_owned(),
        priority: 0,
        cell: Cell::Name,
    }
}

fn creation_age() -> Column {
    Column {
        name: "Age".to_owned(),
        type_: "date".to_owned(),
        format: String::new(),
        description: AGE_DESCRIPTION.to_owned(),
        priority: 0,
        cell: Cell::Age(JsonPath::parse(".metadata.creationTimestamp").unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T00:00:00Z";

    fn cells(columns: &Columns, object: &Value) -> Vec<Value> {
        columns.cells(object, NOW.parse().unwrap())
    }

    #[test]
    fn printer_columns_show_the_first_value_of_their_path() {
        let column = |name: &str, type_: &str, path: &str| CustomResourceColumnDefinition {
            name: name.to_owned(),
            type_: type_.to_owned(),
            json_path: path.to_owned(),
            ..CustomResourceColumnDefinition::default()
        };
        let columns = Columns::from_crd(&[
            column("Ready", "string", r#".status.conditions[?(@.type=="Ready")].status"#),
            column("N", "integer", ".spec.n"),
            column("Run", "string", r".metadata.labels.breakbulk\.dev/run"),
            column("Age", "date", ".metadata.creationTimestamp"),
            column("None", "string", ".spec.none"),
            column("List", "string", ".spec.list"),
            column("Float", "integer", ".spec.float"),
            column("When", "date", ".spec.list"),
            column("Never", "date", ".metadata.name"),
        ]);
        let object = json!({
            "metadata": {"name": "x", "creationTimestamp": "2026-01-01T23:00:00Z", "labels": {"breakbulk.dev/run": "r"}},
            "spec": {"n": 3, "list": ["a", "b"], "float": 3.7},
            "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        assert_eq!(
            cells(&columns, &object),
            [
                json!("x"),
                json!("True"),
                json!(3),
                json!("r"),
                json!("60m"),
                json!(null),
                json!("[\"a\",\"b\"]"),
                json!(3),
                json!(null),
                json!("<invalid>"),
            ]
        );
        let described = &columns.definitions()[2]["description"];
        assert_eq!(
            described,
            "Custom resource definition column (in JSONPath format): .spec.n"
        );
    }

    #[test]
    fn a_kind_without_columns_shows_its_age() {
        let columns = Columns::from_crd(&[]);
        assert_eq!(columns.definitions().len(), 2);
        assert_eq!(
            cells(&columns, &json!({"metadata": {"name": "x"}})),
            [json!("x"), json!(null)]
        );
    }

    #[test]
    fn nodes_show_whether_they_are_ready_and_take_work() {
        let node = json!({
            "metadata": {"name": "n", "creationTimestamp": NOW, "labels": {"node-role.kubernetes.io/builder": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v0.1.0"}},
        });
        let cells = cells(&Columns::core("Node"), &node);
        assert_eq!(
            cells[..5],
            [
                json!("n"),
                json!("Ready,SchedulingDisabled"),
                json!("builder"),
                json!("0s"),
                json!("v0.1.0")
            ]
        );
    }
}
