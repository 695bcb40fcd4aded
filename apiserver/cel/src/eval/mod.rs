//! Evaluation: walks a plan over bound values, paying for each step. A step that cannot be paid for ends it, and so does
//! an error, but where `||`, `&&` or a macro has its answer from the other operands.

mod fold;
pub(crate) mod index;
pub(crate) mod plan;
pub(crate) mod price;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bindings::Bindings;
use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::Overload;
use crate::syntax::Logic;
use crate::types::Type;
use crate::value::{Key, List, Map, Value};

use plan::{CallPlan, EntryPlan, ItemPlan, Node, OptMapPlan, OtherwisePlan};

type Outcome<'a> = Result<Value<'a>, EvalError>;

const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;

/// One evaluation.
pub(crate) struct Evaluation<'e, 'a> {
    pub(crate) bindings: &'e Bindings<'a>,
    pub(crate) meter: &'e mut Meter,
    /// Variables of the macros around.
    pub(crate) locals: Vec<Value<'a>>,
}

impl<'a> Evaluation<'_, 'a> {
    pub(crate) fn eval(&mut self, node: &Node) -> Outcome<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Variable(name) => {
                self.meter.charge(1)?;
                self.bindings
                    .get(name)
                    .ok_or_else(|| EvalError::NoSuchAttribute(name.clone()))
            }
            Node::Local(place) => {
                self.meter.charge(1)?;
                self.locals.get(*place).cloned().ok_or(EvalError::NoSuchOverload)
            }
            Node::Select {
                operand,
                field,
                selection,
            } => self.select(operand, field, *selection),
            Node::Logic { logic, terms } => self.logic(*logic, terms),
            Node::Conditional(parts) => match self.eval(&parts[0])? {
                Value::Bool(true) => self.eval(&parts[1]),
                Value::Bool(false) => self.eval(&parts[2]),
                _ => Err(EvalError::NoSuchOverload),
            },
            Node::Call(call) => self.call(call),
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(fold),
            Node::OptMap(map) => self.opt_map(map),
            Node::Otherwise(otherwise) => self.otherwise(otherwise),
        }
    }

    /// The alternative is evaluated only if there is no value, and the choice is free.
    fn otherwise(&mut self, otherwise: &OtherwisePlan) -> Outcome<'a> {
        match self.eval(&otherwise.target)? {
            Value::Optional(Some(inner)) if otherwise.unwrapped => Ok((*inner).clone()),
            some @ Value::Optional(Some(_)) => Ok(some),
            Value::Optional(None) => match self.eval(&otherwise.alternative)? {
                value if otherwise.unwrapped => Ok(value),
                value @ Value::Optional(_) => Ok(value),
                _ => Err(EvalError::NoSuchOverload),
            },
            _ => Err(EvalError::NoSuchOverload),
        }
    }

    /// The first term that decides, or else the first error.
    fn logic(&mut self, logic: Logic, terms: &[Node]) -> Outcome<'a> {
        let decisive = logic == Logic::Or;
        let mut failed = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(value)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    failed.get_or_insert(EvalError::NoSuchOverload);
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn call(&mut self, call: &CallPlan) -> Outcome<'a> {
        match call.args.as_slice() {
            [one] => {
                let args = [self.eval(one)?];
                self.apply(call, &args)
            }
            [one, two] => {
                let one = self.eval(one)?;
                let before = self.meter.so_far();
                let two = self.eval(two)?;
                if call.free_key {
                    self.meter.forgive(before);
                }
                self.apply(call, &[one, two])
            }
            all => {
                let args = all.iter().map(|arg| self.eval(arg)).collect::<Result<Vec<_>, _>>()?;
                self.apply(call, &args)
            }
        }
    }

    fn apply(&mut self, call: &CallPlan, args: &[Value<'a>]) -> Outcome<'a> {
        self.meter.charge(call.price.before(args))?;
        if let (Some(regex), Some(pattern)) = (call.regex, &call.pattern) {
            return regex.run(pattern, args);
        }
        let result = self.dispatch(call, args)?;
        let after = call.price.after(&result);
        if after > 0 {
            self.meter.charge(after)?;
        }
        Ok(result)
    }

    /// The first candidate that takes the arguments; candidates of one body are one.
    fn dispatch(&mut self, call: &CallPlan, args: &[Value<'a>]) -> Outcome<'a> {
        let Some((first, others)) = call.candidates.split_first() else {
            return Err(EvalError::NoSuchOverload);
        };
        if others.iter().all(|other| other.body == first.body) {
            return (first.run)(self.meter, args);
        }
        let fitting = call.candidates.iter().find(|candidate| takes(candidate, args));
        (fitting.ok_or(EvalError::NoSuchOverload)?.run)(self.meter, args)
    }

    fn list(&mut self, items: &[ItemPlan]) -> Outcome<'a> {
        self.meter.charge(LIST_COST)?;
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value)?;
            if item.optional {
                out.extend(unwrap(value)?);
            } else {
                out.push(value);
            }
        }
        Ok(Value::list(out))
    }

    fn map(&mut self, entries: &[EntryPlan]) -> Outcome<'a> {
        self.meter.charge(MAP_COST)?;
        let mut out = BTreeMap::new();
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let value = self.eval(&entry.value)?;
            let value = if entry.optional { unwrap(value)? } else { Some(value) };
            if let Some(value) = value {
                insert(&mut out, &key, value)?;
            }
        }
        Ok(Value::Map(Map::Owned(Arc::new(out))))
    }

    fn opt_map(&mut self, map: &OptMapPlan) -> Outcome<'a> {
        let before = self.meter.so_far();
        let Value::Optional(target) = self.eval(&map.target)? else {
            return Err(EvalError::NoSuchOverload);
        };
        let again = self.meter.so_far() - before;
        // The call of hasValue, and then of optional.none or value and optional.of; the target is evaluated for both.
        self.meter.charge(2)?;
        let Some(target) = target else {
            return Ok(Value::Optional(None));
        };
        self.meter.charge(again + if map.flat { 0 } else { 1 })?;
        self.locals.push((*target).clone());
        let body = self.eval(&map.body);
        self.locals.pop();
        let body = body?;
        match body {
            Value::Optional(_) if map.flat => Ok(body),
            _ if map.flat => Err(EvalError::NoSuchOverload),
            _ => Ok(Value::some(body)),
        }
    }
}

