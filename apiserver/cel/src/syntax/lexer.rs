//! Characters to tokens.

use crate::source::Issue;
use crate::syntax::Literal;
use crate::syntax::literal;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Ident(String),
    Literal(Literal),
    /// A number's text, without a sign: the sign in front belongs to it.
    Int(String),
    Uint(String),
    Double(String),
    /// Operators, brackets and the word `in`.
    Mark(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) offset: usize,
    pub(super) end: usize,
}

/// Longer ones first.
const MARKS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%",
    "<", ">",
];

/// All tokens, ending with [`Token::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Placed>, Issue> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        at = skip_blanks(source, at);
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else {
            let token = Token::End;
            out.push(Placed {
                token,
                offset: at,
                end: at,
            });
            return Ok(out);
        };
        let (token, length) = if let Some(found) = literal::string(rest) {
            found.map_err(|message| Issue::new(at, message))?
        } else if first.is_ascii_digit() || first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            number(rest)
        } else if first.is_ascii_alphabetic() || first == '_' {
            word(rest)
        } else {
            mark(rest).ok_or_else(|| unrecognised(at, first))?
        };
        out.push(Placed {
            token,
            offset: at,
            end: at + length,
        });
        at += length;
    }
}

fn unrecognised(at: usize, first: char) -> Issue {
    let shown = if first == '\'' {
        "\\'".to_owned()
    } else {
        first.to_string()
    };
    Issue::new(at, format!("Syntax error: token recognition error at: '{shown}'"))
}

/// Past blanks and `//` comments.
fn skip_blanks(source: &str, mut at: usize) -> usize {
    loop {
        let rest = &source[at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("//") {
            return at;
        }
        at += trimmed.find('\n').unwrap_or(trimmed.len());
    }
}

fn word(rest: &str) -> (Token, usize) {
    let length = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let token = match &rest[..length] {
        "true" => Token::Literal(Literal::Bool(true)),
        "false" => Token::Literal(Literal::Bool(false)),
        "null" => Token::Literal(Literal::Null),
        "in" => Token::Mark("in"),
        name => Token::Ident(name.to_owned()),
    };
    (token, length)
}

fn mark(rest: &str) -> Option<(Token, usize)> {
    let found = MARKS.iter().find(|mark| rest.starts_with(**mark))?;
    Some((Token::Mark(found), found.len()))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn number(rest: &str) -> (Token, usize) {
    if let Some(hex) = rest.strip_prefix("0x") {
        let count = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        if count > 0 {
            return integer(rest, 2 + count);
        }
    }
    let mut length = digits(rest);
    let mut double = false;
    if rest[length..].starts_with('.') {
        let fraction = digits(&rest[length + 1..]);
        if fraction > 0 {
            length += 1 + fraction;
            double = true;
        }
    }
    if rest[length..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
        let exponent = digits(&rest[length + 1 + sign..]);
        if exponent > 0 {
            length += 1 + sign + exponent;
            double = true;
        }
    }
    if double {
        return (Token::Double(rest[..length].to_owned()), length);
    }
    integer(rest, length)
}

fn integer(rest: &str, length: usize) -> (Token, usize) {
    let text = rest[..length].to_owned();
    if rest[length..].starts_with(['u', 'U']) {
        return (Token::Uint(text), length + 1);
    }
    (Token::Int(text), length)
}
