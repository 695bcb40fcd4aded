//! Regular expressions in RE2's syntax: `matches`, and Kubernetes' `find` and `findAll`.
//!
//! The engine is the `regex` crate, which like RE2 takes time linear in the text. Where its syntax means something else
//! than RE2's, the pattern is rewritten: classes such as `\d` are those of ASCII, and a bracket or `&&` inside a class
//! stands for itself.

use regex::{Regex, RegexBuilder};

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, unsupported};
use crate::value::{Text, Value};

/// So many characters of a pattern cost what one step costs.
pub(crate) const REGEX_FACTOR: u64 = 4;
/// A compiled pattern, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// How deep a pattern may nest: RE2's own limit.
const MAX_NESTING: u32 = 1000 / 5;

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "matches",
        overloads: &[
            ("matches", "(string, string) -> bool"),
            ("matches_string", "string.(string) -> bool"),
        ],
        run: |_, args| at_run_time(Use::Matches, args),
    },
    Declaration {
        name: "find",
        overloads: &[("string_find_string", "string.(string) -> string")],
        run: |_, args| at_run_time(Use::Find, args),
    },
    Declaration {
        name: "findAll",
        overloads: &[
            ("string_find_all_string", "string.(string) -> list(string)"),
            ("string_find_all_string_int", "string.(string, int) -> list(string)"),
        ],
        run: find_all_at_run_time,
    },
];

/// What a pattern is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Matches,
    Find,
    FindAll,
}

fn at_run_time<'a>(usage: Use, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [_, Value::String(pattern), ..] => match compile(pattern) {
            Ok(regex) => usage.run(&regex, args),
            Err(reason) => refuse(reason),
        },
        _ => unsupported(),
    }
}

fn find_all_at_run_time<'a>(_: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    at_run_time(Use::FindAll, args)
}

impl Use {
    pub(crate) fn of(function: &str) -> Option<Self> {
        match function {
            "matches" => Some(Use::Matches),
            "find" => Some(Use::Find),
            "findAll" => Some(Use::FindAll),
            _ => None,
        }
    }

    /// With a pattern that is compiled already.
    pub(crate) fn run<'a>(self, regex: &Regex, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
        let Some(Value::String(text)) = args.first() else {
            return unsupported();
        };
        let most = match args.get(2) {
            Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
            Some(_) => return unsupported(),
            None => usize::MAX,
        };
        Ok(match self {
            Use::Matches => Value::Bool(regex.is_match(text)),
            Use::Find => regex
                .find(text)
                .map_or(Value::text(""), |found| part(text, found.range())),
            Use::FindAll => {
                let found = regex.find_iter(text).take(most);
                Value::list(found.map(|found| part(text, found.range())).collect())
            }
        })
    }
}

fn part<'a>(text: &Text<'a>, range: std::ops::Range<usize>) -> Value<'a> {
    match text {
        Text::Borrowed(text) => Value::String(Text::Borrowed(&text[range])),
        Text::Shared(text) => Value::text(&text[range]),
    }
}

/// Compiles a pattern of RE2's syntax; the error says why it is none.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let fail = |reason: String| Err(format!("error parsing regexp: {reason}: `{pattern}`"));
    let rewritten = match rewrite(pattern) {
        Ok(rewritten) => rewritten,
        Err(reason) => return fail(reason),
    };
    let built = RegexBuilder::new(&rewritten)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(MAX_NESTING)
        .build();
    match built {
        Ok(regex) => Ok(regex),
        Err(regex::Error::CompiledTooBig(_)) => fail("expression too large".to_owned()),
        Err(_) => fail("invalid or unsupported Perl syntax".to_owned()),
    }
}

/// RE2's syntax as the engine's.
fn rewrite(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut class = Class::Outside;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '\\' {
            let used = escape(after, class != Class::Outside, &mut out)?;
            rest = &after[used..];
            class = class.next(c);
            continue;
        }
        rest = match class {
            Class::Outside => outside(c, after, &mut out)?,
            _ => inside(c, after, class, &mut out),
        };
        class = class.next(c);
    }
    Ok(out)
}

/// Where in a class the rewriter is: at its start a closing bracket stands for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    Opened,
    Negated,
    Inside,
}

impl Class {
    fn next(self, c: char) -> Self {
        match (self, c) {
            (Class::Outside, '[') => Class::Opened,
            (Class::Outside, _) => Class::Outside,
            (Class::Opened, '^') => Class::Negated,
            (Class::Inside, ']') => Class::Outside,
            _ => Class::Inside,
        }
    }
}

fn outside<'p>(c: char, after: &'p str, out: &mut String) -> Result<&'p str, String> {
    // A brace that begins no repetition stands for itself.
    if c == '{' && !is_repetition(after) {
        out.push('\\');
    }
    out.push(c);
    // Flags that only the engine has: x, R and u.
    if c == '('
        && let Some(flags) = after.strip_prefix('?')
    {
        let letters = flags.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-');
        let named = flags.starts_with("P<") || flags.starts_with('<');
        if !named && letters.into_iter().any(|c| !"imsU-".contains(c)) {
            return Err("invalid or unsupported Perl syntax".to_owned());
        }
    }
    Ok(after)
}

fn is_repetition(after: &str) -> bool {
    let Some((bounds, _)) = after.split_once('}') else {
        return false;
    };
    let (least, most) = bounds.split_once(',').unwrap_or((bounds, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

fn inside<'p>(c: char, after: &'p str, class: Class, out: &mut String) -> &'p str {
    match c {
        '[' if after.starts_with(':') && after.contains(":]") => {
            let length = after.find(":]").map_or(0, |at| at + 2);
            out.push('[');
            out.push_str(&after[..length]);
            return &after[length..];
        }
        '[' | '&' | '~' => out.push('\\'),
        ']' if class != Class::Inside => out.push('\\'),
        '-' if after.starts_with('-') => out.push('\\'),
        _ => {}
    }
    out.push(c);
    after
}

/// What follows a backslash; gives how many bytes it took.
fn escape(after: &str, in_class: bool, out: &mut String) -> Result<usize, String> {
    let Some(letter) = after.chars().next() else {
        return Err("trailing backslash at end of expression".to_owned());
    };
    let (plain, negated): (&str, bool) = match letter {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => ("\\t\\n\\f\\r ", false),
        'S' => ("\\t\\n\\f\\r ", true),
        'b' | 'B' if !in_class => {
            // The engine has no `\B` of ASCII that is sure to stay between characters.
            out.push_str(if letter == 'b' { "(?-u:\\b)" } else { "\\B" });
            return Ok(1);
        }
        'Q' if !in_class => {
            let end = after.find("\\E");
            out.push_str(&regex::escape(&after[1..end.unwrap_or(after.len())]));
            return Ok(end.map_or(after.len(), |end| end + 2));
        }
        'C' | 'Z' | '<' | '>' => return Err(format!("invalid escape sequence: `\\{letter}`")),
        _ => {
            out.push('\\');
            out.push(letter);
            return Ok(letter.len_utf8());
        }
    };
    let caret = if negated { "^" } else { "" };
    match (in_class, negated) {
        (true, false) => out.push_str(plain),
        _ => {
            out.push('[');
            out.push_str(caret);
            out.push_str(plain);
            out.push(']');
        }
    }
    Ok(1)
}
