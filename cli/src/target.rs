//! What objects a verb is about, as people write it: `runs`, `run x y`, `run/x job/y`, `run,job`, `all`.

use crate::discovery::{Resource, Resources};
use crate::failure::Failure;

/// Objects of one kind: those named, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) resource: Resource,
    /// Empty: all of the kind.
    pub(crate) names: Vec<String>,
}

/// Reads the words. `KIND/NAME` words stand alone; otherwise the first word is a list of kinds and the others are
/// names.
pub(crate) fn parse(words: &[String], resources: &Resources) -> Result<Vec<Selection>, Failure> {
    let Some(first) = words.first() else {
        return Err(Failure::said(
            "what? Name a kind, such as `runs`, or an object, such as `run/NAME`",
        ));
    };
    if first.contains('/') {
        return words.iter().map(|word| one(word, resources)).collect();
    }
    let names = &words[1..];
    if let Some(word) = names.iter().find(|name| name.contains('/')) {
        return Err(Failure::said(format!(
            "{word:?} names a kind again; write either `KIND NAME…` or `KIND/NAME…`"
        )));
    }
    for name in names {
        check_name(name)?;
    }
    let mut selections = Vec::new();
    for word in first.split(',').filter(|word| !word.is_empty()) {
        let category = resources.category(word);
        let kinds = if category.is_empty() {
            vec![resources.find(word)?]
        } else {
            category
        };
        selections.extend(kinds.into_iter().map(|r| Selection {
            resource: r.clone(),
            names: names.to_vec(),
        }));
    }
    Ok(selections)
}

fn one(word: &str, resources: &Resources) -> Result<Selection, Failure> {
    let (kind, name) = word
        .split_once('/')
        .ok_or_else(|| Failure::said(format!("{word:?} is no `KIND/NAME`, and the words before it are")))?;
    check_name(name)?;
    Ok(Selection {
        resource: resources.find(kind)?.clone(),
        names: vec![name.to_owned()],
    })
}

/// A name becomes a part of a path: what cannot be a name is refused here, before it is sent.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if name.is_empty() || name.len() > 253 || !name.chars().all(fine) || name == "." || name == ".." {
        return Err(Failure::said(format!(
            "{name:?} cannot be the name of an object: lower case letters, digits, `-` and `.` make a name"
        )));
    }
    Ok(())
}

/// A run or a job, as `run/x`, `job/x` or a bare name say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Run(String),
    Job(String),
    /// A run of this name, or else a job.
    Either(String),
}

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let subject = match word.split_once('/') {
            Some(("run" | "runs" | "plr" | "pipelinerun" | "pipelineruns", name)) => Self::Run(name.to_owned()),
            Some(("job" | "jobs", name)) => Self::Job(name.to_owned()),
            Some((kind, _)) => return Err(format!("{kind:?} is neither `run` nor `job`")),
            None => Self::Either(word.to_owned()),
        };
        let (Self::Run(name) | Self::Job(name) | Self::Either(name)) = &subject;
        check_name(name).map_err(|failure| failure.to_string())?;
        Ok(subject)
    }
}
