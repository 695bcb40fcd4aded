//! Rules (`x-kubernetes-validations`): expressions over a value and what it was. They are kept here and evaluated
//! elsewhere. Each node that has any has a number, so that who compiles them keeps them in a list beside the schema.

use serde_json::Value;

use super::trail::Trail;
use super::unique::Earlier;
use super::{Additional, Node, Schema};

/// A rule as its author wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// The expression; true where the value is as it should be.
    pub rule: String,
    /// What to say where it is not.
    pub message: String,
    /// An expression for what to say.
    pub message_expression: String,
    /// `FieldValueInvalid`, if not said.
    pub reason: Option<String>,
    /// The field to complain about, below the value: `.foo.bar`.
    pub field_path: String,
    /// Whether the rule wants `oldSelf` as an optional, and is evaluated on creation too.
    pub optional_old_self: Option<bool>,
}

/// A node with rules.
#[derive(Clone, Copy, Debug)]
pub struct Ruled<'a> {
    /// Its number: nodes are counted from zero, parents first.
    pub id: usize,
    /// Its rules.
    pub rules: &'a [Rule],
    /// Its schema as written, which types `self`.
    pub schema: &'a Value,
    /// Whether it is the schema of the object itself, whose `self` has the head of an object.
    pub is_root: bool,
}

/// A value that has rules.
#[derive(Clone, Copy, Debug)]
pub struct RuledValue<'a> {
    /// The node it follows.
    pub node: Ruled<'a>,
    /// The value; never null.
    pub value: &'a Value,
    /// What it was before the update, as far as that can be told.
    pub old: Option<&'a Value>,
    /// Where it stands.
    pub trail: Trail<'a>,
    /// The nearest value around it of which that can be told, with what that was.
    around: Option<(&'a Value, &'a Value)>,
}

impl RuledValue<'_> {
    /// Whether an update leaves it alone: it is what it was, or stands in something that is.
    pub fn is_unchanged(&self) -> bool {
        match (self.old, self.around) {
            (Some(old), _) => self.value == old,
            (None, Some((value, old))) => value == old,
            (None, None) => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct RuledNode {
    id: usize,
    is_root: bool,
    rules: Vec<Rule>,
    schema: Value,
}

impl RuledNode {
    pub(super) fn read(schema: &Value) -> Option<Box<Self>> {
        let written = schema.get("x-kubernetes-validations")?.as_array()?;
        let rules: Vec<Rule> = written
            .iter()
            .filter_map(|rule| serde::Deserialize::deserialize(rule).ok())
            .collect();
        (!rules.is_empty()).then(|| {
            Box::new(Self {
                id: 0,
                is_root: false,
                rules,
                schema: schema.clone(),
            })
        })
    }

    fn seen(&self) -> Ruled<'_> {
        Ruled {
            id: self.id,
            rules: &self.rules,
            schema: &self.schema,
            is_root: self.is_root,
        }
    }
}

/// Numbers the nodes that have rules and says how many there are.
pub(super) fn number(root: &mut Node) -> usize {
    let mut next = 0;
    number_below(root, &mut next);
    if let Some(rules) = &mut root.rules {
        rules.is_root = true;
    }
    next
}

fn number_below(node: &mut Node, next: &mut usize) {
    if !node.within.rules {
        return;
    }
    if let Some(rules) = &mut node.rules {
        rules.id = *next;
        *next += 1;
    }
    node.properties.values_mut().for_each(|child| number_below(child, next));
    if let Additional::Each(each) = &mut node.additional {
        number_below(each, next);
    }
    if let Some(items) = &mut node.items {
        number_below(items, next);
    }
}

impl Schema {
    /// How many nodes have rules.
    pub fn ruled_nodes(&self) -> usize {
        self.ruled
    }

    /// The nodes that have rules, in the order of their numbers.
    pub fn rules(&self) -> Vec<Ruled<'_>> {
        let mut found = Vec::with_capacity(self.ruled);
        collect(&self.root, &mut found);
        found
    }

    /// Goes past every value in `new` whose node has rules, parents first, with what it was in `old`: told by field, by
    /// map key, by the keys of a list of type map; not told of other lists' entries.
    pub fn visit_ruled(&self, new: &Value, old: Option<&Value>, visit: &mut dyn FnMut(RuledValue<'_>)) {
        let pair = Pair {
            value: new,
            old,
            around: None,
        };
        past(&self.root, pair, &Trail::Root, visit);
    }
}

fn collect<'a>(node: &'a Node, found: &mut Vec<Ruled<'a>>) {
    if !node.within.rules {
        return;
    }
    found.extend(node.rules.as_ref().map(|rules| rules.seen()));
    node.properties.values().for_each(|child| collect(child, found));
    if let Additional::Each(each) = &node.additional {
        collect(each, found);
    }
    if let Some(items) = &node.items {
        collect(items, found);
    }
}

/// A value, what it was, and the nearest value around it of which that is known.
#[derive(Clone, Copy)]
struct Pair<'a> {
    value: &'a Value,
    old: Option<&'a Value>,
    around: Option<(&'a Value, &'a Value)>,
}

impl<'a> Pair<'a> {
    /// Something inside of it.
    fn inside(self, value: &'a Value, old: Option<&'a Value>) -> Self {
        let here = self.old.map(|old| (self.value, old));
        Self {
            value,
            old,
            around: here.or(self.around),
        }
    }
}

fn past(node: &Node, pair: Pair<'_>, trail: &Trail<'_>, visit: &mut dyn FnMut(RuledValue<'_>)) {
    if !node.within.rules || pair.value.is_null() {
        return;
    }
    let old = pair.old.filter(|old| !old.is_null());
    let pair = Pair { old, ..pair };
    if let Some(rules) = &node.rules {
        visit(RuledValue {
            node: rules.seen(),
            value: pair.value,
            old,
            trail: *trail,
            around: pair.around,
        });
    }
    match pair.value {
        Value::Object(map) => {
            for (name, inner) in map {
                if let Some((child, trail)) = node.step(name, trail) {
                    let inner = pair.inside(inner, old.and_then(|old| old.get(name)));
                    past(child, inner, &trail, visit);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            let mut earlier = Earlier::of(&node.list, old.and_then(Value::as_array).map(Vec::as_slice));
            for (index, item) in list.iter().enumerate() {
                let inner = pair.inside(item, earlier.counterpart(index, item));
                past(items, inner, &Trail::Index(trail, index), visit);
            }
        }
        _ => {}
    }
}
