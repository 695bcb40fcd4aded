//! The text of an expression: where in it a mistake is, and how that is shown.
//!
//! Messages have the shape that cel-go prints, because clients and tests look for it: `ERROR: <input>:1:5: …`, then the
//! line, then a caret below the place.

use std::fmt::Write as _;

/// Longer lines are not repeated in a message.
const LONGEST_SNIPPET: usize = 16_384;

/// One mistake, at an offset of the expression's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    /// In bytes from the start of the text; none for what is wrong with the whole.
    offset: Option<usize>,
    /// What is wrong, without the place.
    message: String,
}

impl Issue {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset: Some(offset),
            message: message.into(),
        }
    }

    /// Of the whole text.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self {
            offset: None,
            message: message.into(),
        }
    }
}

/// A place as people count: lines from 1, columns in characters from 0.
struct Place<'s> {
    line: usize,
    column: usize,
    text: &'s str,
}

fn place(source: &str, offset: usize) -> Place<'_> {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &source[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let rest = &source[start..];
    Place {
        line: before.matches('\n').count() + 1,
        column: source[start..offset].chars().count(),
        text: rest.split('\n').next().unwrap_or_default(),
    }
}

/// All issues as one text, in the order of their places.
pub(crate) fn render(source: &str, issues: &[Issue]) -> String {
    let mut sorted: Vec<&Issue> = issues.iter().collect();
    sorted.sort_by_key(|issue| issue.offset);
    let mut out = String::new();
    for issue in sorted {
        if !out.is_empty() {
            out.push('\n');
        }
        render_one(&mut out, source, issue);
    }
    out
}

fn render_one(out: &mut String, source: &str, issue: &Issue) {
    let Some(offset) = issue.offset else {
        let _ = write!(out, "ERROR: <input>:-1:0: {}", issue.message);
        return;
    };
    let place = place(source, offset);
    let _ = write!(
        out,
        "ERROR: <input>:{}:{}: {}",
        place.line,
        place.column + 1,
        issue.message
    );
    if place.text.len() > LONGEST_SNIPPET {
        return;
    }
    let _ = write!(out, "\n | {}\n | ", place.text.replace('\t', " "));
    let mut characters = place.text.chars();
    for _ in 0..place.column {
        match characters.next() {
            Some(c) if c.len_utf8() > 1 => out.push('\u{ff0e}'),
            Some(_) => out.push('.'),
            None => break,
        }
    }
    out.push(match characters.next() {
        Some(c) if c.len_utf8() > 1 => '\u{ff3e}',
        _ => '^',
    });
}
