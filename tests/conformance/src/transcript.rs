//! Transcripts: commands and what a person expects to see, as text.
//!
//! ```text
//! == what this part is about        a part has a namespace of its own, made before it begins
//! <<< one.yaml                      a file, until a line `>>>`
//! $ get configmap one -o name       a command that is to succeed
//! configmap/one                     a line that its output has, after those above; `…` stands for anything
//! $ ! get configmap none            a command that is to fail
//! $ ? get job one                   a command that is repeated until it shows what is expected
//! $ [1.31+] wait --for=create …     from this version on; [-1.30] up to this version
//! $ EDITOR=$DIR/edit.sh edit cm one with something in the environment
//! (nothing)                         it prints nothing at all
//! (not) text                        it does not print this
//! ```
//!
//! `$NS` is the part's namespace, `$DIR` the directory of its files; others are given by the test. Runs of white space
//! are one space, in commands' output and in what is expected. What is expected is written by hand, never recorded.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use breakbulk_tests::wait::{self, Look};

use crate::case::SOON;
use crate::kubectl::{Kubectl, Said};

/// A part of a transcript.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is about.
    pub title: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    File { name: String, text: String },
    Run(Call),
}

/// How a call is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    Badly,
    Eventually,
}

#[derive(Clone, Debug)]
struct Call {
    line: usize,
    end: End,
    versions: Versions,
    words: String,
    expected: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Versions {
    from: u32,
    to: u32,
}

/// What a part runs with.
pub struct Stage<'a> {
    /// kubectl for a namespace.
    pub kubectl: &'a dyn Fn(&str) -> Kubectl,
    /// Its minor version.
    pub minor: u32,
    /// What stands for what.
    pub words: BTreeMap<String, String>,
}

/// Reads a transcript.
///
/// # Errors
/// When a line has no meaning where it stands.
pub fn parse(text: &str) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(title) = line.strip_prefix("== ") {
            parts.push(Part {
                title: title.to_owned(),
                steps: Vec::new(),
            });
            continue;
        }
        if line.trim().is_empty() || line.starts_with("# ") {
            continue;
        }
        let part = parts
            .last_mut()
            .with_context(|| format!("line {}: before the first part", number + 1))?;
        if let Some(name) = line.strip_prefix("<<< ") {
            let text: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != ">>>")
                .collect();
            part.steps.push(Step::File {
                name: name.to_owned(),
                text: text.join("\n") + "\n",
            });
        } else if let Some(rest) = line.strip_prefix("$ ") {
            part.steps.push(Step::Run(call(number + 1, rest)?));
        } else if let Some(Step::Run(call)) = part.steps.last_mut() {
            call.expected.push(line.to_owned());
        } else {
            bail!("line {}: it expects something of no command", number + 1);
        }
    }
    Ok(parts)
}

fn call(line: usize, text: &str) -> Result<Call> {
    let (mut end, mut versions, mut rest) = (End::Well, Versions { from: 0, to: u32::MAX }, text);
    if let Some(text) = rest.strip_prefix('[') {
        let (range, after) = text
            .split_once("] ")
            .with_context(|| format!("line {line}: no end of versions"))?;
        let minor = |text: &str| {
            text.trim_start_matches("1.")
                .parse()
                .with_context(|| format!("line {line}: {range}"))
        };
        if let Some(from) = range.strip_suffix('+') {
            versions.from = minor(from)?;
        } else if let Some(to) = range.strip_prefix('-') {
            versions.to = minor(to)?;
        }
        rest = after;
    }
    for (mark, meaning) in [("! ", End::Badly), ("? ", End::Eventually)] {
        if let Some(after) = rest.strip_prefix(mark) {
            (end, rest) = (meaning, after);
        }
    }
    Ok(Call {
        line,
        end,
        versions,
        words: rest.to_owned(),
        expected: Vec::new(),
    })
}

