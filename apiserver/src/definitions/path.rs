//! Paths into objects as rules' `fieldPath` and selectable fields write them: `.spec.foo`, `.spec['a.b']`. They are
//! followed through the schema, so that they lead somewhere.

use serde_json::Value;

use super::check::Written;

/// Whether names in brackets are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brackets {
    Taken,
    Refused,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) steps: Vec<String>,
    pub(super) schema: Written<'a>,
    /// As it stands in messages: keys of maps in brackets.
    written: String,
}

const NOWHERE: &str = "does not refer to a valid field";
const ENDS: &str = "unexpected end of JSON path";

/// Follows a path, or says why it leads nowhere.
pub(super) fn follow<'a>(path: &str, schema: Written<'a>, brackets: Brackets) -> Result<Found<'a>, String> {
    let mut found = Found {
        steps: Vec::new(),
        schema,
        written: String::new(),
    };
    let mut rest = path;
    while let Some(token) = next(&mut rest) {
        match token {
            "[" if brackets == Brackets::Refused => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = next(&mut rest).ok_or(ENDS)?;
                let inner = quoted.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                step(&mut found, &unescape(inner)?)?;
                match next(&mut rest).ok_or(ENDS)? {
                    "]" => {}
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            "." => {
                let name = next(&mut rest).ok_or(ENDS)?;
                step(&mut found, name)?;
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok(found)
}

/// A rule's `fieldPath` as it stands behind the path of the value; none if there is none.
pub(crate) fn field_below(path: &str, schema: &Value) -> Option<String> {
    let found = follow(path, Written(schema), Brackets::Taken).ok()?;
    (!found.written.is_empty()).then_some(found.written)
}

fn step(found: &mut Found<'_>, name: &str) -> Result<(), String> {
    let is_field = found.schema.has("properties");
    found.schema = if is_field {
        found.schema.property(name)
    } else {
        found.schema.schema("additionalProperties")
    }
    .ok_or(NOWHERE)?;
    found.written += &match is_field {
        true if found.written.is_empty() => name.to_owned(),
        true => format!(".{name}"),
        false => format!("[{name}]"),
    };
    found.steps.push(name.to_owned());
    Ok(())
}

/// The next delimiter, quoted text or name.
fn next<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if rest.is_empty() {
        return None;
    }
    let bytes = rest.as_bytes();
    let end = match bytes[0] {
        b'.' | b'[' | b']' => 1,
        b'\'' => (1..bytes.len())
            .find(|at| bytes[*at] == b'\'' && bytes[at - 1] != b'\\')
            .map_or(bytes.len(), |at| at + 1),
        _ => rest.find(['.', '[', ']']).unwrap_or(rest.len()),
    };
    let (token, behind) = rest.split_at(end);
    *rest = behind;
    Some(token)
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0b',
            Some(same @ ('\'' | '\\')) => same,
            Some(other) => return Err(format!("invalid string literal: invalid escape char \\{other}")),
            None => '\\',
        });
    }
    Ok(out)
}
