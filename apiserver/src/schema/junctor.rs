//! `anyOf`, `oneOf`, `allOf`, `not`: conditions on a value as a whole. Where no alternative holds, the mistakes of the
//! one that got furthest are told beside the fact.

use breakbulk_schemas::field::FieldError;
use serde_json::Value;

use super::trail::Trail;
use super::validate::Walk;
use super::{Junctors, Node};

/// What became of the alternatives.
#[derive(Default)]
struct Outcome {
    holding: usize,
    /// Of those that do not hold, the mistakes of the one that got furthest.
    best: Vec<FieldError>,
    furthest: usize,
}

impl Walk<'_> {
    pub(super) fn junctors(&mut self, junctors: &Junctors, value: &Value, old: Option<&Value>, trail: &Trail<'_>) {
        let quoted = || format!("{:?}", trail.dotted());
        if !junctors.any.is_empty() {
            let outcome = self.alternatives(&junctors.any, value, old, trail);
            if outcome.holding == 0 {
                self.composite(format!("{} must validate at least one schema (anyOf)", quoted()));
                outcome.best.into_iter().for_each(|error| self.push(error));
            }
        }
        if !junctors.one.is_empty() {
            let outcome = self.alternatives(&junctors.one, value, old, trail);
            if outcome.holding != 1 {
                let found = match outcome.holding {
                    0 => "Found none valid".to_owned(),
                    many => format!("Found {many} valid alternatives"),
                };
                self.composite(format!(
                    "{} must validate one and only one schema (oneOf). {found}",
                    quoted()
                ));
            }
            if outcome.holding == 0 {
                outcome.best.into_iter().for_each(|error| self.push(error));
            }
        }
        self.every(&junctors.all, value, old, trail);
        if let Some(not) = &junctors.not {
            let mut aside = self.aside();
            aside.node(not, value, None, trail);
            if aside.errors.is_empty() {
                self.composite(format!("{} must not validate the schema (not)", quoted()));
            }
        }
    }

    fn every(&mut self, all: &[Node], value: &Value, old: Option<&Value>, trail: &Trail<'_>) {
        let mut holding = 0;
        for inner in all {
            let before = self.errors.len();
            self.node(inner, value, old, trail);
            holding += usize::from(self.errors.len() == before);
        }
        if holding != all.len() {
            let none = if holding == 0 { ". None validated" } else { "" };
            self.composite(format!(
                "{:?} must validate all the schemas (allOf){none}",
                trail.dotted()
            ));
        }
    }

    fn alternatives(&mut self, of: &[Node], value: &Value, old: Option<&Value>, trail: &Trail<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for inner in of {
            let mut aside = self.aside();
            aside.node(inner, value, old, trail);
            if aside.errors.is_empty() {
                outcome.holding += 1;
            } else if aside.checked > outcome.furthest {
                outcome.furthest = aside.checked;
                outcome.best = aside.errors;
            }
        }
        outcome
    }
}
