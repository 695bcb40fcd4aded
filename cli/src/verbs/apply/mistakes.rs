//! The server's refusals, brought to the lines of the manifest they are about.
//!
//! A server looks at a document in stages (unknown fields, schema, the rules of the kind) and stops at the first that
//! finds something. So that a user sees all mistakes at once, what is wrong is taken out of a copy and the server is
//! asked again about the rest, always without changing anything.

use std::collections::BTreeMap;

use kube::core::Status;
use serde_json::Value;

use super::Plan;
use crate::failure::{self, Failure};
use crate::manifest::locate::{self, Found};
use crate::manifest::tree::{Node, Place};
use crate::manifest::{Complaint, Document};
use crate::session::Session;

/// How often the server is asked about one document: once for each of its stages, and a few more where one mistake
/// hides another.
const ROUNDS: usize = 8;

/// One mistake the server found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mistake {
    path: String,
    words: String,
    sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    /// The field's name: it is to be pointed at.
    Name,
    /// Something is missing here.
    Missing,
    /// The value.
    Value,
}

/// Every mistake the server finds in a document it refused. A refusal that is not about the document is ours to
/// pass on.
pub(super) async fn of(session: &Session, plan: &Plan<'_>, error: kube::Error) -> Result<Vec<Complaint>, Failure> {
    let document = plan.document;
    let mut status = match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 409 | 413 | 422) => *status,
        error => {
            return Err(Failure::server(format!("apply {} {}", document.kind, document.name))(
                error,
            ));
        }
    };
    let mut found: Vec<Mistake> = Vec::new();
    let mut told = BTreeMap::new();
    let mut rest = plan.wanted.clone();
    for _ in 0..ROUNDS {
        let before = rest.clone();
        let said = mistakes(&status);
        let elsewhere = said.iter().all(|mistake| mistake.path == NAME);
        let mut last = None;
        for (mistake, cure) in cures(said, &mut told) {
            // What is said of a field again is about what was put in its place.
            if cure == Cure::Field {
                found.push(mistake.clone());
            }
            // Two mistakes in one field are one cure.
            if last.as_ref() != Some(&mistake.path) {
                apply(&mut rest, &document.tree, &mistake.path, cure, mistake.sort);
            }
            last = Some(mistake.path);
        }
        if elsewhere || rest == before {
            break;
        }
        let path = format!(
            "{}?fieldManager=bulk&fieldValidation=Ignore&dryRun=All",
            plan.collection
        );
        match session.server.post(&path, &rest).await {
            // The object may be there already: then the rest of the document is as it should be.
            Err(kube::Error::Api(next)) if matches!(next.code, 400 | 422) => status = *next,
            _ => break,
        }
    }
    Ok(found.into_iter().map(|mistake| complaint(document, mistake)).collect())
}

/// Where a refusal that names no field is shown.
const NAME: &str = "metadata.name";

/// What a refusal says.
fn mistakes(status: &Status) -> Vec<Mistake> {
    let strict = strict_errors(&status.message);
    if !strict.is_empty() {
        return strict
            .into_iter()
            .map(|(path, words)| Mistake {
                path,
                words,
                sort: Sort::Name,
            })
            .collect();
    }
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    let found: Vec<_> = causes
        .iter()
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| {
            let sort = if cause.reason == "FieldValueRequired" {
                Sort::Missing
            } else {
                Sort::Value
            };
            Mistake {
                path: cause.field.clone(),
                words: format!("{}: {}", cause.field, cause.message),
                sort,
            }
        })
        .collect();
    if found.is_empty() {
        let words = failure::chain(&kube::Error::Api(Box::new(status.clone())));
        return vec![Mistake {
            path: NAME.to_owned(),
            words,
            sort: Sort::Value,
        }];
    }
    found
}

fn complaint(document: &Document, mistake: Mistake) -> Complaint {
    let found = locate::locate(&document.tree, &mistake.path);
    let place: Place = if mistake.sort == Sort::Name {
        Found::key(found)
    } else {
        Found::place(found)
    };
    Complaint::new(&document.source, place, mistake.words)
}

/// What is done about a mistake so that the server looks further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cure {
    /// The field is taken out, or where it is missing put in.
    Field,
    /// It was taken out and is now missing: a word is put in its place.
    Word,
    /// That helps nothing: what it belongs to is taken out.
    Parent,
}

/// Each mistake with its cure, by how often its field was complained of before. From the back, so that what is taken
/// out of a list does not move what is still to be taken out.
fn cures(mut said: Vec<Mistake>, told: &mut BTreeMap<String, usize>) -> Vec<(Mistake, Cure)> {
    said.sort();
    said.reverse();
    let known = told.clone();
    for mistake in &said {
        *told.entry(mistake.path.clone()).or_default() += 1;
    }
    let cure = |mistake: Mistake| {
        let cure = match (known.get(&mistake.path), mistake.sort) {
            (None, _) => Cure::Field,
            (Some(1), Sort::Missing) => Cure::Word,
            _ => Cure::Parent,
        };
        (mistake, cure)
    };
    said.into_iter().map(cure).collect()
}

