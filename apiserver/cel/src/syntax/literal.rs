//! String and bytes literals: quotes, prefixes and escapes.

use crate::syntax::Literal;
use crate::syntax::lexer::Token;

struct Shape {
    bytes: bool,
    raw: bool,
    quote: &'static str,
    /// Of the prefix and the opening quote.
    opening: usize,
}

/// The literal at the start of `rest` and its length; `None` when there is none.
pub(super) fn string(rest: &str) -> Option<Result<(Token, usize), String>> {
    let shape = shape(rest)?;
    let Some((body, length)) = body(rest, &shape) else {
        let shown: String = rest.chars().take(40).collect();
        return Some(Err(format!("Syntax error: token recognition error at: '{shown}'")));
    };
    let literal = if shape.bytes {
        unescape_bytes(body, shape.raw).map(Literal::Bytes)
    } else {
        unescape_text(body, shape.raw).map(Literal::String)
    };
    Some(literal.map(|literal| (Token::Literal(literal), length)))
}

fn shape(rest: &str) -> Option<Shape> {
    let prefix = rest.bytes().take(2).take_while(|b| b"rRbB".contains(b)).count();
    let letters = rest[..prefix].to_ascii_lowercase();
    if matches!(letters.as_str(), "rr" | "bb") {
        return None;
    }
    let quotes = ["\"\"\"", "'''", "\"", "'"];
    let quote = quotes.into_iter().find(|quote| rest[prefix..].starts_with(quote))?;
    Some(Shape {
        bytes: letters.contains('b'),
        raw: letters.contains('r'),
        quote,
        opening: prefix + quote.len(),
    })
}

/// What stands between the quotes, and the length of the whole.
fn body<'r>(rest: &'r str, shape: &Shape) -> Option<(&'r str, usize)> {
    let mut at = shape.opening;
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        if rest[at..].starts_with(shape.quote) {
            return Some((&rest[shape.opening..at], at + shape.quote.len()));
        }
        match bytes[at] {
            b'\\' if !shape.raw => at += 1,
            b'\n' | b'\r' if shape.quote.len() == 1 => return None,
            _ => {}
        }
        at += rest[at..].chars().next().map_or(1, char::len_utf8);
    }
    None
}

/// What an escape stands for.
enum Piece {
    Char(char),
    Byte(u8),
}

fn unescape_text(body: &str, raw: bool) -> Result<String, String> {
    let mut out = String::with_capacity(body.len());
    pieces(body, raw, &mut |piece| match piece {
        Piece::Char(c) => out.push(c),
        // In a string an octal or hex escape is a code point.
        Piece::Byte(byte) => out.push(char::from(byte)),
    })?;
    Ok(out)
}

fn unescape_bytes(body: &str, raw: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(body.len());
    pieces(body, raw, &mut |piece| match piece {
        Piece::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Piece::Byte(byte) => out.push(byte),
    })?;
    Ok(out)
}

fn pieces(body: &str, raw: bool, emit: &mut dyn FnMut(Piece)) -> Result<(), String> {
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        // Line ends in a literal are single newlines, whatever wrote the file.
        if c == '\r' {
            rest = rest.strip_prefix('\n').unwrap_or(rest);
            emit(Piece::Char('\n'));
        } else if c == '\\' && !raw {
            let (piece, used) = escape(rest)?;
            emit(piece);
            rest = &rest[used..];
        } else {
            emit(Piece::Char(c));
        }
    }
    Ok(())
}

/// The escape after a backslash, and how many bytes it takes.
fn escape(rest: &str) -> Result<(Piece, usize), String> {
    let letter = rest
        .chars()
        .next()
        .ok_or("unable to unescape string, found '\\' as last character")?;
    let simple = |c| Ok((Piece::Char(c), 1));
    match letter {
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\u{b}'),
        '\\' | '\'' | '"' | '`' | '?' => simple(letter),
        'x' | 'X' => digits(rest, 1, 2, 16).and_then(byte),
        '0'..='3' => digits(rest, 0, 3, 8).and_then(byte),
        'u' => digits(rest, 1, 4, 16).and_then(point),
        'U' => digits(rest, 1, 8, 16).and_then(point),
        _ => Err("unable to unescape string".to_owned()),
    }
}

fn digits(rest: &str, skip: usize, count: usize, radix: u32) -> Result<(u32, usize), String> {
    let text = rest
        .get(skip..skip + count)
        .filter(|text| text.chars().all(|c| c.is_digit(radix)));
    let text = text.ok_or("unable to unescape string")?;
    let value = u32::from_str_radix(text, radix).map_err(|_| "unable to unescape string")?;
    Ok((value, skip + count))
}

fn byte((value, used): (u32, usize)) -> Result<(Piece, usize), String> {
    let byte = u8::try_from(value).map_err(|_| "unable to unescape string")?;
    Ok((Piece::Byte(byte), used))
}

fn point((value, used): (u32, usize)) -> Result<(Piece, usize), String> {
    let c = char::from_u32(value).ok_or("unable to unescape string")?;
    Ok((Piece::Char(c), used))
}
