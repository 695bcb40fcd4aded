//! The values that variables have in one evaluation, and those that are computed when they are asked for.

use std::cell::OnceCell;

use serde_json::Value as Json;

use crate::budget::Meter;
use crate::declared::Declared;
use crate::environment::{Composition, VARIABLES};
use crate::errors::EvalError;
use crate::eval::Evaluation;
use crate::library::authorizer::{Authorization, Authorizer, ResourceRequest};
use crate::program::Program;
use crate::value::{Library, Value};

/// Values by variable. A variable that is declared but not bound is an error only when it is read.
#[derive(Debug, Default)]
pub struct Bindings<'a> {
    values: Vec<(&'a str, Value<'a>)>,
    lazies: Vec<Lazy<'a>>,
}

#[derive(Debug)]
struct Lazy<'a> {
    name: &'a str,
    program: &'a Program,
    value: OnceCell<Result<Value<'a>, EvalError>>,
}

impl<'a> Bindings<'a> {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds any value. The last binding of a name counts.
    #[must_use]
    pub fn value(mut self, name: &'a str, value: Value<'a>) -> Self {
        self.values.push((name, value));
        self
    }

    /// Binds JSON as its schema says. JSON that is no value of the schema at its root is not bound; deeper mistakes are
    /// errors when an expression meets them.
    #[must_use]
    pub fn json(self, name: &'a str, json: &'a Json, declared: &'a Declared) -> Self {
        match Value::from_json(json, declared) {
            Ok(value) => self.value(name, value),
            Err(_) => self,
        }
    }

    /// Binds an optional: `oldSelf` of rules that run on create, too.
    #[must_use]
    pub fn optional_json(self, name: &'a str, json: Option<&'a Json>, declared: &'a Declared) -> Self {
        match json.map(|json| Value::from_json(json, declared)) {
            None => self.value(name, Value::Optional(None)),
            Some(Ok(value)) => self.value(name, Value::some(value)),
            Some(Err(_)) => self,
        }
    }

    /// Binds `authorizer`, and `authorizer.requestResource` when the request is for a resource.
    #[must_use]
    pub fn authorizer(mut self, authorizer: &'a dyn Authorizer, request: Option<&ResourceRequest>) -> Self {
        let value = |authorization| Value::library(Library::Authorization(std::sync::Arc::new(authorization)));
        if let Some(request) = request {
            let check = Authorization::for_request(authorizer, request);
            self.values.push(("authorizer.requestResource", value(check)));
        }
        self.value("authorizer", value(Authorization::new(authorizer)))
    }

    /// Binds `variables.*`: each is computed at most once, when it is first read.
    #[must_use]
    pub fn variables(mut self, composition: &'a Composition) -> Self {
        self.lazies = composition
            .programs()
            .map(|(name, program)| Lazy {
                name,
                program,
                value: OnceCell::new(),
            })
            .collect();
        self.value(VARIABLES, Value::Variables)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        let found = self.values.iter().rev().find(|(bound, _)| *bound == name);
        found.map(|(_, value)| value.clone())
    }

    /// The value of a lazy variable. It has a call's limit of its own; what it costs comes from the same total. A
    /// variable sees those before it only, so that none can ask for itself.
    pub(crate) fn lazy(&self, name: &str, meter: &mut Meter) -> Option<Result<Value<'a>, EvalError>> {
        let lazy = self.lazies.iter().find(|lazy| lazy.name == name)?;
        if let Some(value) = lazy.value.get() {
            return Some(value.clone());
        }
        let outer = meter.enter();
        let mut evaluation = Evaluation {
            bindings: self,
            meter,
            locals: Vec::new(),
        };
        let value = lazy.program.run(&mut evaluation);
        meter.leave(outer);
        Some(lazy.value.get_or_init(|| value).clone())
    }
}