fn apply(value: &mut Value, tree: &Node, path: &str, cure: Cure, sort: Sort) {
    let (mut pointer, rest) = locate::pointer(tree, path);
    let missing = rest.trim_start_matches('.');
    let word = (cure == Cure::Word || (cure == Cure::Field && sort == Sort::Missing)) && !missing.contains(['.', '[']);
    if word {
        if !missing.is_empty() {
            pointer.push_str(&format!("/{}", missing.replace('~', "~0").replace('/', "~1")));
        }
        if let Some((parent, name)) = pointer.rsplit_once('/')
            && let Some(Value::Object(fields)) = value.pointer_mut(parent)
        {
            fields.insert(plain(name), Value::String("true".to_owned()));
        }
        return;
    }
    if cure == Cure::Parent && rest.is_empty() {
        pointer.truncate(pointer.rfind('/').unwrap_or(0));
    }
    if rest.is_empty() || cure == Cure::Parent {
        take_out(value, &pointer);
    }
}

fn take_out(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return;
    };
    match value.pointer_mut(parent) {
        // Without these there is no object to speak of.
        Some(Value::Object(_)) if parent.is_empty() => {}
        Some(Value::Object(fields)) => {
            fields.remove(&plain(name));
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = name.parse::<usize>()
                && index < items.len()
            {
                items.remove(index);
            }
        }
        _ => {}
    }
}

/// A name as it stands in a pointer, without its escapes.
fn plain(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

/// The fields of a strict decoding error, `unknown field "spec.a", duplicate field "spec.b"`, and what to say of them.
fn strict_errors(message: &str) -> Vec<(String, String)> {
    let Some((_, list)) = message.split_once("strict decoding error: ") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut rest = list;
    while let Some(start) = rest.find("field \"") {
        let kind = rest[..start]
            .trim_matches([',', ' '])
            .rsplit(", ")
            .next()
            .unwrap_or_default()
            .to_owned();
        let quoted = &rest[start + "field \"".len()..];
        let Some(end) = closing_quote(quoted) else { break };
        let path = quoted[..end].replace("\\\"", "\"");
        found.push((path.clone(), format!("{kind} field {path:?}")));
        rest = &quoted[end + 1..];
    }
    found
}

/// Where a quoted text ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;
    use crate::manifest::{Source, read};

    fn document() -> Document {
        let text = "\
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  jobs:
    a:
      rn: make
      needs: [b]
      timeout: 5
  colour: red
";
        read(vec![Source::new("p.yaml", text)]).documents.remove(0)
    }

    fn shown(status: &Status) -> Vec<String> {
        let document = document();
        mistakes(status)
            .into_iter()
            .map(|mistake| complaint(&document, mistake).at())
            .collect()
    }

    #[test]
    fn what_is_wrong_is_taken_out_and_what_is_missing_is_put_in() {
        let document = document();
        let mut value = document.value.clone();
        let mistake = |path: &str, sort| Mistake {
            path: path.into(),
            words: String::new(),
            sort,
        };
        let mistakes = [
            mistake("spec.jobs.a.needs[0]", Sort::Value),
            mistake("spec.jobs.a.rn", Sort::Name),
            mistake("spec.jobs.a.run", Sort::Missing),
            mistake("spec.colour", Sort::Name),
            mistake("spec.nothing[3].there", Sort::Value),
        ];
        let mut told = BTreeMap::new();
        for (mistake, cure) in cures(mistakes.to_vec(), &mut told) {
            apply(&mut value, &document.tree, &mistake.path, cure, mistake.sort);
        }
        let spec = serde_json::json!({"jobs": {"a": {"needs": [], "timeout": 5, "run": "true"}}});
        assert_eq!(value["spec"], spec);
        // What was taken out and is then missing gets a word, and if that is wrong too, what it belongs to goes.
        for (sort, expected) in [
            (Sort::Value, serde_json::json!({"needs": [], "run": "true"})),
            (
                Sort::Missing,
                serde_json::json!({"needs": [], "timeout": "true", "run": "true"}),
            ),
            (Sort::Value, Value::Null),
        ] {
            for (mistake, cure) in cures(vec![mistake("spec.jobs.a.timeout", sort)], &mut told) {
                apply(&mut value, &document.tree, &mistake.path, cure, mistake.sort);
            }
            assert_eq!(value["spec"]["jobs"]["a"], expected);
        }
    }

    #[test]
    fn unknown_fields_are_shown_at_their_keys() {
        let status = Status::failure(
            "strict decoding error: unknown field \"spec.jobs.a.rn\", unknown field \"spec.colour\"",
            "BadRequest",
        );
        let places = shown(&status);
        assert_eq!(places, ["p.yaml:7:7", "p.yaml:10:3"]);
    }

    #[test]
    fn each_cause_is_shown_at_its_field() {
        let cause = |field: &str| StatusCause {
            field: field.into(),
            message: "wrong".into(),
            reason: "r".into(),
        };
        let mut status = Status::failure("invalid", "Invalid");
        status.details = Some(StatusDetails {
            causes: vec![
                cause("spec.jobs.a.run"),
                cause("spec.jobs.a.needs[0]"),
                cause("spec.jobs.a.timeout"),
            ],
            ..serde_json::from_value(serde_json::json!({})).unwrap()
        });
        let places = shown(&status);
        assert_eq!(places, ["p.yaml:6:5", "p.yaml:8:15", "p.yaml:9:16"]);
    }
}
