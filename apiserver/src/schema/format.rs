//! The formats of strings and numbers, as upstream's `kube-openapi` checks them (`pkg/validation/strfmt`, with the
//! corners of Go's parsers). A format not known here, or not for the type, is let through, as upstream does.

mod time;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

use self::time::{is_date, is_date_time, is_duration};
use super::Type;

/// A format that is checked.
#[derive(Clone, Debug)]
pub(super) struct Format {
    /// As the schema writes it: `date-time`.
    pub(super) name: String,
    pub(super) rule: FormatRule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormatRule {
    Text(Text),
    Int32,
    Int64,
    Float,
    Double,
}

/// The formats of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    BsonObjectId,
    Uri,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    Uuid,
    Uuid3,
    Uuid4,
    Uuid5,
    Isbn,
    Isbn10,
    Isbn13,
    CreditCard,
    Ssn,
    HexColor,
    RgbColor,
    Byte,
    Password,
    Date,
    Duration,
    DateTime,
    ShortName,
    LongName,
}

impl Format {
    /// The format of a type's values, if it is one that is checked.
    pub(super) fn read(name: &str, type_: Option<Type>) -> Option<Self> {
        let rule = match (type_, name) {
            (Some(Type::Integer), "int32") => FormatRule::Int32,
            (Some(Type::Integer), "int64") => FormatRule::Int64,
            (Some(Type::Number), "float") => FormatRule::Float,
            (Some(Type::Number), "double") => FormatRule::Double,
            (None | Some(Type::String | Type::IntOrString), name) => FormatRule::Text(Text::read(name)?),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            rule,
        })
    }
}

/// Whether a schema of this type may have a format of this name; else it is ignored.
pub(crate) fn is_known(name: &str, type_: &str) -> bool {
    match type_ {
        "" | "string" => Text::read(name).is_some(),
        "integer" => matches!(name, "int32" | "int64"),
        "number" => matches!(name, "float" | "double"),
        _ => false,
    }
}

impl Text {
    /// Dashes in a name do not count.
    fn read(name: &str) -> Option<Self> {
        Some(match name.replace('-', "").as_str() {
            "bsonobjectid" => Self::BsonObjectId,
            "uri" => Self::Uri,
            "email" => Self::Email,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "cidr" => Self::Cidr,
            "mac" => Self::Mac,
            "uuid" => Self::Uuid,
            "uuid3" => Self::Uuid3,
            "uuid4" => Self::Uuid4,
            "uuid5" => Self::Uuid5,
            "isbn" => Self::Isbn,
            "isbn10" => Self::Isbn10,
            "isbn13" => Self::Isbn13,
            "creditcard" => Self::CreditCard,
            "ssn" => Self::Ssn,
            "hexcolor" => Self::HexColor,
            "rgbcolor" => Self::RgbColor,
            "byte" => Self::Byte,
            "password" => Self::Password,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "datetime" => Self::DateTime,
            "k8sshortname" => Self::ShortName,
            "k8slongname" => Self::LongName,
            _ => return None,
        })
    }

