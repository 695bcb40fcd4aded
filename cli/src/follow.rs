//! Logs as they come, on the terminal: one job's as it is, several jobs' line by line behind coloured names.
//!
//! The stream itself (reconnecting, never a byte twice or lost) is the client crate's; here bytes become what a person
//! reads, with escape sequences from strangers taken out when a terminal would obey them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use breakbulk_client::logs::{LogChunk, LogEvent, LogFollow, LogStream, Payload};
use jiff::Timestamp;

use crate::failure::Failure;
use crate::printer::Terminal;
use crate::printer::colour::Style;
use crate::printer::text::{self, Filter, Sgr};

/// A line without an end is shown in pieces of this size, so that it cannot grow in memory.
const MAX_LINE: usize = 16 << 10;
/// So many broken connections in a row are nobody's business yet: a server that restarts is back by then.
const QUIET_FAILURES: u32 = 3;

/// How logs are to look.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Each line begins with the time at which it was written.
    pub(crate) timestamps: bool,
    /// Each line begins with the job's name, without this (the run's name and a dash).
    pub(crate) prefix: Option<String>,
}

/// Prints chunks.
pub(crate) struct LogPrinter {
    look: Look,
    terminal: Terminal,
    jobs: BTreeMap<String, JobLog>,
    /// What Jobs are called in their pipeline.
    names: BTreeMap<String, String>,
    width: usize,
    failures: u32,
    out: Vec<u8>,
}

/// What is known of one job's log.
struct JobLog {
    filter: Filter,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// When that line began.
    began: Option<Timestamp>,
    attempt: u32,
    style: Style,
}

impl LogPrinter {
    pub(crate) fn new(look: Look, terminal: Terminal) -> Self {
        Self {
            look,
            terminal,
            jobs: BTreeMap::new(),
            names: BTreeMap::new(),
            width: 0,
            failures: 0,
            out: Vec::new(),
        }
    }

    /// Tells what a Job is called in its pipeline. All lines begin in one column, behind the longest name.
    pub(crate) fn call(&mut self, job: &str, name: &str) {
        self.names.insert(job.to_owned(), name.to_owned());
        self.width = self.width.max(name.chars().count());
    }

    /// Prints everything until the log is complete.
    pub(crate) async fn follow(&mut self, logs: &mut LogFollow) -> Result<(), Failure> {
        while let Some(event) = logs.next().await.map_err(Failure::Log)? {
            self.event(event)?;
            if !logs.has_more() {
                self.flush()?;
            }
        }
        self.finish()
    }

    /// Takes an event. What it brings is shown by [`Self::flush`] at the latest.
    pub(crate) fn event(&mut self, event: LogEvent) -> Result<(), Failure> {
        match event {
            LogEvent::Chunk(chunk) => {
                if std::mem::take(&mut self.failures) > QUIET_FAILURES {
                    eprintln!("{}", self.terminal.paint(Style::Dim, "the server is back"));
                }
                self.chunk(&chunk);
                if self.out.len() > 1 << 18 { self.flush() } else { Ok(()) }
            }
            LogEvent::Interrupted { cause, .. } => {
                self.flush()?;
                self.failures += 1;
                if self.failures == QUIET_FAILURES + 1 {
                    let words = format!("the server is away ({}); trying again", text::cell(&cause));
                    eprintln!("{}", self.terminal.paint(Style::Dim, &words));
                }
                Ok(())
            }
        }
    }

    /// A word about the run itself, between the lines of its logs.
    pub(crate) fn remark(&mut self, words: &str) -> Result<(), Failure> {
        self.flush()?;
        eprintln!(
            "{}",
            self.terminal.paint(Style::Dim, &format!("-- {}", text::cell(words)))
        );
        Ok(())
    }

