//! The type of every part of an expression, and which functions its calls can mean. Stands between the parser and the
//! plan; knows declarations, never values.
//!
//! Follows cel-go's checker closely, messages included: clients and conformance tests look for them.

mod calls;
mod macros;
mod unify;
mod validate;

use crate::environment::Environment;
use crate::library::Overload;
use crate::source::Issue;
use crate::syntax::{Ast, Expr, Id, Kind, Literal, Selection, qualified};
use crate::types::{Opaque, Type};

use unify::Mapping;

/// What the checker found out, by node.
#[derive(Debug)]
pub(crate) struct Checked {
    types: Vec<Type>,
    calls: Vec<Vec<&'static Overload>>,
    references: Vec<Option<Reference>>,
}

/// What a name means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reference {
    /// A variable of the environment, by its full name.
    Variable(String),
    /// A variable of a macro.
    Local,
    /// A type's name.
    Type(Type),
}

impl Checked {
    pub(crate) fn ty(&self, id: Id) -> &Type {
        self.types.get(id.index()).unwrap_or(&Type::Dyn)
    }

    /// What a call can mean; empty for what is no function.
    pub(crate) fn overloads(&self, id: Id) -> &[&'static Overload] {
        self.calls.get(id.index()).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn reference(&self, id: Id) -> Option<&Reference> {
        self.references.get(id.index())?.as_ref()
    }
}

/// Checks a whole expression.
pub(crate) fn check(ast: &Ast, environment: &Environment) -> Result<Checked, Vec<Issue>> {
    let count = ast.offsets.len();
    let mut checker = Checker {
        environment,
        offsets: &ast.offsets,
        found: Checked {
            types: vec![Type::Error; count],
            calls: vec![Vec::new(); count],
            references: vec![None; count],
        },
        mapping: Mapping::default(),
        scopes: Vec::new(),
        issues: Vec::new(),
    };
    checker.check(&ast.root);
    let Checker {
        mut found,
        mapping,
        mut issues,
        ..
    } = checker;
    for ty in &mut found.types {
        *ty = mapping.resolve(ty);
    }
    if issues.is_empty() {
        validate::literals(ast, &found, &mut issues);
    }
    if issues.is_empty() { Ok(found) } else { Err(issues) }
}

/// More mistakes than these are not told.
const MOST_ISSUES: usize = 100;

struct Checker<'e> {
    environment: &'e Environment,
    offsets: &'e [usize],
    found: Checked,
    mapping: Mapping,
    /// Variables of the macros around, the innermost last.
    scopes: Vec<(String, Type)>,
    issues: Vec<Issue>,
}

impl Checker<'_> {
    fn report(&mut self, id: Id, message: impl Into<String>) {
        if self.issues.len() < MOST_ISSUES {
            self.issues.push(Issue::new(self.offsets[id.index()], message));
        }
    }

    fn ty(&self, expr: &Expr) -> Type {
        self.found.types[expr.id.index()].clone()
    }

    fn set(&mut self, id: Id, ty: Type) {
        if !self.mapping.is_reasonable(&ty) {
            self.report(id, "the type of the expression is too large");
            self.found.types[id.index()] = Type::Error;
            return;
        }
        self.found.types[id.index()] = ty;
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn assert(&mut self, expr: &Expr, expected: &Type) {
        let found = self.ty(expr);
        if !self.mapping.assignable(expected, &found) {
            self.mismatch(expr.id, expected, &found);
        }
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
        self.set(id, Type::Error);
    }

    fn check(&mut self, expr: &Expr) {
        match &expr.kind {
            Kind::Literal(literal) => self.set(expr.id, literal_type(literal)),
            Kind::Ident(name) => self.identifier(expr.id, name),
            Kind::Select {
                operand,
                field,
                selection,
            } => self.select(expr, operand, field, *selection),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::Logic { terms, .. } => self.logic(expr.id, terms),
            Kind::List(items) => self.list(expr.id, items),
            Kind::Map(entries) => self.map(expr.id, entries),
            Kind::Struct(name) => self.structure(expr.id, name),
            Kind::Fold(fold) => self.fold(expr.id, fold),
            Kind::OptMap(map) => self.opt_map(expr.id, map),
        }
    }

    /// Nothing can be made this way; the message says whether the name is a type at all.
    fn structure(&mut self, id: Id, name: &str) {
        if named_type(name).is_none() {
            self.undeclared(id, name);
            return;
        }
        self.report(id, format!("'{name}' is not a message type"));
        self.set(id, Type::Error);
    }

    fn identifier(&mut self, id: Id, name: &str) {
        if self.resolve(id, name) {
            return;
        }
        self.undeclared(id, name);
    }

    /// Whether the name means something; then the node has its type.
    fn resolve(&mut self, id: Id, name: &str) -> bool {
        let local = self.scopes.iter().rev().find(|(local, _)| local == name);
        let (reference, ty) = if let Some((_, ty)) = local {
            (Reference::Local, ty.clone())
        } else if let Some(ty) = self.environment.variable_type(name) {
            (Reference::Variable(name.to_owned()), ty.clone())
        } else if let Some(ty) = named_type(name) {
            (Reference::Type(ty.clone()), Type::Type(std::sync::Arc::new(ty)))
        } else {
            return false;
        };
        self.found.references[id.index()] = Some(reference);
        self.set(id, ty);
        true
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, selection: Selection) {
        if selection == Selection::Plain
            && let Some(name) = qualified(expr)
            && self.resolve(expr.id, &name)
        {
            return;
        }
        self.check(operand);
        let of = self.mapping.substitute(&self.ty(operand));
        let (of, was_optional) = of.without_optional();
        let found = self.field(expr.id, &of, field);
        let ty = match selection {
            Selection::Test => Type::Bool,
            Selection::Optional => Type::optional(found),
            Selection::Plain if was_optional => Type::optional(found),
            Selection::Plain => found,
        };
        let ty = self.mapping.substitute(&ty);
        self.set(expr.id, ty);
    }

    fn field(&mut self, id: Id, of: &Type, field: &str) -> Type {
        match of {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => {
                if let Some(ty) = object.fields.get(field) {
                    return ty.clone();
                }
                self.report(id, format!("undefined field '{field}'"));
                Type::Error
            }
            // Kubernetes' opaque object types have methods only.
            Type::Opaque(opaque) if !matches!(opaque, Opaque::Ip | Opaque::Cidr) => {
                self.report(id, format!("undefined field '{field}'"));
                Type::Error
            }
            Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, of);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.report(id, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// The type that a name stands for as a value.
fn named_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "dyn" => Type::Dyn,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "string" => Type::String,
        "null_type" => Type::Null,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "type" => Type::Type(std::sync::Arc::new(Type::Dyn)),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        _ => Type::Opaque(Opaque::ALL.into_iter().find(|opaque| opaque.name() == name)?),
    })
}