    /// Whether `text` has this format.
    pub(super) fn fits(self, text: &str) -> bool {
        match self {
            Self::BsonObjectId => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
            Self::Uri => is_request_uri(text),
            Self::Email => is_email(text),
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => is_ipv4(text),
            Self::Ipv6 => is_ipv6(text),
            Self::Cidr => is_cidr(text),
            Self::Mac => is_mac(text),
            Self::Uuid => uuid(text).is_some(),
            Self::Uuid3 => uuid(text).is_some_and(|hex| hex[12] == b'3'),
            Self::Uuid4 => uuid(text).is_some_and(|hex| hex[12] == b'4' && is_variant(hex[16])),
            Self::Uuid5 => uuid(text).is_some_and(|hex| hex[12] == b'5' && is_variant(hex[16])),
            Self::Isbn => is_isbn10(text) || is_isbn13(text),
            Self::Isbn10 => is_isbn10(text),
            Self::Isbn13 => is_isbn13(text),
            Self::CreditCard => is_credit_card(text),
            Self::Ssn => is_ssn(text),
            Self::HexColor => {
                let hex = text.strip_prefix('#').unwrap_or(text);
                matches!(hex.len(), 3 | 6) && hex.bytes().all(|b| b.is_ascii_hexdigit())
            }
            Self::RgbColor => is_rgb(text),
            Self::Byte => is_base64(text),
            Self::Password => true,
            Self::Date => is_date(text),
            Self::Duration => is_duration(text),
            Self::DateTime => is_date_time(text),
            Self::ShortName => text.len() <= 63 && is_name(text),
            Self::LongName => text.len() <= 253 && text.split('.').all(is_name),
        }
    }
}

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// The 32 hexadecimal digits, in lower case; the dashes between them may be left out one by one.
fn uuid(text: &str) -> Option<[u8; 32]> {
    let mut hex = [0; 32];
    let mut at = 0;
    let mut dash = false;
    for b in text.bytes() {
        if b == b'-' && !dash && matches!(at, 8 | 12 | 16 | 20) {
            dash = true;
            continue;
        }
        if !b.is_ascii_hexdigit() || at == 32 {
            return None;
        }
        hex[at] = b.to_ascii_lowercase();
        at += 1;
        dash = false;
    }
    (at == 32).then_some(hex)
}

fn is_variant(digit: u8) -> bool {
    matches!(digit, b'8' | b'9' | b'a' | b'b')
}

/// Dotted decimal; leading zeros are tolerated, as before Go 1.17. IPv4 within IPv6 counts: it has dots.
fn is_ipv4(text: &str) -> bool {
    sloppy_ipv4(text).is_some() || (text.contains('.') && is_ipv6(text))
}

fn sloppy_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.len() <= 16 && part.bytes().all(|b| b.is_ascii_digit());
        *octet = part.parse::<u64>().ok().filter(|_| digits)?.try_into().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn is_ipv6(text: &str) -> bool {
    text.contains(':') && text.parse::<Ipv6Addr>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = if sloppy_ipv4(address).is_some() {
        32
    } else if is_ipv6(address) {
        128
    } else {
        return false;
    };
    let plain = !bits.is_empty() && bits.len() <= 9 && bits.bytes().all(|b| b.is_ascii_digit());
    plain && bits.parse::<u32>().is_ok_and(|bits| bits <= most)
}

/// Six, eight or twenty octets, between colons or dashes or by twos between dots.
fn is_mac(text: &str) -> bool {
    let parted = |by: char, digits: usize, counts: [usize; 3]| {
        let mut count = 0;
        let fits = text.split(by).all(|part| {
            count += 1;
            part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit())
        });
        fits && counts.contains(&count)
    };
    parted(':', 2, [6, 8, 20]) || parted('-', 2, [6, 8, 20]) || parted('.', 4, [3, 4, 10])
}

fn is_hostname(text: &str) -> bool {
    static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
        let word = r"a-zA-Z0-9\p{S}\p{L}";
        let pattern = format!(
            r"^([{word}]((-?[{word}]{{0,62}})?)|([{word}](([{word}-]{{0,61}}[{word}])?)(\.)){{1,}}([a-zA-Z\p{{L}}]){{2,63}})$"
        );
        Regex::new(&pattern).expect("a constant pattern compiles")
    });
    text.len() <= 255 && HOSTNAME.is_match(text) && text.split('.').all(|label| label.len() <= 63)
}

/// An absolute URI or an absolute path, as Go's `url.ParseRequestURI` has it.
pub(crate) fn is_request_uri(text: &str) -> bool {
    let printable = text.bytes().all(|b| b >= 0x20 && b != 0x7f);
    if text.is_empty() || !printable {
        return false;
    }
    if text == "*" {
        return true;
    }
    let scheme_end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
    let rest = match scheme_end {
        Some(0) if text.starts_with(':') => return false,
        Some(end) if text[end..].starts_with(':') && text.as_bytes()[0].is_ascii_alphabetic() => &text[end + 1..],
        _ if text.starts_with('/') => return is_path(text),
        _ => return false,
    };
    match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            is_authority(authority) && is_path(path)
        }
        // Without a slash it is opaque: `mailto:a@b`.
        None => !rest.starts_with('/') || is_path(rest),
    }
}

