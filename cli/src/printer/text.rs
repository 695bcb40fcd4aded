//! Text from elsewhere made harmless: logs, names and messages are written by strangers, and a terminal obeys
//! escape sequences that set its title, fill its clipboard, move its cursor or answer on its input. Of all these only
//! colours (SGR) may pass.

/// Whether colours may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sgr {
    /// They may.
    Keep,
    /// They may not.
    Strip,
}

/// The longest SGR sequence that passes; what is longer is no colour.
const MAX_SGR: usize = 64;

/// A filter over bytes that come in pieces: a sequence may begin in one and end in the next.
#[derive(Debug)]
pub(crate) struct Filter {
    sgr: Sgr,
    state: State,
    /// The sequence begun, as long as it may still be a colour.
    pending: Vec<u8>,
    /// The last byte was a carriage return, whose meaning depends on what follows.
    returned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    /// Behind ESC.
    Escape,
    /// Behind ESC and an intermediate byte: one more byte ends it.
    Intermediate,
    /// In a control sequence (`ESC [`).
    Control,
    /// In a string (`ESC ]`, `P`, `X`, `^`, `_`) that ends with BEL or ST.
    String,
    /// In a string, behind an ESC that may begin ST.
    StringEscape,
    /// Behind 0xC2, which begins a C1 control in UTF-8.
    C2,
}

impl Filter {
    pub(crate) const fn new(sgr: Sgr) -> Self {
        Self {
            sgr,
            state: State::Ground,
            pending: Vec::new(),
            returned: false,
        }
    }

    /// Filters a piece into `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Ground {
                let plain = rest.iter().position(|b| is_special(*b)).unwrap_or(rest.len());
                if plain > 0 {
                    self.carriage_return(rest[0], out);
                    out.extend_from_slice(&rest[..plain]);
                    rest = &rest[plain..];
                    continue;
                }
            }
            self.step(rest[0], out);
            rest = &rest[1..];
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.carriage_return(byte, out);
        self.state = match (self.state, byte) {
            (State::Ground, b'\r') => {
                self.returned = true;
                State::Ground
            }
            (State::Ground, 0xc2) => State::C2,
            (State::C2, 0x80..=0x9f) => self.c1(byte),
            (State::C2, _) => {
                out.push(0xc2);
                self.state = State::Ground;
                return self.step(byte, out);
            }
            // An ESC begins anew wherever it stands, but in a string it may be the end.
            (State::String, 0x1b) => State::StringEscape,
            (_, 0x1b) => {
                self.pending.clear();
                State::Escape
            }
            (State::Ground, b'\t' | b'\n') => {
                out.push(byte);
                State::Ground
            }
            (State::Ground, 0..=0x1f | 0x7f) => State::Ground,
            (State::Ground, _) => {
                out.push(byte);
                State::Ground
            }
            (State::Escape, b'[') => {
                self.pending.extend_from_slice(b"\x1b[");
                State::Control
            }
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            (State::Escape | State::Intermediate, 0x20..=0x2f) => State::Intermediate,
            (State::Escape | State::Intermediate, _) => State::Ground,
            (State::Control, _) => self.control(byte, out),
            (State::StringEscape, b'\\') | (State::String, 0x07) => State::Ground,
            // A string that is never closed must not swallow the log: it ends with its line.
            (State::String | State::StringEscape, b'\n') => {
                out.push(byte);
                State::Ground
            }
            (State::String | State::StringEscape, _) => State::String,
        };
    }

    /// A C1 control in UTF-8 is the same as ESC and a letter.
    fn c1(&mut self, byte: u8) -> State {
        self.pending.clear();
        match byte {
            0x9b => {
                self.pending.extend_from_slice(b"\x1b[");
                State::Control
            }
            0x90 | 0x98 | 0x9d..=0x9f => State::String,
            _ => State::Ground,
        }
    }

    fn control(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            b'0'..=b'9' | b';' | b':' => {
                if self.pending.len() < MAX_SGR {
                    self.pending.push(byte);
                } else {
                    self.pending.clear();
                }
                State::Control
            }
            b'm' if self.sgr == Sgr::Keep && self.pending.starts_with(b"\x1b[") => {
                out.extend_from_slice(&self.pending);
                out.push(b'm');
                State::Ground
            }
            0x40..=0x7e => State::Ground,
            b'\n' => {
                out.push(byte);
                State::Ground
            }
            // Parameters of private sequences, and intermediate bytes: no colour.
            _ => {
                self.pending.clear();
                State::Control
            }
        }
    }

    /// A carriage return that does not end a line would overwrite it: it becomes a line end.
    fn carriage_return(&mut self, next: u8, out: &mut Vec<u8>) {
        if self.returned && next != b'\r' {
            self.returned = false;
            if next != b'\n' {
                out.push(b'\n');
            }
        }
    }
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0b..=0x1f | 0x7f | 0xc2)
}

/// A whole text, harmless and on one line.
pub(crate) fn clean(text: &str, sgr: Sgr) -> String {
    let mut out = Vec::new();
    Filter::new(sgr).push(text.as_bytes(), &mut out);
    let text = String::from_utf8_lossy(&out).into_owned();
    text.trim_end_matches('\n').to_owned()
}

/// A cell of a table: harmless, and without line ends.
pub(crate) fn cell(text: &str) -> String {
    clean(text, Sgr::Strip).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(pieces: &[&[u8]], sgr: Sgr) -> String {
        let mut filter = Filter::new(sgr);
        let mut out = Vec::new();
        for piece in pieces {
            filter.push(piece, &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn colours_pass_and_everything_else_that_a_terminal_obeys_does_not() {
        let cases: &[(&[u8], &str)] = &[
            (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            (b"\x1b[38;2;1;2;3mrgb\x1b[m", "\x1b[38;2;1;2;3mrgb\x1b[m"),
            (b"a\x1b[2Jb", "ab"),
            (b"a\x1b[?25lb", "ab"),
            (b"a\x1b[>4;2mb", "ab"),
            (b"a\x1b]0;title\x07b", "ab"),
            (b"a\x1b]52;c;aGk=\x1b\\b", "ab"),
            (b"a\x1bP+q\x1b\\b", "ab"),
            (b"a\x1b(0b", "ab"),
            (b"a\x1bcb", "ab"),
            (b"a\x08\x7f\x07b", "ab"),
            (b"a\xc2\x9b2Jb", "ab"),
            (b"a\xc2\x9d0;t\x07b", "ab"),
            ("grün §".as_bytes(), "grün §"),
            (b"50%\r100%\r\ndone\n", "50%\n100%\ndone\n"),
            (b"a\x1b]0;never closed\nb", "a\nb"),
        ];
        for (input, expected) in cases {
            assert_eq!(
                filtered(&[input], Sgr::Keep),
                *expected,
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
        assert_eq!(filtered(&[b"\x1b[31mred\x1b[0m"], Sgr::Strip), "red");
    }

    #[test]
    fn where_the_pieces_are_cut_makes_no_difference() {
        let input = "x\x1b[1;31mB\x1b[0m\r\ny\x1b]0;t\x1b\\z\r§\u{9b}5nq\x1b[999Cw".as_bytes();
        let whole = filtered(&[input], Sgr::Keep);
        for cut in 0..=input.len() {
            assert_eq!(
                filtered(&[&input[..cut], &input[cut..]], Sgr::Keep),
                whole,
                "cut at {cut}"
            );
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(filtered(&bytes, Sgr::Keep), whole);
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(cell("a\nb\tc\x1b[31m"), "a b c");
    }
}
