//! Parameters as typed, `-p key=value`, read as the pipeline declares them. Every mistake is told at once.

use std::collections::BTreeMap;

use breakbulk_schemas::pipeline::{ParamSpec, ParamType};
use breakbulk_schemas::{PipelineSpec, Scalar};

use crate::failure::Failure;

/// Reads parameters for a pipeline: known, of their types, among their options, and none missing.
pub(super) fn read(typed: &[String], pipeline: &PipelineSpec) -> Result<BTreeMap<String, Scalar>, Failure> {
    let mut problems = Vec::new();
    let mut params = BTreeMap::new();
    for (key, value) in pairs(typed)? {
        match pipeline.params.get(&key).map(|spec| scalar(&key, &value, spec)) {
            None => problems.push(unknown(&key, pipeline)),
            Some(Err(problem)) => problems.push(problem),
            Some(Ok(scalar)) => {
                params.insert(key, scalar);
            }
        }
    }
    for (name, spec) in &pipeline.params {
        let mentioned = typed
            .iter()
            .any(|pair| pair.split_once('=').is_some_and(|(key, _)| key == name));
        if spec.default.is_none() && !mentioned {
            let what = spec
                .description
                .as_deref()
                .map_or(String::new(), |words| format!(" ({words})"));
            problems.push(format!(
                "the parameter {name:?}{what} has no default: give it with -p {name}=…"
            ));
        }
    }
    if problems.is_empty() {
        Ok(params)
    } else {
        Err(Failure::said(problems.join("\n      ")))
    }
}

/// Reads parameters where nothing is known of their types.
pub(super) fn untyped(typed: &[String]) -> Result<BTreeMap<String, Scalar>, Failure> {
    Ok(pairs(typed)?
        .into_iter()
        .map(|(key, value)| (key, Scalar::String(value)))
        .collect())
}

fn pairs(typed: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::said(format!("-p {text:?}: KEY=VALUE is expected"))),
    };
    typed.iter().map(pair).collect()
}

fn unknown(key: &str, pipeline: &PipelineSpec) -> String {
    let names: Vec<_> = pipeline.params.keys().map(String::as_str).collect();
    if names.is_empty() {
        return format!("the pipeline has no parameters, and so no {key:?}");
    }
    format!("the pipeline has no parameter {key:?}; it has {}", names.join(", "))
}

fn scalar(key: &str, value: &str, spec: &ParamSpec) -> Result<Scalar, String> {
    let scalar = match spec.type_ {
        ParamType::String => Scalar::String(value.to_owned()),
        ParamType::Int => value
            .parse()
            .map(Scalar::Int)
            .map_err(|_| format!("the parameter {key:?} is a whole number, and {value:?} is none"))?,
        ParamType::Bool => value
            .parse()
            .map(Scalar::Bool)
            .map_err(|_| format!("the parameter {key:?} is `true` or `false`, and {value:?} is neither"))?,
    };
    if spec.options.is_empty() || spec.options.contains(&scalar) {
        return Ok(scalar);
    }
    let options: Vec<_> = spec.options.iter().map(ToString::to_string).collect();
    Err(format!(
        "the parameter {key:?} is one of {}, and {value:?} is not",
        options.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline() -> PipelineSpec {
        serde_json::from_value(serde_json::json!({
            "params": {
                "level": {"type": "int", "default": 1},
                "fast": {"type": "bool", "default": false},
                "where": {"options": ["here", "there"]},
            },
            "jobs": {"a": {"run": "true"}},
        }))
        .unwrap()
    }

    fn typed(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn values_get_the_types_the_pipeline_declares() {
        let params = read(&typed(&["level=5", "fast=true", "where=here"]), &pipeline()).unwrap();
        assert_eq!(params["level"], Scalar::Int(5));
        assert_eq!(params["fast"], Scalar::Bool(true));
        assert_eq!(params["where"], Scalar::String("here".into()));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let words = read(&typed(&["level=much", "fast=yes", "colour=red"]), &pipeline())
            .unwrap_err()
            .to_string();
        for part in [
            "\"level\" is a whole number",
            "\"fast\" is `true` or",
            "no parameter \"colour\"",
            "-p where=",
        ] {
            assert!(words.contains(part), "{part:?} is not in {words:?}");
        }
        assert!(
            read(&typed(&["where=nowhere"]), &pipeline())
                .unwrap_err()
                .to_string()
                .contains("one of here, there")
        );
    }
}
