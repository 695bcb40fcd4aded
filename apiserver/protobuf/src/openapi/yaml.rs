//! JSON values as YAML text. YAML takes JSON as its flow style; what is different is written here so that parsers of
//! YAML 1.1 and 1.2 agree: a space behind each colon, and escapes for characters that YAML folds or forbids in text.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// One line, with its end.
pub(super) fn flow(value: &Value) -> String {
    let mut out = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, Flow));
    written.expect("a value has string keys, and memory takes all bytes");
    out.push(b'\n');
    String::from_utf8(out).expect("JSON is UTF-8")
}

struct Flow;

impl Formatter for Flow {
    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for part in fragment.split_inclusive(is_special) {
            let plain = part.trim_end_matches(is_special);
            writer.write_all(plain.as_bytes())?;
            for special in part[plain.len()..].chars() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
        }
        Ok(())
    }
}

/// Delete and the C1 controls, the line breaks that JSON does not know, and the byte order mark.
fn is_special(char: char) -> bool {
    matches!(
        char,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_json_that_yaml_reads_alike() {
        assert_eq!(
            flow(&json!([{"group": "", "n": 1, "on": true}])),
            "[{\"group\": \"\",\"n\": 1,\"on\": true}]\n"
        );
        assert_eq!(flow(&json!("a\u{2028}\u{85}\tb\"ü")), "\"a\\u2028\\u0085\\tb\\\"ü\"\n");
        assert_eq!(flow(&json!(null)), "null\n");
    }
}
