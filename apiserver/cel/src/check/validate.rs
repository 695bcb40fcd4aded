//! Literals that can only fail: durations, timestamps and patterns written out are tried when the expression is compiled,
//! and lists and maps written out have elements of one type.

use crate::check::Checked;
use crate::library::{regexes, time};
use crate::source::Issue;
use crate::syntax::{Ast, Expr, Id, Kind, Literal};
use crate::types::Type;

pub(super) fn literals(ast: &Ast, checked: &Checked, issues: &mut Vec<Issue>) {
    let mut validator = Validator {
        ast,
        checked,
        issues,
        mixed: 0,
    };
    validator.visit(&ast.root);
}

struct Validator<'v> {
    ast: &'v Ast,
    checked: &'v Checked,
    issues: &'v mut Vec<Issue>,
    /// How many calls around allow mixed literals: the arguments of `format` are of any types.
    mixed: usize,
}

impl Validator<'_> {
    fn report(&mut self, id: Id, message: String) {
        self.issues.push(Issue::new(self.ast.offsets[id.index()], message));
    }

    fn visit(&mut self, expr: &Expr) {
        match &expr.kind {
            Kind::Call { function, args, .. } => {
                if let Some(Expr {
                    id,
                    kind: Kind::Literal(literal),
                    ..
                }) = args.first()
                    && !is_valid(function, literal)
                {
                    self.report(*id, format!("invalid {function} argument"));
                }
            }
            Kind::List(items) => {
                let elements = items.iter().map(|item| (item.value.id, item.optional));
                self.same(elements.collect());
            }
            Kind::Map(entries) => {
                self.same(entries.iter().map(|entry| (entry.key.id, false)).collect());
                self.same(entries.iter().map(|entry| (entry.value.id, entry.optional)).collect());
            }
            _ => {}
        }
        let mixed = usize::from(matches!(&expr.kind, Kind::Call { function, .. } if function == "format"));
        self.mixed += mixed;
        expr.kind.children(&mut |child| self.visit(child));
        self.mixed -= mixed;
    }

    fn same(&mut self, elements: Vec<(Id, bool)>) {
        if self.mixed > 0 {
            return;
        }
        let ty = |(id, optional): (Id, bool)| -> Type {
            let ty = self.checked.ty(id).clone();
            if optional { ty.without_optional().0 } else { ty }
        };
        let mut elements = elements.into_iter();
        let Some(first) = elements.next().map(ty) else {
            return;
        };
        let odd = elements.find(|element| ty(*element) != first);
        if let Some(odd) = odd {
            let message = format!("expected type '{first}' but found '{}'", ty(odd));
            self.report(odd.0, message);
        }
    }
}

fn is_valid(function: &str, literal: &Literal) -> bool {
    match (function, literal) {
        ("duration", Literal::String(text)) => time::parse_duration(text).is_ok(),
        ("timestamp", Literal::String(text)) => time::parse_timestamp(text).is_ok(),
        ("matches" | "find" | "findAll", Literal::String(pattern)) => regexes::compile(pattern).is_ok(),
        _ => true,
    }
}
