//! A mistake, shown where it stands: file, line, column, the line itself, and a caret under it.

use std::fmt::Write as _;
use std::rc::Rc;

use super::source::Source;
use super::tree::Place;
use crate::printer::Terminal;
use crate::printer::colour::Style;
use crate::printer::text;

/// A mistake in a manifest.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    source: Rc<Source>,
    place: Place,
    message: String,
}

/// A line is shown up to this many characters.
const MAX_SHOWN: usize = 160;

impl Complaint {
    pub(crate) fn new(source: &Rc<Source>, place: Place, message: impl Into<String>) -> Self {
        Self {
            source: Rc::clone(source),
            place,
            message: message.into(),
        }
    }

    /// Its place in words: `file:line:column`.
    pub(crate) fn at(&self) -> String {
        format!("{}:{}:{}", self.source.name, self.place.line, self.place.column)
    }

    /// The mistake as it is shown.
    pub(crate) fn render(&self, terminal: Terminal) -> String {
        let mut words = String::new();
        let error = terminal.paint(Style::Bad, "error:");
        let _ = writeln!(
            words,
            "{error} {}: {}",
            text::cell(&self.at()),
            text::cell(&self.message)
        );
        let Some(line) = self.source.line(self.place.line) else {
            return words;
        };
        let column = usize::try_from(self.place.column).unwrap_or(1).max(1);
        // A tab is one column: shown as one blank, so that the caret stands under the right character.
        let shown: String = line
            .chars()
            .take(MAX_SHOWN)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let number = self.place.line.to_string();
        let margin = " ".repeat(number.len());
        let bar = terminal.paint(Style::Dim, "|");
        let room = shown.trim_end().chars().count().saturating_sub(column - 1).max(1);
        let length = usize::try_from(self.place.length).unwrap_or(1).clamp(1, room);
        let caret = terminal.paint(Style::Bad, &"^".repeat(length));
        let _ = writeln!(
            words,
            " {} {bar} {}",
            terminal.paint(Style::Dim, &number),
            shown.trim_end()
        );
        if column <= MAX_SHOWN {
            let _ = writeln!(words, " {margin} {bar} {}{caret}", " ".repeat(column - 1));
        }
        words
    }

    /// Shows all mistakes on standard error, in the order of their places.
    pub(crate) fn print_all(mut complaints: Vec<Self>, terminal: Terminal) {
        complaints.sort_by(|a, b| (&a.source.name, a.place).cmp(&(&b.source.name, b.place)));
        for complaint in &complaints {
            eprintln!("{}", complaint.render(terminal));
        }
    }
}