    /// Writes what has come.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.out).and_then(|()| stdout.flush());
        self.out.clear();
        written.map_err(Failure::Output)
    }

    /// Writes what has come, also lines that never ended.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let names: Vec<String> = self.jobs.keys().cloned().collect();
        for name in names {
            self.end_line(&name);
        }
        self.flush()
    }

    fn chunk(&mut self, chunk: &LogChunk) {
        self.know(chunk);
        match &chunk.payload {
            Payload::Data(bytes) if self.is_plain() => self.pass(chunk, bytes),
            Payload::Data(bytes) => self.lines(chunk, bytes),
            Payload::Gap { bytes, cause } => {
                self.end_line(&chunk.job);
                let words = format!("[{bytes} bytes of the log are missing: {}]", text::cell(cause));
                self.system_line(chunk, &words);
            }
        }
    }

    /// One job, nothing before its lines: bytes pass as they are.
    fn is_plain(&self) -> bool {
        self.look.prefix.is_none() && !self.look.timestamps
    }

    fn know(&mut self, chunk: &LogChunk) {
        let (nth, terminal) = (self.jobs.len(), self.terminal);
        let fresh = || JobLog {
            filter: Filter::new(terminal.sgr()),
            line: Vec::new(),
            began: None,
            attempt: chunk.attempt,
            style: terminal.nth(nth),
        };
        let job = self.jobs.entry(chunk.job.clone()).or_insert_with(fresh);
        if job.attempt != chunk.attempt {
            job.attempt = chunk.attempt;
            job.filter = Filter::new(terminal.sgr());
            self.end_line(&chunk.job);
            self.system_line(chunk, &format!("[attempt {}]", chunk.attempt));
        }
        let shown = self.shown_name(&chunk.job).chars().count();
        self.width = self.width.max(shown);
    }

    fn pass(&mut self, chunk: &LogChunk, bytes: &[u8]) {
        let Some(job) = self.jobs.get_mut(&chunk.job) else {
            return;
        };
        if self.terminal.looks {
            job.filter.push(bytes, &mut self.out);
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    fn lines(&mut self, chunk: &LogChunk, bytes: &[u8]) {
        let mut clean = Vec::new();
        let looks = self.terminal.looks;
        if let Some(job) = self.jobs.get_mut(&chunk.job).filter(|_| looks) {
            job.filter.push(bytes, &mut clean);
        }
        let bytes = if looks { clean.as_slice() } else { bytes };
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let Some(job) = self.jobs.get_mut(&chunk.job) else {
                return;
            };
            job.began = job.began.or(chunk.time);
            job.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || job.line.len() >= MAX_LINE {
                self.end_line(&chunk.job);
            }
        }
        if chunk.stream == LogStream::System {
            self.end_line(&chunk.job);
        }
    }

    /// Writes the line begun, if there is one.
    fn end_line(&mut self, name: &str) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        let line = std::mem::take(&mut job.line);
        let (began, style) = (job.began.take(), job.style);
        if line.is_empty() {
            return;
        }
        let head = self.head(name, style, began);
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(&line);
        if self.terminal.sgr() == Sgr::Keep && line.contains(&0x1b) {
            // A colour that a line leaves on is not to run into the next job's lines.
            let end = if line.ends_with(b"\n") { self.out.pop() } else { None };
            self.out.extend_from_slice(b"\x1b[0m");
            self.out.extend(end);
        }
        if !line.ends_with(b"\n") {
            self.out.push(b'\n');
        }
    }

    fn system_line(&mut self, chunk: &LogChunk, words: &str) {
        let style = self.jobs.get(&chunk.job).map_or(Style::Dim, |job| job.style);
        let head = self.head(&chunk.job, style, chunk.time);
        let words = self.terminal.paint(Style::Notice, words);
        self.out.extend_from_slice(format!("{head}{words}\n").as_bytes());
    }

    fn head(&self, name: &str, style: Style, began: Option<Timestamp>) -> String {
        let mut head = String::new();
        if let Some(time) = began.filter(|_| self.look.timestamps) {
            head.push_str(&format!("{time:.9} "));
        }
        if self.look.prefix.is_some() {
            let name = format!("{:width$} |", text::cell(self.shown_name(name)), width = self.width);
            head.push_str(&self.terminal.paint(style, &name));
            head.push(' ');
        }
        head
    }

    fn shown_name<'a>(&'a self, job: &'a str) -> &'a str {
        if let Some(name) = self.names.get(job) {
            return name;
        }
        let prefix = self.look.prefix.as_deref().unwrap_or_default();
        job.strip_prefix(prefix).filter(|rest| !rest.is_empty()).unwrap_or(job)
    }
}