impl Part {
    /// Plays it.
    ///
    /// # Errors
    /// At the first command that shows something else than is expected, with what it showed.
    pub async fn play(&self, stage: &Stage<'_>, namespace: &str) -> Result<()> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let kubectl = (stage.kubectl)(namespace);
        let mut words = stage.words.clone();
        words.insert("$NS".to_owned(), namespace.to_owned());
        words.insert("$DIR".to_owned(), directory.path().display().to_string());
        for step in &self.steps {
            match step {
                Step::File { name, text } => write(directory.path(), name, &fill(text, &words))?,
                Step::Run(call) if (call.versions.from..=call.versions.to).contains(&stage.minor) => {
                    let run = call.play(&kubectl, &words, directory.path()).await;
                    run.with_context(|| format!("{}, line {}: kubectl {}", self.title, call.line, call.words))?;
                }
                Step::Run(_) => {}
            }
        }
        Ok(())
    }
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path: PathBuf = directory.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
    let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot mark {name}"))
}

fn fill(text: &str, words: &BTreeMap<String, String>) -> String {
    words
        .iter()
        .fold(text.to_owned(), |text, (word, meaning)| text.replace(word, meaning))
}

impl Call {
    async fn play(&self, kubectl: &Kubectl, words: &BTreeMap<String, String>, directory: &Path) -> Result<()> {
        let expected: Vec<String> = self.expected.iter().map(|line| fill(line, words)).collect();
        let once = async || {
            let mut arguments = split(&fill(&self.words, words));
            let settings = arguments.iter().take_while(|word| is_setting(word)).count();
            let rest = arguments.split_off(settings);
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            let mut command = kubectl.command(&rest);
            command.current_dir(directory);
            command.envs(arguments.iter().filter_map(|word| word.split_once('=')));
            kubectl.run_command(command, "").await
        };
        if self.end != End::Eventually {
            return self.judge(&once().await?, &expected);
        }
        wait::until("what is expected", SOON, async || {
            let said = once().await?;
            Ok(match self.judge(&said, &expected) {
                Ok(()) => Look::Done(()),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })
        .await
    }

    fn judge(&self, said: &Said, expected: &[String]) -> Result<()> {
        let all = format!("{}\n{}", said.out, said.err);
        if said.fine == (self.end == End::Badly) {
            bail!("it {}; it said:\n{all}", if said.fine { "succeeded" } else { "failed" });
        }
        let lines: Vec<String> = all.lines().map(squeeze).filter(|line| !line.is_empty()).collect();
        let mut from = 0;
        for wanted in expected {
            if wanted == "(nothing)" {
                if !lines.is_empty() {
                    bail!("it is to say nothing; it said:\n{all}");
                }
            } else if let Some(text) = wanted.strip_prefix("(not) ") {
                if lines.iter().any(|line| line.contains(text)) {
                    bail!("it is not to say {text:?}; it said:\n{all}");
                }
            } else {
                let found = lines[from..].iter().position(|line| fits(line, &squeeze(wanted)));
                let Some(at) = found else {
                    bail!("no line like {wanted:?} (in this order) in:\n{all}")
                };
                from += at + 1;
            }
        }
        Ok(())
    }
}

fn is_setting(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line is what the pattern says; `…` in it stands for anything.
fn fits(line: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Words as a shell takes them apart: spaces part them but inside quotes.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_lines() {
        assert!(fits("configmap/a created", "configmap/a created"));
        assert!(!fits("configmap/a created (dry run)", "configmap/a created"));
        assert!(fits("configmap/a created (dry run)", "…created…"));
        assert!(fits("a  1  b", "a…b"));
        assert!(!fits("a b c", "a…b"));
    }

    #[test]
    fn words_are_parted_as_a_shell_does() {
        assert_eq!(
            split(r#"patch cm -p '{"a": 1}' "x y""#),
            ["patch", "cm", "-p", r#"{"a": 1}"#, "x y"]
        );
        assert_eq!(split("get  ''"), ["get", ""]);
    }

    #[test]
    fn what_is_not_shown_fails() {
        let said = |out: &str| Said {
            fine: true,
            out: out.to_owned(),
            err: String::new(),
        };
        let call = call(1, "get x").unwrap();
        call.judge(&said("one\ntwo\n"), &["one".to_owned(), "two".to_owned()])
            .unwrap();
        call.judge(&said("one\ntwo\n"), &["two".to_owned(), "one".to_owned()])
            .unwrap_err();
        call.judge(&said("one"), &["(nothing)".to_owned()]).unwrap_err();
        call.judge(&said("one"), &["(not) one".to_owned()]).unwrap_err();
    }
}
