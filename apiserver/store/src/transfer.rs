//! Export and import: all keys of a store as JSON lines, and from one store straight into another.
//!
//! The first line says what it is, then comes one line per key (key and value as text when they are UTF-8, else as
//! hexadecimal), and the last line says how many there were, so that an export cut short is not taken for a whole one.
//! Revisions are not carried over: they belong to a store, and begin anew in another one. An import goes into an empty
//! range only, and creates every key: it never overwrites.

use std::io::{self, BufRead, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    At, Compare, Error, KeyValue, MAX_KEY_BYTES, MAX_TXN_BYTES, Op, RangeQuery, Revision, Store, Txn, TxnOutcome,
};

/// Keys read at a time.
const PAGE: usize = 1000;
/// Keys, and bytes, written at a time.
const BATCH_KEYS: usize = 100;
const BATCH_BYTES: usize = MAX_TXN_BYTES / 4;
/// No line of an export is longer: a key and a value in hexadecimal, and what is around them.
const MAX_LINE: usize = 2 * (MAX_TXN_BYTES + MAX_KEY_BYTES) + 1024;
const FORMAT: &str = "breakbulk-store-export/1";

/// Why an export or import failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A store did not do its part.
    #[error("the store could not be read or written")]
    Store(#[from] Error),
    /// The file could not be read or written.
    #[error("the export could not be read or written")]
    Io(#[from] io::Error),
    /// A line is not what an export has there. Nothing after it was imported.
    #[error("line {line} of the export: {message}")]
    Line {
        /// Counted from one.
        line: usize,
        /// What is wrong with it, and what was expected.
        message: String,
    },
    /// There is something already where the import would go. Nothing was changed.
    #[error("there are {count} keys already: an import needs an empty store")]
    NotEmpty {
        /// How many.
        count: u64,
    },
    /// Somebody else created a key while the import ran.
    #[error("the key {key:?} was created by somebody else during the import")]
    Conflict {
        /// One of the keys.
        key: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Line {
    Header { format: String, revision: u64 },
    Item { key: Text, value: Text },
    End { items: u64 },
}

/// Bytes as text where they are text, else as hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Hex { hex: String },
}

impl Text {
    fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Hex {
                hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
        }
    }

    fn into_bytes(self) -> Result<Bytes, String> {
        let hex = match self {
            Self::Utf8(text) => return Ok(text.into()),
            Self::Hex { hex } => hex,
        };
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
            .collect();
        match bytes {
            Some(bytes) if rest.is_empty() => Ok(bytes.into()),
            _ => Err("`hex` must be pairs of hexadecimal digits".to_owned()),
        }
    }
}

/// Writes all keys under a prefix (empty: all) as they are at one revision, and returns how many and which. The file
/// is not synced.
///
/// # Errors
/// When the store can't be read, or the history is compacted while it is read; when the file can't be written.
pub async fn export<W: Write + Send>(
    store: &dyn Store,
    prefix: &[u8],
    mut out: W,
) -> Result<(u64, Revision), TransferError> {
    let mut pages = Pages::new(prefix);
    let mut items = 0;
    let mut begun = false;
    while let Some(page) = pages.next(store).await? {
        if !begun {
            let header = Line::Header {
                format: FORMAT.to_owned(),
                revision: pages.revision.0,
            };
            write_line(&mut out, &header)?;
            begun = true;
        }
        items += page.len() as u64;
        for kv in page {
            write_line(
                &mut out,
                &Line::Item {
                    key: Text::new(&kv.key),
                    value: Text::new(&kv.value),
                },
            )?;
        }
    }
    write_line(&mut out, &Line::End { items })?;
    out.flush()?;
    Ok((items, pages.revision))
}

fn write_line<W: Write>(out: &mut W, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Reads what [`export`] wrote into an empty store, and returns how many keys. When it fails half-way, what was
/// imported so far stays.
///
/// # Errors
/// When the store isn't empty, a line is wrong, the end is missing, or the store or the file fails.
pub async fn import<R: BufRead + Send>(store: &dyn Store, mut from: R) -> Result<u64, TransferError> {
    require_empty(store).await?;
    let mut loader = Loader::new(store);
    let mut items = 0;
    for line in 1.. {
        let wrong = |message: String| TransferError::Line { line, message };
        match (read_line(&mut from, line)?, line) {
            (Some(Line::Header { format, .. }), 1) if format == FORMAT => {}
            (_, 1) => return Err(wrong(format!("expected a header with format {FORMAT:?}"))),
            (Some(Line::Item { key, value }), _) => {
                items += 1;
                loader
                    .add(key.into_bytes().map_err(wrong)?, value.into_bytes().map_err(wrong)?)
                    .await?;
            }
            (Some(Line::End { items: expected }), _) if expected == items => break,
            (Some(Line::End { items: expected }), _) => {
                return Err(wrong(format!("{expected} items were exported, there are {items}")));
            }
            (Some(Line::Header { .. }), _) => return Err(wrong("a second header".to_owned())),
            (None, _) => {
                return Err(wrong(
                    "the export ends without its last line: it was cut short".to_owned(),
                ));
            }
        }
    }
    loader.flush().await?;
    Ok(items)
}

/// Reads a line without ever holding more than the longest one.
fn read_line<R: BufRead>(from: &mut R, line: usize) -> Result<Option<Line>, TransferError> {
    let mut text = Vec::new();
    io::Read::take(&mut *from, MAX_LINE as u64 + 1).read_until(b'\n', &mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_LINE {
        return Err(TransferError::Line {
            line,
            message: format!("it is longer than {MAX_LINE} bytes"),
        });
    }
    // What it holds may be a secret: the message says where it is wrong, never what stands there.
    let wrong = |e: serde_json::Error| {
        let message = format!(
            "expected a header, an item or an end, it goes wrong at column {}",
            e.column()
        );
        TransferError::Line { line, message }
    };
    serde_json::from_slice(&text).map(Some).map_err(wrong)
}

/// Copies all keys of one store into another, empty one, and returns how many.
///
/// # Errors
/// When the target isn't empty, or either store fails.
pub async fn copy(from: &dyn Store, to: &dyn Store) -> Result<u64, TransferError> {
    require_empty(to).await?;
    let mut loader = Loader::new(to);
    let mut pages = Pages::new(b"");
    let mut items = 0;
    while let Some(page) = pages.next(from).await? {
        for kv in page {
            items += 1;
            loader.add(kv.key, kv.value).await?;
        }
    }
    loader.flush().await?;
    Ok(items)
}

async fn require_empty(store: &dyn Store) -> Result<(), TransferError> {
    match store.range(RangeQuery::prefix("").limit(1)).await?.count {
        0 => Ok(()),
        count => Err(TransferError::NotEmpty { count }),
    }
}

/// All keys under a prefix, page by page, of one state.
struct Pages {
    query: Option<RangeQuery>,
    revision: Revision,
}

impl Pages {
    fn new(prefix: &[u8]) -> Self {
        let query = RangeQuery::prefix(Bytes::copy_from_slice(prefix)).limit(PAGE);
        Self {
            query: Some(query),
            revision: Revision::ZERO,
        }
    }

    async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<KeyValue>>, Error> {
        let Some(query) = self.query.take() else {
            return Ok(None);
        };
        let page = store.range(query.clone()).await?;
        self.revision = page.revision;
        if page.more
            && let Some(last) = page.items.last()
        {
            self.query = Some(query.after(&last.key).at(At::Exactly(page.revision)));
        }
        Ok(Some(page.items))
    }
}

/// Creates keys, several at a time.
struct Loader<'a> {
    store: &'a dyn Store,
    txn: Txn,
    bytes: usize,
}

impl<'a> Loader<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self {
            store,
            txn: Txn::default(),
            bytes: 0,
        }
    }

    async fn add(&mut self, key: Bytes, value: Bytes) -> Result<(), TransferError> {
        let bytes = 2 * key.len() + value.len();
        if self.txn.ops.len() >= BATCH_KEYS || self.bytes + bytes > BATCH_BYTES {
            self.flush().await?;
        }
        self.bytes += bytes;
        self.txn.compares.push(Compare::Absent { key: key.clone() });
        self.txn.ops.push(Op::Put { key, value });
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), TransferError> {
        self.bytes = 0;
        let txn = std::mem::take(&mut self.txn);
        match self.store.txn(txn).await? {
            TxnOutcome::Committed { .. } => Ok(()),
            TxnOutcome::Conflict { current, .. } => {
                let key = current
                    .iter()
                    .flatten()
                    .next()
                    .map(|kv| String::from_utf8_lossy(&kv.key).into_owned());
                Err(TransferError::Conflict {
                    key: key.unwrap_or_default(),
                })
            }
        }
    }
}
