//! Macros over lists and maps. Each element is paid for as in cel-go's expansion: the accumulator is read, tested and
//! built anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::errors::EvalError;
use crate::eval::plan::{FoldPlan, Making};
use crate::eval::{Evaluation, LIST_COST, Outcome};
use crate::value::{Key, Map, Value};

/// What has been made of the elements so far.
enum Made<'a> {
    /// A quantifier without its answer: the first error on the way.
    Open(Option<EvalError>),
    Count(u64),
    List(Vec<Value<'a>>),
    Map(BTreeMap<Key<'a>, Value<'a>>),
}

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn fold(&mut self, fold: &FoldPlan) -> Outcome<'a> {
        let range = self.eval(&fold.range)?;
        let mut made = match fold.making {
            Making::All | Making::Exists => Made::Open(None),
            Making::ExistsOne => Made::Count(0),
            Making::Map | Making::Filter => Made::List(Vec::new()),
            Making::MapValues | Making::MapEntries => Made::Map(BTreeMap::new()),
        };
        self.meter.charge(match made {
            Made::Count(_) => 2,
            Made::Open(_) | Made::List(_) | Made::Map(_) => 1,
        })?;
        let depth = self.locals.len();
        let answer = self.elements(fold, &range, &mut made);
        self.locals.truncate(depth);
        if let Some(answer) = answer? {
            return Ok(Value::Bool(answer));
        }
        match made {
            Made::Open(Some(error)) => Err(error),
            Made::Open(None) => Ok(Value::Bool(fold.making == Making::All)),
            Made::Count(count) => Ok(Value::Bool(count == 1)),
            Made::List(list) => Ok(Value::list(list)),
            Made::Map(map) => Ok(Value::Map(Map::Owned(Arc::new(map)))),
        }
    }

    /// Goes over the elements; `Some` is the answer before their end.
    fn elements(&mut self, fold: &FoldPlan, range: &Value<'a>, made: &mut Made<'a>) -> Result<Option<bool>, EvalError> {
        match range {
            Value::List(list) => {
                for (index, item) in list.iter().enumerate() {
                    let more = index + 1 < list.len();
                    let index = Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                    if let Some(answer) = self.element(fold, made, &index, item)? {
                        return self.answered(fold, answer, more);
                    }
                }
            }
            Value::Map(map) if fold.pairs => {
                for (index, entry) in map.entries().enumerate() {
                    let (key, value) = entry?;
                    if let Some(answer) = self.element(fold, made, &key.value(), Ok(value))? {
                        return self.answered(fold, answer, index + 1 < map.len());
                    }
                }
            }
            Value::Map(map) => {
                for (index, key) in map.keys().enumerate() {
                    let key = key.value();
                    if let Some(answer) = self.element(fold, made, &key, Ok(key.clone()))? {
                        return self.answered(fold, answer, index + 1 < map.len());
                    }
                }
            }
            _ => return Err(EvalError::NoSuchOverload),
        }
        Ok(None)
    }

    /// Before the element after the one that decided, the condition is tested once more.
    fn answered(&mut self, fold: &FoldPlan, answer: bool, more: bool) -> Result<Option<bool>, EvalError> {
        let test = if fold.making == Making::Exists { 3 } else { 2 };
        self.meter.charge(if more { test } else { 0 })?;
        Ok(Some(answer))
    }

    fn element(
        &mut self,
        fold: &FoldPlan,
        made: &mut Made<'a>,
        key: &Value<'a>,
        value: Outcome<'a>,
    ) -> Result<Option<bool>, EvalError> {
        let depth = self.locals.len();
        let value = value?;
        if fold.pairs {
            self.locals.push(key.clone());
        }
        self.locals.push(value.clone());
        let answer = self.step(fold, made, key, value);
        self.locals.truncate(depth);
        answer
    }

    fn step(
        &mut self,
        fold: &FoldPlan,
        made: &mut Made<'a>,
        key: &Value<'a>,
        value: Value<'a>,
    ) -> Result<Option<bool>, EvalError> {
        if let Some(filter) = &fold.filter
            && !truth(&self.eval(filter)?)?
        {
            return Ok(None);
        }
        match made {
            Made::Open(failed) => return self.quantify(fold, failed),
            Made::Count(count) => {
                let yes = truth(&self.eval(&fold.body)?)?;
                self.meter.charge(if yes { 2 } else { 0 })?;
                *count += u64::from(yes);
            }
            Made::List(list) if fold.making == Making::Filter => {
                let yes = truth(&self.eval(&fold.body)?)?;
                self.meter.charge(if yes { LIST_COST + 3 } else { 0 })?;
                if yes {
                    list.push(value);
                }
            }
            Made::List(list) => {
                self.meter.charge(LIST_COST + 2)?;
                list.push(self.eval(&fold.body)?);
            }
            Made::Map(map) => {
                self.meter
                    .charge(if fold.making == Making::MapValues { 3 } else { 2 })?;
                let body = self.eval(&fold.body)?;
                insert_all(map, fold.making, key, body)?;
            }
        }
        Ok(None)
    }

    fn quantify(&mut self, fold: &FoldPlan, failed: &mut Option<EvalError>) -> Result<Option<bool>, EvalError> {
        let decisive = fold.making == Making::Exists;
        self.meter.charge(if decisive { 4 } else { 3 })?;
        match self.eval(&fold.body).and_then(|value| truth(&value)) {
            Ok(value) if value == decisive => return Ok(Some(value)),
            Ok(_) => {}
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
        Ok(None)
    }
}

fn truth(value: &Value<'_>) -> Result<bool, EvalError> {
    value.as_bool().ok_or(EvalError::NoSuchOverload)
}

fn insert_all<'a>(
    map: &mut BTreeMap<Key<'a>, Value<'a>>,
    making: Making,
    key: &Value<'a>,
    body: Value<'a>,
) -> Result<(), EvalError> {
    if making == Making::MapValues {
        return insert(map, key, body);
    }
    let Value::Map(entries) = body else {
        return Err(EvalError::NoSuchOverload);
    };
    for entry in entries.entries() {
        let (key, value) = entry?;
        insert(map, &key.value(), value)?;
    }
    Ok(())
}

fn insert<'a>(map: &mut BTreeMap<Key<'a>, Value<'a>>, key: &Value<'a>, value: Value<'a>) -> Result<(), EvalError> {
    let Some(key) = Key::of(key) else {
        return Err(EvalError::failed(format!("unsupported key type: {}", key.type_name())));
    };
    if map.contains_key(&key) {
        let shown = crate::value::render::key(&key);
        return Err(EvalError::failed(format!("insert failed: key {shown} already exists")));
    }
    map.insert(key, value);
    Ok(())
}
