//! What a script writes to `$CI_OUTPUT`: `name=value` lines, and values of several lines between
//! `name<<WORD` and a line that is `WORD` alone. Hostile input: bounded, and wrong as a whole if a part is.

use std::collections::BTreeMap;

/// The largest file, in bytes.
pub(crate) const MAX_TOTAL: usize = 64 << 10;
/// The most names.
pub(crate) const MAX_NAMES: usize = 100;
const MAX_NAME: usize = 100;

/// Reads the whole file. A later value of a name replaces the earlier one.
///
/// # Errors
/// In words for the script's author, with the line's number.
pub(crate) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    if bytes.len() > MAX_TOTAL {
        return Err(format!("the outputs are over {MAX_TOTAL} bytes"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("the outputs are not UTF-8 from byte {} on", error.valid_up_to()))?;
    let mut outputs = BTreeMap::new();
    let mut lines = text
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let at = |problem: &str| format!("line {} of the outputs: {problem}", index + 1);
        // Whichever comes first decides, so that a value may hold the other.
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        let (name, value) = match (equals, heredoc) {
            (Some(equals), heredoc) if heredoc.is_none_or(|heredoc| equals < heredoc) => {
                (&line[..equals], line[equals + 1..].to_owned())
            }
            (_, Some(heredoc)) => {
                let word = &line[heredoc + 2..];
                if word.is_empty() {
                    return Err(at("no word after '<<' that would end the value"));
                }
                let mut value: Vec<&str> = Vec::new();
                loop {
                    match lines.next() {
                        Some((_, line)) if line == word => break,
                        Some((_, line)) => value.push(line),
                        None => {
                            return Err(at(
                                "the value does not end: a line with the word after '<<' alone is missing",
                            ));
                        }
                    }
                }
                (&line[..heredoc], value.join("\n"))
            }
            _ => return Err(at("expected name=value or name<<WORD")),
        };
        if !is_name(name) {
            return Err(at(
                "a name is 1 to 100 letters, digits, '_' or '-', and starts with no digit or '-'",
            ));
        }
        outputs.insert(name.to_owned(), value);
        if outputs.len() > MAX_NAMES {
            return Err(at(&format!("over {MAX_NAMES} names")));
        }
    }
    Ok(outputs)
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap().into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn lines_and_heredocs_are_read_and_the_last_value_of_a_name_stays() {
        let text = "a=1\nb=x=y<<z\r\n\nc<<END\nline 1\n  =2\nEND\na=2\nempty=";
        let expected = [
            pair("a", "2"),
            pair("b", "x=y<<z"),
            pair("c", "line 1\n  =2"),
            pair("empty", ""),
        ];
        assert_eq!(parsed(text), expected);
        assert_eq!(parsed("c<<E\nE\n"), [pair("c", "")]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            ("ok=1\nnothing", "line 2"),
            ("=1", "a name is"),
            ("a b=1", "a name is"),
            ("a<<END\nx", "does not end"),
            ("a<<\nx\n", "no word"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        assert!(parse(b"a=\xff").unwrap_err().contains("UTF-8"));
        assert!(parse(&vec![b'a'; MAX_TOTAL + 1]).unwrap_err().contains("over"));
        let many: String = (0..=MAX_NAMES).map(|i| format!("n{i}=\n")).collect();
        assert!(parse(many.as_bytes()).unwrap_err().contains("over 100 names"));
    }

    proptest::proptest! {
        #[test]
        fn no_input_breaks_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            let _ = parse(&bytes);
        }
    }
}
