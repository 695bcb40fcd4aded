//! What can be said of an expression before it is evaluated: that everything it names exists, and that its operators
//! fit their operands. Types that cannot be known before a run are let through and met again at evaluation.

use std::collections::{BTreeMap, BTreeSet};

use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators as op};
use cel::parser::Expression as Ast;

use super::Expression;
use crate::pipeline::ParamType;

/// The type of a sub-expression, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A boolean.
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// A list, a map or null.
    Other,
    /// Not known before a run.
    Unknown,
}

/// The names an expression may use in the place where it stands.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The pipeline's parameters.
    pub params: BTreeMap<String, ParamType>,
    /// The jobs whose results are known there.
    pub needs: BTreeSet<String>,
    /// The matrix's axes; none outside a matrix.
    pub matrix: Option<BTreeSet<String>>,
}

/// Checks that `expression` names only what `scope` has, and gives `want` (or a type not known yet). Every mistake is
/// one sentence, to be read behind the field's path.
pub fn check(expression: &Expression, scope: &Scope, want: Want) -> Vec<String> {
    let mut checker = Checker {
        scope,
        locals: Vec::new(),
        mistakes: Vec::new(),
    };
    let type_ = checker.type_of(expression.program.expression());
    let fits = match want {
        Want::Condition => matches!(type_, Type::Bool | Type::Unknown),
        Want::Text => type_ != Type::Other,
    };
    if !fits && checker.mistakes.is_empty() {
        checker
            .mistakes
            .push(format!("must give {}, and gives {}", want.words(), type_.words()));
    }
    checker.mistakes
}

/// What an expression is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A boolean.
    Condition,
    /// Something that has a text: a string, number or boolean.
    Text,
}

impl Want {
    const fn words(self) -> &'static str {
        match self {
            Self::Condition => "a boolean",
            Self::Text => "a string, a number or a boolean",
        }
    }
}

impl Type {
    const fn words(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Other => "a list, map or null",
            Self::Unknown => "an unknown type",
        }
    }
}

struct Checker<'a> {
    scope: &'a Scope,
    locals: Vec<String>,
    mistakes: Vec<String>,
}

impl Checker<'_> {
    fn type_of(&mut self, ast: &Ast) -> Type {
        if let Some(path) = path(ast)
            && !self.locals.iter().any(|local| *local == path[0])
        {
            return match resolve(self.scope, &path) {
                Ok(type_) => type_,
                Err(mistake) => {
                    self.mistakes.push(mistake);
                    Type::Unknown
                }
            };
        }
        match &ast.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Call(call) => self.call(&call.func_name, call.target.as_deref(), &call.args),
            Expr::Select(select) => {
                // `has(x.y)` asks whether y is there, so only what stands before it has to be.
                self.type_of(&select.operand);
                if select.test { Type::Bool } else { Type::Unknown }
            }
            Expr::List(list) => {
                list.elements.iter().for_each(|element| _ = self.type_of(element));
                Type::Other
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.type_of(&entry.key);
                        self.type_of(&entry.value);
                    }
                }
                Type::Other
            }
            Expr::Comprehension(loop_) => {
                self.type_of(&loop_.iter_range);
                let outer = self.locals.len();
                self.locals.extend([loop_.iter_var.clone(), loop_.accu_var.clone()]);
                self.locals.extend(loop_.iter_var2.clone());
                let start = self.type_of(&loop_.accu_init);
                for part in [&loop_.loop_cond, &loop_.loop_step, &loop_.result] {
                    self.type_of(part);
                }
                self.locals.truncate(outer);
                start
            }
            Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => Type::Unknown,
        }
    }

    fn call(&mut self, name: &str, target: Option<&Ast>, args: &[Ast]) -> Type {
        let target = target.map(|target| self.type_of(target));
        let args: Vec<Type> = args.iter().map(|arg| self.type_of(arg)).collect();
        match (name, args.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR | op::LOGICAL_NOT, operands) => {
                operands
                    .iter()
                    .for_each(|operand| self.expect(*operand, Type::Bool, name));
                Type::Bool
            }
            (op::EQUALS | op::NOT_EQUALS | op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [a, b]) => {
                if *a != *b && *a != Type::Unknown && *b != Type::Unknown {
                    let sign = name.trim_matches('_');
                    self.mistakes
                        .push(format!("compares {} with {} (`{sign}`)", a.words(), b.words()));
                }
                Type::Bool
            }
            (op::IN, _) => Type::Bool,
            (op::CONDITIONAL, [condition, yes, no]) => {
                self.expect(*condition, Type::Bool, "?:");
                if yes == no { *yes } else { Type::Unknown }
            }
            (op::ADD, [a, b]) if a == b => *a,
            (op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO | op::NEGATE, operands) => {
                operands
                    .iter()
                    .for_each(|operand| self.expect(*operand, Type::Number, name));
                Type::Number
            }
            ("startsWith" | "endsWith" | "contains" | "matches", _) => {
                if let Some(target) = target {
                    self.expect(target, Type::String, name);
                }
                Type::Bool
            }
            ("size" | "int" | "uint" | "double", _) => Type::Number,
            ("string", _) => Type::String,
            ("bool", _) => Type::Bool,
            _ => Type::Unknown,
        }
    }

    fn expect(&mut self, got: Type, want: Type, operator: &str) {
        if got != want && got != Type::Unknown {
            let sign = operator.trim_matches('_');
            self.mistakes
                .push(format!("`{sign}` wants {}, and gets {}", want.words(), got.words()));
        }
    }
}

fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Type::Number,
        LiteralValue::String(_) => Type::String,
        LiteralValue::Bytes(_) | LiteralValue::Null => Type::Other,
    }
}

/// The path an expression spells: `needs.a.outputs.b` and `needs["a"].outputs["b"]` alike.
fn path(ast: &Ast) -> Option<Vec<String>> {
    match &ast.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => {
            let mut path = path(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        Expr::Call(call) if call.func_name == op::INDEX => {
            let [operand, index] = call.args.as_slice() else {
                return None;
            };
            let Expr::Literal(LiteralValue::String(key)) = &index.expr else {
                return None;
            };
            let mut path = path(operand)?;
            path.push(key.inner().to_owned());
            Some(path)
        }
        _ => None,
    }
}

fn resolve(scope: &Scope, path: &[String]) -> Result<Type, String> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["git", "branch" | "tag" | "ref" | "sha" | "repository"] | ["event", "kind"] | ["run", "name" | "pipeline"] => {
            Ok(Type::String)
        }
        ["git", field, ..] => Err(format!(
            "has no `git.{field}`: there are branch, tag, ref, sha and repository"
        )),
        ["event", field, ..] => Err(format!("has no `event.{field}`: there is kind")),
        ["run", field, ..] => Err(format!("has no `run.{field}`: there are name and pipeline")),
        ["params", name] => match scope.params.get(*name) {
            Some(ParamType::Bool) => Ok(Type::Bool),
            Some(ParamType::Int) => Ok(Type::Number),
            Some(ParamType::String) => Ok(Type::String),
            None => Err(format!(
                "names the parameter `{name}`, which the pipeline does not declare"
            )),
        },
        ["needs", job, rest @ ..] => resolve_need(scope, job, rest),
        ["matrix", axis] => match &scope.matrix {
            None => Err(format!("names `matrix.{axis}`, and the job has no matrix")),
            Some(axes) if axes.contains(*axis) => Ok(Type::Unknown),
            Some(_) => Err(format!("names the axis `{axis}`, which the matrix does not have")),
        },
        ["params" | "needs" | "matrix" | "git" | "event" | "run"] => Ok(Type::Other),
        [name, ..] => Err(format!(
            "names `{name}`, which is not there: there are params, git, event, run, needs and matrix \
             (a name with a dash is written needs[\"the-name\"])"
        )),
        [] => Ok(Type::Unknown),
    }
}

fn resolve_need(scope: &Scope, job: &str, rest: &[&str]) -> Result<Type, String> {
    if !scope.needs.contains(job) {
        return Err(format!("names `needs.{job}`, which is not among the job's `needs`"));
    }
    match rest {
        ["result"] | ["outputs", _] => Ok(Type::String),
        [] | ["outputs"] => Ok(Type::Other),
        [field, ..] => Err(format!("has no `needs.{job}.{field}`: there are result and outputs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope {
            params: BTreeMap::from([("n".to_owned(), ParamType::Int), ("s".to_owned(), ParamType::String)]),
            needs: BTreeSet::from(["a".to_owned(), "b-c".to_owned()]),
            matrix: Some(BTreeSet::from(["os".to_owned()])),
        }
    }

    fn mistakes(text: &str) -> Vec<String> {
        check(&Expression::parse(text).unwrap(), &scope(), Want::Condition)
    }

    #[test]
    fn what_is_declared_passes() {
        for text in [
            "params.n > 1 && git.branch == 'main'",
            "needs.a.result == 'Failed' || needs['b-c'].outputs.x == 'y'",
            "matrix.os == 'linux'",
            "['a', 'b'].exists(x, x == params.s)",
            "has(needs.a.outputs.z) && event.kind in ['push', 'tag']",
            "true",
        ] {
            assert_eq!(mistakes(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_or_does_not_fit_is_named() {
        for (text, part) in [
            ("params.x == 1", "parameter `x`"),
            ("needs.d.result == 'Failed'", "`needs.d`"),
            ("needs.a.output == ''", "result and outputs"),
            ("matrix.arch == 'x'", "axis `arch`"),
            ("env.X == 'y'", "`env`"),
            ("params.n == 'one'", "compares a number with a string"),
            ("git.branch && true", "wants a boolean"),
            ("git.branch", "must give a boolean"),
            ("needs.b-c.result == 'x'", "`needs.b`"),
        ] {
            let found = mistakes(text);
            assert!(found.iter().any(|m| m.contains(part)), "{text}: {found:?}");
        }
    }
}