#[cfg(test)]
mod tests {
    use breakbulk_client::logs::Cursor;

    use super::*;
    use crate::args::When;

    fn printer(prefix: Option<&str>, timestamps: bool) -> LogPrinter {
        let look = Look {
            timestamps,
            prefix: prefix.map(str::to_owned),
        };
        LogPrinter::new(look, Terminal::new(When::Never))
    }

    fn chunk(job: &str, attempt: u32, data: &'static str) -> LogChunk {
        LogChunk {
            job: job.to_owned(),
            attempt,
            offset: 0,
            time: Some("2026-01-02T03:04:05.5Z".parse().unwrap()),
            stream: LogStream::Output,
            payload: Payload::Data(data.into()),
            cursor: Cursor(String::new()),
        }
    }

    fn shown(printer: &mut LogPrinter, chunks: &[LogChunk]) -> String {
        for chunk in chunks {
            printer.chunk(chunk);
        }
        let names: Vec<String> = printer.jobs.keys().cloned().collect();
        for name in names {
            printer.end_line(&name);
        }
        String::from_utf8(std::mem::take(&mut printer.out)).unwrap()
    }

    #[test]
    fn lines_of_several_jobs_never_mix() {
        let mut printer = printer(Some("r-"), false);
        let chunks = [
            chunk("r-a", 1, "one "),
            chunk("r-long", 1, "x\ny"),
            chunk("r-a", 1, "two\nthree\n"),
            chunk("r-long", 1, "\n"),
        ];
        printer.call("r-long", "a (b)");
        assert_eq!(
            shown(&mut printer, &chunks),
            "a (b) | x\na     | one two\na     | three\na (b) | y\n"
        );
    }

    #[test]
    fn a_line_has_the_time_of_its_first_byte() {
        let mut printer = printer(None, true);
        let mut late = chunk("a", 1, "b\nc");
        late.time = Some("2026-01-02T03:04:06Z".parse().unwrap());
        assert_eq!(
            shown(&mut printer, &[chunk("a", 1, "a"), late]),
            "2026-01-02T03:04:05.500000000Z ab\n2026-01-02T03:04:06.000000000Z c\n"
        );
    }

    #[test]
    fn a_new_attempt_begins_on_a_line_of_its_own() {
        let mut printer = printer(Some("r-"), false);
        assert_eq!(
            shown(&mut printer, &[chunk("r-a", 1, "broken"), chunk("r-a", 2, "again\n")]),
            "a | broken\na | [attempt 2]\na | again\n"
        );
    }

    #[test]
    fn a_hole_is_told() {
        let mut printer = printer(None, false);
        let mut gap = chunk("a", 1, "");
        gap.payload = Payload::Gap {
            bytes: 7,
            cause: "disk full".to_owned(),
        };
        assert_eq!(
            shown(&mut printer, &[gap]),
            "[7 bytes of the log are missing: disk full]\n"
        );
    }

    #[test]
    fn a_line_without_an_end_is_shown_in_pieces() {
        let mut printer = printer(Some(""), false);
        let long = "x".repeat(MAX_LINE + 5);
        let long: &'static str = Box::leak(long.into_boxed_str());
        let text = shown(&mut printer, &[chunk("a", 1, long), chunk("a", 1, "y\n")]);
        assert!(text.lines().all(|line| line.starts_with("a | ")), "{}", text.len());
        assert_eq!(text.matches('x').count(), MAX_LINE + 5);
    }
}
