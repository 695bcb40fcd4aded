//! URLs as Go's `net/url` takes them apart: nothing is normalised.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::budget::Meter;
use crate::errors::EvalError;
use crate::library::{Declaration, refuse, unsupported};
use crate::value::{Key, Library, Map, OpaqueValue, Text, Value};

type Outcome<'a> = Result<Value<'a>, EvalError>;

/// A URL's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    scheme: String,
    host: String,
    /// As it was written.
    path: String,
    query: String,
}

pub(super) const FUNCTIONS: &[Declaration] = &[
    Declaration {
        name: "url",
        overloads: &[("string_to_url", "(string) -> Url")],
        run: |_, args| match args {
            [Value::String(text)] => match parse(text) {
                Ok(url) => Ok(Value::library(Library::Url(Arc::new(url)))),
                Err(reason) => refuse(format!("URL parse error during conversion from string: {reason}")),
            },
            _ => unsupported(),
        },
    },
    Declaration {
        name: "isURL",
        overloads: &[("is_url_string", "(string) -> bool")],
        run: |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse(text).is_ok())),
            _ => unsupported(),
        },
    },
    Declaration {
        name: "getScheme",
        overloads: &[("url_get_scheme", "Url.() -> string")],
        run: |_, args| part(args, |url| Value::text(url.scheme.as_str())),
    },
    Declaration {
        name: "getHost",
        overloads: &[("url_get_host", "Url.() -> string")],
        run: |_, args| part(args, |url| Value::text(url.host.as_str())),
    },
    Declaration {
        name: "getHostname",
        overloads: &[("url_get_hostname", "Url.() -> string")],
        run: |_, args| part(args, |url| Value::text(split_port(&url.host).0)),
    },
    Declaration {
        name: "getPort",
        overloads: &[("url_get_port", "Url.() -> string")],
        run: |_, args| part(args, |url| Value::text(split_port(&url.host).1)),
    },
    Declaration {
        name: "getEscapedPath",
        overloads: &[("url_get_escaped_path", "Url.() -> string")],
        run: |_, args| part(args, |url| Value::text(escaped(&url.path))),
    },
    Declaration {
        name: "getQuery",
        overloads: &[("url_get_query", "Url.() -> map(string, list(string))")],
        run: get_query,
    },
];

fn part<'a>(args: &[Value<'a>], of: fn(&Url) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(OpaqueValue(Library::Url(url)))] => Ok(of(url)),
        _ => unsupported(),
    }
}

/// The host without brackets, and the port.
fn split_port(host: &str) -> (&str, &str) {
    let colon = host
        .rfind(':')
        .filter(|at| host[at + 1..].bytes().all(|c| c.is_ascii_digit()));
    let (name, port) = match colon {
        Some(at) if !host[at..].contains(']') => (&host[..at], &host[at + 1..]),
        _ => (host, ""),
    };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    (inner.unwrap_or(name), port)
}

/// An absolute URL, or an absolute path: what a request line may have.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let fail = |reason: &str| Err(format!("parse {text:?}: {reason}"));
    if text.is_empty() {
        return fail("empty url");
    }
    if text.bytes().any(|c| c < 0x20 || c == 0x7f) {
        return fail("net/url: invalid control character in URL");
    }
    let whole = text.split_once('#').map_or(text, |(before, _)| before);
    let Ok((scheme, rest)) = split_scheme(whole) else {
        return fail("first path segment in URL cannot contain colon");
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.starts_with('/') {
        return match scheme {
            "" => fail("invalid URI for request"),
            // An opaque URL such as mailto:a@b has neither host nor path.
            _ => Ok(Url {
                scheme: scheme.to_ascii_lowercase(),
                host: String::new(),
                path: String::new(),
                query: query.to_owned(),
            }),
        };
    }
    let authority = rest
        .strip_prefix("//")
        .filter(|after| !scheme.is_empty() || !after.starts_with('/'));
    let (host, path) = match authority.filter(|_| !scheme.is_empty()) {
        Some(after) => {
            let end = after.find('/').unwrap_or(after.len());
            (host_of(&after[..end]), &after[end..])
        }
        None => (Ok(String::new()), rest),
    };
    let host = match host {
        Ok(host) => host,
        Err(reason) => return fail(&reason),
    };
    if let Some(bad) = bad_escape(path) {
        return fail(&format!("invalid URL escape {bad:?}"));
    }
    Ok(Url {
        scheme: scheme.to_ascii_lowercase(),
        host,
        path: path.to_owned(),
        query: query.to_owned(),
    })
}

/// The scheme, if there is one, and what follows its colon.
fn split_scheme(text: &str) -> Result<(&str, &str), ()> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at > 0 => return Ok((&text[..at], &text[at + 1..])),
            ':' => return Err(()),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn host_of(authority: &str) -> Result<String, String> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(inner) = host.strip_prefix('[') {
        let Some((_, after)) = inner.split_once(']') else {
            return Err("missing ']' in host".to_owned());
        };
        return valid_port(after).map(|()| host.to_owned());
    }
    if let Some((_, port)) = host.split_once(':') {
        valid_port(&format!(":{port}"))?;
    }
    match host
        .chars()
        .find(|c| c.is_ascii() && !(c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"%".contains(*c)))
    {
        Some(bad) => Err(format!("invalid character {:?} in host name", bad.to_string())),
        None => Ok(host.to_owned()),
    }
}

fn valid_port(text: &str) -> Result<(), String> {
    let digits = text
        .strip_prefix(':')
        .map(|digits| digits.bytes().all(|c| c.is_ascii_digit()));
    if text.is_empty() || digits == Some(true) {
        return Ok(());
    }
    Err(format!("invalid port {text:?} after host"))
}

fn bad_escape(path: &str) -> Option<&str> {
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let escape = rest.get(at..at + 3);
        let good = escape.is_some_and(|escape| escape[1..].bytes().all(|c| c.is_ascii_hexdigit()));
        if !good {
            return Some(escape.unwrap_or(&rest[at..]));
        }
        rest = &rest[at + 3..];
    }
    None
}

/// What a path may not have written plainly is escaped; what is escaped stays.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn get_query<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(OpaqueValue(Library::Url(url)))] = args else {
        return unsupported();
    };
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url
        .query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
    {
        meter.work(1)?;
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescape(key), unescape(value)) {
            found.entry(key).or_default().push(Value::text(value));
        }
    }
    let entries = found
        .into_iter()
        .map(|(key, values)| (Key::String(Text::Shared(key.into())), Value::list(values)));
    Ok(Value::Map(Map::Owned(Arc::new(entries.collect()))))
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                out.push(u8::try_from(value).ok()?);
            }
            other => out.push(other),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
