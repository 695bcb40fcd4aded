//! How things look: what the terminal can do, tables, colours, and text from elsewhere made harmless.

pub(crate) mod colour;
pub(crate) mod object;
pub(crate) mod table;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write};

use crate::args::When;
use crate::exit::Exit;
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

/// Ends the process when nobody reads standard output any more. What only waits for news would else find out with
/// the next thing it writes, which may never come.
pub(crate) fn end_with_reader(exit: Exit) {
    use rustix::event::{PollFd, PollFlags, poll};
    // The thread lives as long as the process; it holds nothing, and ends it at most.
    let watch = move || {
        let stdout = io::stdout();
        // Asked for nothing, poll tells only that the other end is gone.
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let told = poll(&mut fds, None).is_ok();
        if told && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            std::process::exit(i32::from(exit.code()));
        }
    };
    // Without it everything works but this.
    drop(
        std::thread::Builder::new()
            .name("reader".to_owned())
            .stack_size(64 << 10)
            .spawn(watch),
    );
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
