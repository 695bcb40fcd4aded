//! Snapshots: all key-values at one revision, in one file.
//!
//! A snapshot is always of the oldest state that is still known, so that it and the log after it hold the whole
//! history, and what is before it in the log can go. It is written under a temporary name, synced and renamed: under
//! its final name it is complete, or damaged.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::frame::{self, Found};
use super::log::{FILE_HEADER, FileKind, StoreId, file_header, read_file_header};
use super::record::{self, Record};
use crate::{KeyValue, Revision};

/// Roughly how much of a snapshot is one frame, in bytes.
const FRAME_BYTES: usize = 256 * 1024;

/// The name of the snapshot of this revision.
pub(crate) fn snapshot_name(revision: Revision) -> String {
    format!("snapshot-{revision:020}.bks", revision = revision.0)
}

/// Writes a snapshot and returns its path and size when it is durable.
pub(crate) fn write(
    dir: &Path,
    store: StoreId,
    disk: &dyn Disk,
    revision: Revision,
    items: Vec<KeyValue>,
) -> io::Result<(PathBuf, u64)> {
    let path = dir.join(snapshot_name(revision));
    let temporary = path.with_extension("tmp");
    if temporary.exists() {
        // Left by an earlier try that did not come to its end.
        disk.remove(&temporary)?;
    }
    let written = write_to(&temporary, store, disk, revision, items);
    match written {
        Ok(bytes) => {
            disk.rename(&temporary, &path)?;
            Ok((path, bytes))
        }
        Err(error) => {
            let _ = disk.remove(&temporary);
            Err(error)
        }
    }
}

fn write_to(path: &Path, store: StoreId, disk: &dyn Disk, revision: Revision, items: Vec<KeyValue>) -> io::Result<u64> {
    let file = disk.create_new(path)?;
    let count = items.len() as u64;
    let mut position = 0;
    let mut out = file_header(FileKind::Snapshot, store, revision).to_vec();
    let mut payload = Vec::with_capacity(FRAME_BYTES);
    let mut flush = |payload: &mut Vec<u8>| {
        frame::encode(payload, &mut out);
        payload.clear();
        disk.write_at(&file, &out, position)?;
        position += out.len() as u64;
        out.clear();
        Ok::<_, io::Error>(())
    };
    for item in items {
        record::put(&mut payload, &Record::Item(item));
        if payload.len() >= FRAME_BYTES {
            flush(&mut payload)?;
        }
    }
    record::put(&mut payload, &Record::End { items: count });
    flush(&mut payload)?;
    disk.sync(&file)?;
    Ok(position)
}

/// What a snapshot file says, given to `each` one by one; or what is wrong with it.
pub(crate) fn read(
    bytes: &[u8],
    store: StoreId,
    expected: Revision,
    mut each: impl FnMut(KeyValue),
) -> Result<(), String> {
    let (of_store, revision) = read_file_header(FileKind::Snapshot, bytes)?;
    if of_store != store || revision != expected {
        return Err("the file belongs to another store or revision".to_owned());
    }
    let mut position = FILE_HEADER;
    let mut items = 0;
    loop {
        let Found::Frame { payload, next } = frame::at(bytes, position) else {
            return Err(format!("the bytes at {position} are not what was written"));
        };
        for record in record::decode(payload).map_err(|e| e.to_string())? {
            match record {
                Record::Item(item) => {
                    items += 1;
                    each(item);
                }
                Record::End { items: expected } if expected == items && next == bytes.len() => return Ok(()),
                _ => return Err(format!("the records at {position} do not belong into a snapshot")),
            }
        }
        position = next;
    }
}
