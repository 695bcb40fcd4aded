//! Where manifests come from: files, directories (their `.yaml`, `.yml` and `.json` files, by name) or standard input.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The longest manifest that is read: objects are at most 3 MiB each.
const MAX_BYTES: u64 = 64 << 20;

/// A text and what to call it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    text: String,
}

/// One document of a source, between two `---`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Lines of the source before it.
    pub(crate) lines_before: u32,
}

impl Source {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Reads what `-f` names. `-` is standard input.
    pub(crate) fn read_all(names: &[PathBuf]) -> Result<Vec<Self>, Failure> {
        let mut sources = Vec::new();
        for name in names {
            if name == Path::new("-") {
                sources.push(Self::new("<stdin>", text(io::stdin().lock(), name)?));
            } else if name.is_dir() {
                let files = manifests_in(name)?;
                if files.is_empty() {
                    return Err(Failure::said(format!(
                        "{} holds no .yaml, .yml or .json file",
                        name.display()
                    )));
                }
                for file in files {
                    sources.push(Self::read(&file)?);
                }
            } else {
                sources.push(Self::read(name)?);
            }
        }
        Ok(sources)
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let file = fs::File::open(path).map_err(|source| Failure::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::new(path.display().to_string(), text(file, path)?))
    }

    /// The documents. A line that begins with `---` separates them wherever it stands, so that a mistake in one does
    /// not hide those in the next.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let (mut start, mut first, mut position) = (0, 0u32, 0);
        for (number, line) in (0u32..).zip(self.text.split_inclusive('\n')) {
            let separates = line
                .strip_prefix("---")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
            if separates && position > start {
                pieces.push(Piece {
                    text: &self.text[start..position],
                    lines_before: first,
                });
                (start, first) = (position, number);
            }
            position += line.len();
        }
        pieces.push(Piece {
            text: &self.text[start..],
            lines_before: first,
        });
        pieces
    }

    /// A line, counted from 1.
    pub(crate) fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.text.lines().nth(index)
    }
}

fn text(from: impl io::Read, path: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::said(format!(
            "{} is larger than {} MiB",
            path.display(),
            MAX_BYTES >> 20
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .split(|b| *b == b'\n')
            .count();
        Failure::said(format!("{}:{line}: not UTF-8", path.display()))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn manifests_in(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |source| Failure::Read {
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let fits = path
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if fits && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
