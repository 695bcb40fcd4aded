//! How things look: what the terminal can do, tables, colours, and text from elsewhere made harmless.

pub(crate) mod colour;
pub(crate) mod object;
pub(crate) mod table;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write};

use crate::args::When;
use crate::failure::Failure;
use crate::printer::colour::Style;
use crate::printer::text::Sgr;

/// What standard output is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Whether somebody looks at standard output.
    pub(crate) looks: bool,
    colour: bool,
}

impl Terminal {
    pub(crate) fn new(when: When) -> Self {
        let looks = io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colour = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => looks && wanted && able,
        };
        Self { looks, colour }
    }

    /// The text in a style, if there are colours here.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.colour {
            style.paint(text)
        } else {
            text.to_owned()
        }
    }

    /// Whether colours that come with a log may pass.
    pub(crate) fn sgr(self) -> Sgr {
        if self.colour { Sgr::Keep } else { Sgr::Strip }
    }

    /// A colour for the n-th of several things that stand side by side.
    pub(crate) fn nth(self, n: usize) -> Style {
        colour::nth(n)
    }
}

/// Writes to standard output, at once.
pub(crate) fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::Output)
}

/// Writes a line to standard output, at once.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    out(&format!("{text}\n"))
}
