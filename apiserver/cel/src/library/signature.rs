//! Signatures as the tables write them: `string.(int) -> string`, `(list(T), T) -> bool`. A capital letter alone is a
//! type parameter.

use crate::types::{Opaque, Param, Type};

pub(super) struct Signature {
    pub(super) member: bool,
    pub(super) params: Vec<Type>,
    pub(super) result: Type,
    pub(super) generic: bool,
}

/// `None` when the text is no signature.
pub(super) fn parse(text: &str) -> Option<Signature> {
    let mut reader = Reader { rest: text };
    let mut params = Vec::new();
    let member = !reader.rest.starts_with('(');
    if member {
        params.push(reader.ty()?);
        reader.eat(".")?;
    }
    reader.eat("(")?;
    while reader.eat(")").is_none() {
        params.push(reader.ty()?);
        let _ = reader.eat(", ");
    }
    reader.eat(" -> ")?;
    let result = reader.ty()?;
    let generic = params.iter().chain([&result]).any(has_params);
    reader.rest.is_empty().then_some(Signature {
        member,
        params,
        result,
        generic,
    })
}

fn has_params(ty: &Type) -> bool {
    match ty {
        Type::Param(_) => true,
        Type::List(inner) | Type::Optional(inner) | Type::Type(inner) => has_params(inner),
        Type::Map(key, value) => has_params(key) || has_params(value),
        _ => false,
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn eat(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn ty(&mut self) -> Option<Type> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(match name {
            "dyn" => Type::Dyn,
            "null" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "timestamp" => Type::Timestamp,
            "duration" => Type::Duration,
            "list" => Type::list(self.inner()?),
            "optional" => Type::optional(self.inner()?),
            "type" => Type::Type(std::sync::Arc::new(self.inner()?)),
            "map" => {
                self.eat("(")?;
                let key = self.ty()?;
                self.eat(", ")?;
                let value = self.ty()?;
                self.eat(")")?;
                Type::map(key, value)
            }
            _ if name.len() == 1 => Type::Param(Param::Declared(name.chars().next()?)),
            _ => Type::Opaque(Opaque::ALL.into_iter().find(|opaque| format!("{opaque:?}") == name)?),
        })
    }

    fn inner(&mut self) -> Option<Type> {
        self.eat("(")?;
        let inner = self.ty()?;
        self.eat(")")?;
        Some(inner)
    }
}
