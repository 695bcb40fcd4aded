//! From a rule as written to a program, typed by the schema it stands in.

use std::sync::Arc;

use breakbulk_cel::{CompileError, Declared, Environment, Place, Program, Type};
use serde_json::Value;

use crate::definitions::field_below;
use crate::schema::{Rule, Ruled};

/// The value under judgment.
pub(super) const SELF: &str = "self";
/// What it was.
pub(super) const OLD_SELF: &str = "oldSelf";
/// What upstream says where a schema gives no type.
pub(super) const UNTYPED: &str = "failed to convert to declType for CEL validation rules";

/// What rules of one schema may name.
pub(super) struct Scopes {
    plain: Environment,
    /// With `oldSelf` as an optional.
    optional: Environment,
}

/// What became of a rule.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// None of an empty rule, or of one that is wrong.
    pub(super) program: Option<Program>,
    pub(super) problem: Option<String>,
    pub(super) message: Option<Program>,
    pub(super) message_problem: Option<String>,
}

/// The type of a schema's values; none where the schema does not say it.
pub(super) fn declared(schema: &Value, is_object: bool) -> Option<Arc<Declared>> {
    let embedded = schema.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) == Some(true);
    let place = if is_object || embedded {
        Place::Resource
    } else {
        Place::Part
    };
    Declared::from_schema(schema, place, SELF)
}

/// Whether a rule wants `oldSelf` as an optional.
pub(super) fn takes_none(rule: &Rule) -> bool {
    rule.optional_old_self == Some(true)
}

impl Scopes {
    pub(super) fn of(declared: &Arc<Declared>) -> Self {
        let base = Environment::new().variable(SELF, declared);
        Self {
            plain: base.clone().variable(OLD_SELF, declared),
            optional: base.optional_variable(OLD_SELF, declared),
        }
    }

    /// Compiles a rule, and if there is nothing wrong with it, its message.
    pub(super) fn compile(&self, rule: &Rule) -> Tried {
        let scope = if takes_none(rule) { &self.optional } else { &self.plain };
        let mut tried = Tried::default();
        if rule.rule.trim().is_empty() {
            return tried;
        }
        match scope.compile(&rule.rule, &[Type::Bool]) {
            Ok(program) => tried.program = Some(program),
            Err(error) => {
                tried.problem = Some(problem(&error, "compilation", "cel expression must evaluate to a bool"));
            }
        }
        if tried.program.is_some() && !rule.message_expression.is_empty() {
            match scope.compile(&rule.message_expression, &[Type::String]) {
                Ok(program) => tried.message = Some(program),
                Err(error) => {
                    let wanted = "messageExpression must evaluate to a string";
                    tried.message_problem = Some(problem(&error, "messageExpression compilation", wanted));
                }
            }
        }
        tried
    }
}

fn problem(error: &CompileError, what: &str, wanted: &str) -> String {
    match error {
        CompileError::Invalid(text) => format!("{what} failed: {text}"),
        CompileError::Output { .. } => wanted.to_owned(),
    }
}

/// The rules of a node.
#[derive(Debug)]
pub(super) struct RuledNode {
    /// None where the schema gives no type: then no rule can be evaluated.
    pub(super) declared: Option<Arc<Declared>>,
    /// The schema's `type`, which stands for the value in messages.
    pub(super) type_name: String,
    pub(super) rules: Vec<ReadyRule>,
}

/// A rule that is ready to be evaluated, or whose mistake is ready to be told.
#[derive(Debug)]
pub(super) struct ReadyRule {
    pub(super) written: Rule,
    /// The field to complain about, as it stands behind the value's path.
    pub(super) field: Option<String>,
    pub(super) tried: Tried,
}

impl RuledNode {
    pub(super) fn of(node: &Ruled<'_>, is_object: bool) -> Self {
        let declared = declared(node.schema, is_object);
        let scopes = declared.as_ref().map(Scopes::of);
        let ready = |rule: &Rule| ReadyRule {
            written: rule.clone(),
            field: field_below(&rule.field_path, node.schema),
            tried: scopes.as_ref().map(|scopes| scopes.compile(rule)).unwrap_or_default(),
        };
        Self {
            rules: node.rules.iter().map(ready).collect(),
            type_name: node
                .schema
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            declared,
        }
    }
}
