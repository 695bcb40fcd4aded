//! The few disk operations the embedded store is made of.
//!
//! They stand behind a trait so that the crash tests can stop the world before, after and in the middle of each, fill
//! the disk up, or let an fsync fail. In production it is always [`RealDisk`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What the store asks of a disk. Every call is blocking.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that only we can read, for reading and writing; an error if it exists.
    ///
    /// # Errors
    /// What the system says.
    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    }

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// What the system says; some of it may have been written.
    fn write_at(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(data, offset)
    }

    /// Returns when everything written to the file, and its length, is on stable storage (`fdatasync`).
    ///
    /// # Errors
    /// What the system says; what was written since the last one may be lost, and asking again would not tell.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Cuts the file at `length` bytes.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Gives the file its final name, and makes that durable.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        match to.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Removes a file that is no longer needed. Needs not be durable.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// The system's disk.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {}
