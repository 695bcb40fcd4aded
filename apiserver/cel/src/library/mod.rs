//! What expressions can call: Kubernetes 1.33's set. Each module declares its functions with their signatures and says
//! how they are computed; here they become one table.
//!
//! Operators are functions with cel-go's names for them (`_+_`), so that the checker knows one kind of call only.

pub(crate) mod authorizer;
mod conversions;
mod format_string;
mod lists;
pub(crate) mod named_format;
pub(crate) mod net;
mod operators;
mod optional;
pub(crate) mod quantity;
pub(crate) mod regexes;
mod semvers;
mod sets;
mod signature;
mod strings;
pub(crate) mod time;
mod timestamps;
pub(crate) mod url;

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::types::Type;
use crate::value::Value;

/// A function's body: it looks at what the values are, and says [`EvalError::NoSuchOverload`] when it has no case for
/// them. A receiver is the first argument.
pub(crate) type Run = for<'a> fn(&mut Meter, &[Value<'a>]) -> Result<Value<'a>, EvalError>;

/// One body and the signatures that it serves.
pub(crate) struct Declaration {
    pub(crate) name: &'static str,
    /// cel-go's id and the signature: `string.(int) -> string`.
    pub(crate) overloads: &'static [(&'static str, &'static str)],
    pub(crate) run: Run,
}

/// One signature.
#[derive(Debug)]
pub(crate) struct Overload {
    /// The name of its function.
    pub(crate) function: &'static str,
    pub(crate) id: &'static str,
    pub(crate) member: bool,
    /// With the receiver first.
    pub(crate) params: Vec<Type>,
    pub(crate) result: Type,
    pub(crate) generic: bool,
    pub(crate) run: Run,
    /// Overloads of one declaration share their body.
    pub(crate) body: usize,
}

/// All signatures under one name.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) overloads: Vec<Overload>,
}

const MODULES: &[&[Declaration]] = &[
    operators::FUNCTIONS,
    conversions::FUNCTIONS,
    timestamps::FUNCTIONS,
    optional::FUNCTIONS,
    strings::FUNCTIONS,
    lists::FUNCTIONS,
    sets::FUNCTIONS,
    regexes::FUNCTIONS,
    url::FUNCTIONS,
    net::FUNCTIONS,
    quantity::FUNCTIONS,
    semvers::FUNCTIONS,
    named_format::FUNCTIONS,
    authorizer::FUNCTIONS,
];

/// The function of that name.
pub(crate) fn function(name: &str) -> Option<&'static Function> {
    static TABLE: OnceLock<HashMap<&'static str, Function>> = OnceLock::new();
    TABLE.get_or_init(table).get(name)
}

fn table() -> HashMap<&'static str, Function> {
    let mut out: HashMap<&'static str, Function> = HashMap::new();
    let declarations = MODULES.iter().copied().flatten();
    for (body, declaration) in declarations.enumerate() {
        let name = declaration.name;
        let function = out.entry(name).or_insert_with(|| Function {
            name,
            overloads: Vec::new(),
        });
        for (id, text) in declaration.overloads {
            let signature = signature::parse(text).expect("the signatures in the tables are well-formed");
            function.overloads.push(Overload {
                function: name,
                id,
                member: signature.member,
                generic: signature.generic,
                params: signature.params,
                result: signature.result,
                run: declaration.run,
                body,
            });
        }
    }
    out
}

/// `Err(NoSuchOverload)`, for the last arm of a body.
pub(crate) fn unsupported<T>() -> Result<T, EvalError> {
    Err(EvalError::NoSuchOverload)
}

/// Refuses with the text.
pub(crate) fn refuse<T>(text: impl Into<std::borrow::Cow<'static, str>>) -> Result<T, EvalError> {
    Err(EvalError::failed(text))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_signature_is_well_formed_and_every_id_is_there_once() {
        let mut ids = HashSet::new();
        for declaration in MODULES.iter().copied().flatten() {
            for (id, text) in declaration.overloads {
                assert!(signature::parse(text).is_some(), "{}: {text}", declaration.name);
                assert!(ids.insert(*id), "{id} is there twice");
            }
        }
        assert!(function("size").is_some());
    }
}
