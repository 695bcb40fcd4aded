//! Semantic versions: Kubernetes' `semver`, version 1 of the library.

use std::cmp::Ordering;
use std::sync::Arc;

use semver::Version;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, unsupported};
use crate::value::{Library, OpaqueValue, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "semver",
        overloads: &[
            ("string_to_semver", "(string) -> Semver"),
            ("string_bool_to_semver", "(string, bool) -> Semver"),
        ],
        run: |_, args| match parse(args)? {
            Ok(version) => Ok(Value::library(Library::Semver(Arc::new(version)))),
            Err(reason) => refuse(reason),
        },
    },
    Declaration {
        name: "isSemver",
        overloads: &[
            ("is_semver_string", "(string) -> bool"),
            ("is_semver_string_bool", "(string, bool) -> bool"),
        ],
        run: |_, args| Ok(Value::Bool(parse(args)?.is_ok())),
    },
    Declaration {
        name: "isGreaterThan",
        overloads: &[("semver_is_greater_than", "Semver.(Semver) -> bool")],
        run: |_, args| compared(args, |order| Value::Bool(order == Ordering::Greater)),
    },
    Declaration {
        name: "isLessThan",
        overloads: &[("semver_is_less_than", "Semver.(Semver) -> bool")],
        run: |_, args| compared(args, |order| Value::Bool(order == Ordering::Less)),
    },
    Declaration {
        name: "compareTo",
        overloads: &[("semver_compare_to", "Semver.(Semver) -> int")],
        run: |_, args| compared(args, |order| Value::Int(order as i64)),
    },
    Declaration {
        name: "major",
        overloads: &[("semver_major", "Semver.() -> int")],
        run: |_: &mut Meter, args| part(args, |version| version.major),
    },
    Declaration {
        name: "minor",
        overloads: &[("semver_minor", "Semver.() -> int")],
        run: |_: &mut Meter, args| part(args, |version| version.minor),
    },
    Declaration {
        name: "patch",
        overloads: &[("semver_patch", "Semver.() -> int")],
        run: |_: &mut Meter, args| part(args, |version| version.patch),
    },
];

/// The outer result tells of the arguments, the inner one of the version's text.
fn parse(args: &[Value<'_>]) -> Result<Result<Version, String>, EvalError> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(strict(text)),
        [Value::String(text), Value::Bool(true)] => Ok(strict(&normalized(text))),
        _ => unsupported(),
    }
}

/// The mistakes that are usual are told as Kubernetes tells them.
fn strict(text: &str) -> Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    if numbers.len() != 3 {
        return Err("No Major.Minor.Patch elements found".to_owned());
    }
    for (number, name) in numbers.iter().zip(["Major", "Minor", "Patch"]) {
        let lower = name.to_ascii_lowercase();
        if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit()) {
            return Err(format!("Invalid character(s) found in {lower} number {number:?}"));
        }
        if number.len() > 1 && number.starts_with('0') {
            return Err(format!("{name} number must not contain leading zeroes {number:?}"));
        }
    }
    Version::parse(text).map_err(|error| error.to_string())
}

/// Without a leading `v`, with all three numbers, and these without leading zeros.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let mut numbers: Vec<&str> = core
        .split('.')
        .map(|number| {
            let trimmed = number.trim_start_matches('0');
            if trimmed.is_empty() && !number.is_empty() {
                "0"
            } else {
                trimmed
            }
        })
        .collect();
    while numbers.len() < 3 {
        numbers.push("0");
    }
    format!("{}{rest}", numbers.join("."))
}

fn compared<'a>(args: &[Value<'a>], of: fn(Ordering) -> Value<'a>) -> Outcome<'a> {
    match args {
        [
            Value::Opaque(OpaqueValue(Library::Semver(a))),
            Value::Opaque(OpaqueValue(Library::Semver(b))),
        ] => Ok(of(a.cmp_precedence(b))),
        _ => unsupported(),
    }
}

fn part<'a>(args: &[Value<'a>], of: fn(&Version) -> u64) -> Outcome<'a> {
    match args {
        [Value::Opaque(OpaqueValue(Library::Semver(version)))] => {
            i64::try_from(of(version)).map_or_else(|_| refuse("integer overflow"), |part| Ok(Value::Int(part)))
        }
        _ => unsupported(),
    }
}
