//! Texts: the standard functions and cel-go's string extensions, version 2. Places are counted in characters.

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, format_string, refuse, unsupported};
use crate::value::{Text, Value, characters};

type Outcome<'a> = Result<Value<'a>, EvalError>;

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "contains",
        overloads: &[("contains_string", "string.(string) -> bool")],
        run: |_, args| test(args, |text, part| text.contains(part)),
    },
    Declaration {
        name: "startsWith",
        overloads: &[("starts_with_string", "string.(string) -> bool")],
        run: |_, args| test(args, |text, part| text.starts_with(part)),
    },
    Declaration {
        name: "endsWith",
        overloads: &[("ends_with_string", "string.(string) -> bool")],
        run: |_, args| test(args, |text, part| text.ends_with(part)),
    },
    Declaration {
        name: "charAt",
        overloads: &[("string_char_at_int", "string.(int) -> string")],
        run: char_at,
    },
    Declaration {
        name: "indexOf",
        overloads: &[
            ("string_index_of_string", "string.(string) -> int"),
            ("string_index_of_string_int", "string.(string, int) -> int"),
        ],
        run: index_of,
    },
    Declaration {
        name: "lastIndexOf",
        overloads: &[
            ("string_last_index_of_string", "string.(string) -> int"),
            ("string_last_index_of_string_int", "string.(string, int) -> int"),
        ],
        run: last_index_of,
    },
    Declaration {
        name: "join",
        overloads: &[
            ("list_join", "list(string).() -> string"),
            ("list_join_string", "list(string).(string) -> string"),
        ],
        run: join,
    },
    Declaration {
        name: "strings.quote",
        overloads: &[("strings_quote", "(string) -> string")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::text(quote(text))),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "lowerAscii",
        overloads: &[("string_lower_ascii", "string.() -> string")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::text(text.to_ascii_lowercase())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "upperAscii",
        overloads: &[("string_upper_ascii", "string.() -> string")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::text(text.to_ascii_uppercase())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "trim",
        overloads: &[("string_trim", "string.() -> string")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(cut(text, 0, text.len(), str::trim)),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "replace",
        overloads: &[
            ("string_replace_string_string", "string.(string, string) -> string"),
            (
                "string_replace_string_string_int",
                "string.(string, string, int) -> string",
            ),
        ],
        run: replace,
    },
    Declaration {
        name: "split",
        overloads: &[
            ("string_split_string", "string.(string) -> list(string)"),
            ("string_split_string_int", "string.(string, int) -> list(string)"),
        ],
        run: split,
    },
    Declaration {
        name: "substring",
        overloads: &[
            ("string_substring_int", "string.(int) -> string"),
            ("string_substring_int_int", "string.(int, int) -> string"),
        ],
        run: substring,
    },
    Declaration {
        name: "format",
        overloads: &[("string_format", "string.(list(dyn)) -> string")],
        run: |meter, args| match args {
            [Value::String(text), Value::List(list)] => format_string::format(text, list, meter).map(Value::text),
            _ => unsupported(),
        },
    },
];

fn test<'a>(args: &[Value<'a>], test: fn(&str, &str) -> bool) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(test(text, part))),
        _ => unsupported(),
    }
}

/// A part of a text, borrowed where the text is.
fn cut<'a>(text: &Text<'a>, from: usize, to: usize, shape: fn(&str) -> &str) -> Value<'a> {
    match text {
        Text::Borrowed(text) => Value::String(Text::Borrowed(shape(&text[from..to]))),
        Text::Shared(text) => Value::text(shape(&text[from..to])),
    }
}

/// Where in the text's bytes its character `index` begins; its end counts as a character.
fn offset(text: &str, index: usize) -> Option<usize> {
    if text.is_ascii() {
        return (index <= text.len()).then_some(index);
    }
    let ends = std::iter::once(text.len());
    text.char_indices().map(|(at, _)| at).chain(ends).nth(index)
}

/// As [`offset`], with the message for places that are not there.
fn offset_of(text: &str, index: i64) -> Result<usize, EvalError> {
    let found = usize::try_from(index).ok().and_then(|index| offset(text, index));
    found.ok_or_else(|| EvalError::failed(format!("index out of range: {index}")))
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn char_at<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(index)] = args else {
        return unsupported();
    };
    let from = offset_of(text, *index)?;
    let length = text[from..].chars().next().map_or(0, char::len_utf8);
    Ok(cut(text, from, from + length, |part| part))
}

