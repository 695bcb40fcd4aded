//! The formats of strings and numbers that are checked; a format not known here is let through, as upstream does.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use jiff::Timestamp;
use jiff::civil::Date;

/// Whether `text` has the format named.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<Timestamp>().is_ok(),
        "date" => text.parse::<Date>().is_ok(),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => uuid::Uuid::parse_str(text).is_ok(),
        _ => true,
    }
}

/// Whether a whole number fits the format named.
pub(super) fn integer_fits(format: &str, number: i64) -> bool {
    format != "int32" || i32::try_from(number).is_ok()
}