/// What an optional element contributes.
fn unwrap(value: Value<'_>) -> Result<Option<Value<'_>>, EvalError> {
    match value {
        Value::Optional(inner) => Ok(inner.map(|inner| (*inner).clone())),
        _ => Err(EvalError::failed(
            "cannot initialize optional list element from non-optional value",
        )),
    }
}

pub(crate) fn insert<'a>(
    map: &mut BTreeMap<Key<'a>, Value<'a>>,
    key: &Value<'a>,
    value: Value<'a>,
) -> Result<(), EvalError> {
    let Some(key) = Key::of(key) else {
        return Err(EvalError::failed(format!("unsupported key type: {}", key.type_name())));
    };
    if map.contains_key(&key) {
        return Err(EvalError::failed(format!(
            "Failed with repeated key: {}",
            crate::value::render::key(&key)
        )));
    }
    map.insert(key, value);
    Ok(())
}

/// Whether the values are of the overload's types, as far as can be seen without looking inside.
fn takes(overload: &Overload, args: &[Value<'_>]) -> bool {
    overload.params.len() == args.len() && overload.params.iter().zip(args).all(|(ty, value)| is_of(ty, value))
}

fn is_of(ty: &Type, value: &Value<'_>) -> bool {
    match (ty, value) {
        (Type::Dyn | Type::Param(_), _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Optional(_), Value::Optional(_))
        | (Type::Type(_), Value::Type(_))
        | (Type::Map(..), Value::Map(_) | Value::Object(_)) => true,
        (Type::List(element), Value::List(list)) => first_is_of(element, list),
        (Type::Opaque(opaque), Value::Opaque(value)) => *opaque == value.0.ty(),
        _ => false,
    }
}

fn first_is_of(element: &Type, list: &List<'_>) -> bool {
    match list.get(0) {
        Some(Ok(first)) => is_of(element, &first),
        _ => true,
    }
}
