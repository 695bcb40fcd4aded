//! Manifests as text in tests: YAML documents to JSON values.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The documents of a text.
///
/// # Errors
/// When it is not YAML.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let parts = text
        .split("\n---")
        .filter(|part| part.lines().any(|line| !line.trim_start().starts_with('#')));
    let parse = |part: &str| serde_saphyr::from_str::<Value>(part).with_context(|| format!("not YAML:\n{part}"));
    let documents: Result<Vec<Value>> = parts.map(parse).collect();
    Ok(documents?.into_iter().filter(|document| !document.is_null()).collect())
}

/// One document.
///
/// # Errors
/// When it is not one.
pub fn document(text: &str) -> Result<Value> {
    documents(text)?
        .into_iter()
        .next()
        .context("there is no document in the text")
}