/// Percent signs stand before two hexadecimal digits.
fn is_path(text: &str) -> bool {
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    let mut parts = path.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

fn is_authority(text: &str) -> bool {
    let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let (host, port) = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((address, port)) => (address, port),
            None => return false,
        },
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port_fits = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    port_fits && !host.contains([' ', '<', '>', '"', '^', '`', '{', '}', '|', '\\'])
}

/// `user@host`, or `Name <user@host>`.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((_, address)) => address,
        None => text,
    };
    let Some((user, host)) = address.rsplit_once('@') else {
        return false;
    };
    let atom = |part: &str| {
        let special = |c: char| c.is_ascii_control() || " ()<>[]:;@\\,\"".contains(c);
        !part.is_empty() && !part.contains(special)
    };
    let quoted = user.len() > 2 && user.starts_with('"') && user.ends_with('"');
    (quoted || user.split('.').all(atom)) && host.split('.').all(atom)
}

fn is_base64(text: &str) -> bool {
    let body = text.strip_suffix("==").or(text.strip_suffix('=')).unwrap_or(text);
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    !body.is_empty() && text.len().is_multiple_of(4) && body.bytes().all(inner)
}

/// Digits of the text, spaces and dashes aside, when there are `count` of them; `X` is allowed as the last.
fn isbn_digits(text: &str, count: usize) -> Option<Vec<u32>> {
    let plain: Vec<char> = text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '-').collect();
    let last = plain.len().checked_sub(1).filter(|_| plain.len() == count)?;
    let digit = |(at, c): (usize, &char)| match c {
        'X' if at == last && count == 10 => Some(10),
        c => c.to_digit(10),
    };
    plain.iter().enumerate().map(digit).collect()
}

fn is_isbn10(text: &str) -> bool {
    isbn_digits(text, 10).is_some_and(|digits| {
        let sum: u32 = digits.iter().zip(1..).map(|(digit, weight)| digit * weight).sum();
        sum.is_multiple_of(11)
    })
}

fn is_isbn13(text: &str) -> bool {
    isbn_digits(text, 13).is_some_and(|digits| {
        let sum: u32 = digits
            .iter()
            .zip([1, 3].into_iter().cycle())
            .map(|(digit, weight)| digit * weight)
            .sum();
        sum.is_multiple_of(10)
    })
}

fn is_credit_card(text: &str) -> bool {
    static ISSUERS: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|\
                       3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$";
        Regex::new(pattern).expect("a constant pattern compiles")
    });
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !ISSUERS.is_match(&digits) {
        return false;
    }
    let mut sum = 0;
    for (at, b) in digits.bytes().rev().enumerate() {
        let digit = u32::from(b - b'0') * if at % 2 == 1 { 2 } else { 1 };
        sum += digit / 10 + digit % 10;
    }
    sum % 10 == 0
}

/// Eleven characters: three, two and four digits with a dash or a space between.
fn is_ssn(text: &str) -> bool {
    text.len() == 11
        && text.bytes().enumerate().all(|(at, b)| match at {
            3 | 6 => matches!(b, b'-' | b' '),
            _ => b.is_ascii_digit(),
        })
}

fn is_rgb(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|text| text.strip_suffix(')'));
    let byte = |part: &str| {
        let part = part.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
        let plain = !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
        plain && (part.len() == 1 || !part.starts_with('0')) && part.parse::<u8>().is_ok()
    };
    inner.is_some_and(|inner| inner.split(',').count() == 3 && inner.split(',').all(byte))
}

#[cfg(test)]
mod tests;