/// Where a search begins: places beyond the end are no mistake.
enum From {
    At(usize),
    Beyond,
}

fn search_from(text: &str, index: i64) -> Result<From, EvalError> {
    if index < 0 {
        return refuse(format!("index out of range: {index}"));
    }
    let found = usize::try_from(index).ok().and_then(|index| offset(text, index));
    Ok(found.map_or(From::Beyond, From::At))
}

fn index_of<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] => (text, part, From::At(0)),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, search_from(text, *from)?),
        _ => return unsupported(),
    };
    let from = match from {
        From::At(from) => from,
        From::Beyond if part.is_empty() => text.len(),
        From::Beyond => return Ok(Value::Int(-1)),
    };
    let found = text[from..].find(&**part);
    Ok(Value::Int(found.map_or(-1, |at| whole(characters(&text[..from + at])))))
}

/// The last place at which `part` begins, at `from` or before it.
fn last_index_of<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] => (text, part, text.len()),
        [Value::String(text), Value::String(part), Value::Int(from)] => match search_from(text, *from)? {
            From::At(from) if from < text.len() || part.is_empty() => (text, part, from),
            _ if part.is_empty() => (text, part, text.len()),
            _ => return Ok(Value::Int(-1)),
        },
        _ => return unsupported(),
    };
    let mut end = (from + part.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let found = text[..end].rfind(&**part);
    Ok(Value::Int(found.map_or(-1, |at| whole(characters(&text[..at])))))
}

fn join<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return unsupported(),
    };
    let mut out = String::new();
    for (index, item) in list.iter().enumerate() {
        let item = item?;
        let Value::String(text) = &item else {
            return refuse(format!("join: invalid input: {}", item.type_name()));
        };
        meter.allow_size((out.len() + text.len() + separator.len()) as u64)?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(text);
    }
    Ok(Value::text(out))
}

/// A text as a literal.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn replace<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, old, new, most) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [
            Value::String(text),
            Value::String(old),
            Value::String(new),
            Value::Int(most),
        ] => (text, old, new, *most),
        _ => return unsupported(),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // The result can be far longer than what the price was reckoned with.
    let count = text.matches(&**old).take(most).count() as u64;
    meter.allow_size(
        (new.len() as u64)
            .saturating_mul(count)
            .saturating_add(text.len() as u64),
    )?;
    Ok(Value::text(text.replacen(&**old, new, most)))
}

fn split<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, most) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(most)] => (text, separator, *most),
        _ => return unsupported(),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let pieces: Vec<Value<'a>> = match text {
        Text::Borrowed(text) => pieces(text, separator, most)
            .map(|part| Value::String(Text::Borrowed(part)))
            .collect(),
        Text::Shared(text) => pieces(text, separator, most).map(Value::text).collect(),
    };
    meter.work(pieces.len() as u64)?;
    Ok(Value::list(pieces))
}

/// At most `most` pieces; an empty separator splits between all characters.
fn pieces<'t>(text: &'t str, separator: &str, most: usize) -> Box<dyn Iterator<Item = &'t str> + 't> {
    if most == 0 {
        return Box::new(std::iter::empty());
    }
    if separator.is_empty() {
        let mut rest = text;
        let mut count = 0;
        return Box::new(std::iter::from_fn(move || {
            count += 1;
            let length = rest.chars().next()?.len_utf8();
            let end = if count >= most { rest.len() } else { length };
            let (part, after) = rest.split_at(end);
            rest = after;
            Some(part)
        }));
    }
    let parts: Vec<&str> = text.splitn(most, separator).collect();
    Box::new(parts.into_iter())
}

fn substring<'a>(_: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, start, end) = match args {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return unsupported(),
    };
    if let Some(end) = end
        && start > end
    {
        return refuse(format!("invalid substring range. start: {start}, end: {end}"));
    }
    let from = offset_of(text, start)?;
    let to = end.map_or(Ok(text.len()), |end| offset_of(text, end))?;
    Ok(cut(text, from, to, |part| part))
}
