//! Manifests: files, directories or standard input, as YAML or JSON, with the place of every field kept, so that a
//! mistake, ours or the server's, is shown where it stands.
//!
//! ```text
//! files ─▶ sources ─▶ documents (tree with places) ─▶ values for the server
//!                          ▲                              │ mistakes by field path
//!                          └──────── locate ◀─────────────┘
//! ```

pub(crate) mod complaint;
pub(crate) mod locate;
pub(crate) mod source;
pub(crate) mod tree;

use std::rc::Rc;

use serde_json::Value;

pub(crate) use complaint::Complaint;
pub(crate) use source::Source;
use tree::{Node, Place};

/// One object of a manifest.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Where it stands.
    pub(crate) source: Rc<Source>,
    /// Its fields with their places.
    pub(crate) tree: Rc<Node>,
    /// What the server gets.
    pub(crate) value: Value,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
}

/// Everything that was read, and every mistake found in it.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) documents: Vec<Document>,
    pub(crate) complaints: Vec<Complaint>,
}

/// Reads all documents of the sources.
pub(crate) fn read(sources: Vec<Source>) -> Reading {
    let mut reading = Reading::default();
    for source in sources {
        let source = Rc::new(source);
        for piece in source.pieces() {
            match tree::parse(&piece) {
                Ok(None) => {}
                Ok(Some(node)) => reading.take(&source, Rc::new(node)),
                Err((place, message)) => reading.complaints.push(Complaint::new(&source, place, message)),
            }
        }
    }
    reading
}

impl Reading {
    fn take(&mut self, source: &Rc<Source>, tree: Rc<Node>) {
        let mut problems = Vec::new();
        let value = tree.to_json(&mut problems);
        self.complain(source, problems);
        // A List, as `kubectl get -o yaml` prints it, is its items.
        if value["kind"] == "List"
            && let Some(Node {
                value: tree::Content::List(items),
                ..
            }) = tree.get("items")
        {
            for item in items {
                self.take(source, Rc::new(item.clone()));
            }
            return;
        }
        match envelope(&tree, &value) {
            Ok((api_version, kind, name, namespace)) => self.documents.push(Document {
                source: Rc::clone(source),
                tree,
                value,
                api_version,
                kind,
                name,
                namespace,
            }),
            Err(problems) => self.complain(source, problems),
        }
    }

    fn complain(&mut self, source: &Rc<Source>, problems: Vec<(Place, String)>) {
        self.complaints.extend(
            problems
                .into_iter()
                .map(|(place, words)| Complaint::new(source, place, words)),
        );
    }
}

type Envelope = (String, String, String, Option<String>);

/// What every object must say of itself. Every mistake is told.
fn envelope(tree: &Node, value: &Value) -> Result<Envelope, Vec<(Place, String)>> {
    if !value.is_object() {
        return Err(vec![(
            tree.at,
            "an object is expected here: apiVersion, kind, metadata, spec".to_owned(),
        )]);
    }
    let mut problems = Vec::new();
    let mut required = |path: &str, example: &str| match value.pointer(&format!("/{}", path.replace('.', "/"))) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Null) | None => {
            problems.push((
                locate::locate(tree, path).place(),
                format!("{path} is missing, for example {example}"),
            ));
            String::new()
        }
        Some(_) => {
            problems.push((
                locate::locate(tree, path).place(),
                format!("{path}: a text is expected, for example {example}"),
            ));
            String::new()
        }
    };
    let api_version = required("apiVersion", "`apiVersion: breakbulk.dev/v1`");
    let kind = required("kind", "`kind: Pipeline`");
    let generated = value.pointer("/metadata/generateName").is_some_and(Value::is_string);
    let name = if generated {
        String::new()
    } else {
        required("metadata.name", "`metadata: {name: hello}`")
    };
    let namespace = value
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .map(str::to_owned);
    if problems.is_empty() {
        Ok((api_version, kind, name, namespace))
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests;
