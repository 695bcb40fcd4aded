//! Tables: columns as wide as their widest cell, three blanks apart, no lines.

use std::fmt::Write as _;

use crate::printer::Terminal;
use crate::printer::colour::Style;

/// The space between columns.
const GAP: usize = 3;
/// A cell is cut at this many characters, so that one long value does not push the others off the screen.
const MAX_CELL: usize = 200;

/// A table being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Widths kept from rows printed before, so that what is added below lines up.
    widths: Vec<usize>,
}

impl Table {
    pub(crate) fn new(header: Vec<String>) -> Self {
        Self {
            header,
            ..Self::default()
        }
    }

    /// The same from words.
    pub(crate) fn with(header: &[&str]) -> Self {
        Self::new(header.iter().map(|word| (*word).to_owned()).collect())
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row.into_iter().map(cut).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The header and all rows.
    pub(crate) fn render(&mut self, terminal: Terminal) -> String {
        let header = std::mem::take(&mut self.header);
        let mut text = String::new();
        self.measure(&header);
        self.settle();
        write_row(&mut text, &header, &self.widths, |cell| {
            terminal.paint(Style::Bold, cell)
        });
        text.push_str(&self.render_rows(terminal));
        self.header = header;
        text
    }

    /// The rows alone, which are taken out: more can be added below them later.
    pub(crate) fn render_rows(&mut self, terminal: Terminal) -> String {
        self.settle();
        let rows = std::mem::take(&mut self.rows);
        let mut text = String::new();
        for row in &rows {
            write_row(&mut text, row, &self.widths, |cell| match Style::of_word(cell) {
                Some(style) => terminal.paint(style, cell),
                None => cell.to_owned(),
            });
        }
        text
    }

    fn measure(&mut self, row: &[String]) {
        self.widths.resize(self.widths.len().max(row.len()), 0);
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// Measures all rows without writing them, so that the header fits them.
    fn settle(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            self.measure(row);
        }
        self.rows = rows;
    }
}

fn write_row(text: &mut String, row: &[String], widths: &[usize], paint: impl Fn(&str) -> String) {
    let last = row.len().saturating_sub(1);
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        text.push_str(&paint(cell));
        if index < last {
            let blanks = width + GAP - cell.chars().count();
            let _ = write!(text, "{:blanks$}", "");
        }
    }
    text.push('\n');
}

fn cut(cell: String) -> String {
    match cell.char_indices().nth(MAX_CELL) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell,
    }
}
