//! Removing what a job left behind: a tree made by hostile hands.
//!
//! Everything goes through descriptors of directories, never through paths, and follows no link, so a tree
//! that somebody still changes leads nowhere else. Depth costs no stack and no descriptors: the walk moves every
//! directory it finds up to the top before it enters it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Why a tree could not be removed. What was removed by then stays removed; trying again goes on.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}", path.display())]
pub struct RemoveError {
    /// The top of the tree.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

/// Removes the tree at `path`, whatever is in it. A tree that is not there is fine.
///
/// Directories without permissions are no obstacle to their owner. This blocks for as long as it takes.
///
/// # Errors
/// When something in it cannot be removed, such as another user's files in a directory that is not ours.
pub fn remove_workspace(path: &Path) -> Result<(), RemoveError> {
    let remove = || -> io::Result<()> {
        let top = match open_dir(CWD, path) {
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(rustix::fs::unlink(path)?),
            top => top?,
        };
        empty(&top)?;
        Ok(rustix::fs::rmdir(path)?)
    };
    remove().map_err(|source| RemoveError {
        path: path.to_owned(),
        source,
    })
}

/// Opens a directory itself, not what a link points to, and makes sure that we may list and change it.
fn open_dir(parent: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // Not readable: give ourselves the permissions, by name but without following a link.
            let handle = rustix::fs::openat(parent, name, OFlags::PATH | flags, Mode::empty())?;
            let proc = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle));
            rustix::fs::chmod(proc.as_str(), Mode::RWXU)?;
            rustix::fs::openat(parent, name, flags, Mode::empty())?
        }
        opened => opened?,
    };
    rustix::fs::fchmod(&opened, Mode::RWXU)?;
    Ok(opened)
}

/// Empties a directory: files are unlinked, directories are first moved up into it, so that the walk never
/// holds more than two descriptors.
fn empty(top: &OwnedFd) -> io::Result<()> {
    let mut serial = 0u64;
    loop {
        let mut directories = Vec::new();
        let mut seen = false;
        for (name, is_dir) in entries(top)? {
            seen = true;
            if is_dir {
                directories.push(name)
            } else {
                unlink(top, &name)?
            }
        }
        if !seen {
            return Ok(());
        }
        for name in directories {
            hoist(top, &name, &mut serial)?;
        }
    }
}

/// Empties the directory `name` of `top`, moving directories in it up to `top`, and removes it.
fn hoist(top: &OwnedFd, name: &CString, serial: &mut u64) -> io::Result<()> {
    let dir = match open_dir(top.as_fd(), name.as_c_str()) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return unlink(top, name),
        dir => dir?,
    };
    for (child, is_dir) in entries(&dir)? {
        if !is_dir {
            unlink(&dir, &child)?;
            continue;
        }
        // An empty one, the common case, goes at once.
        if rustix::fs::unlinkat(&dir, child.as_c_str(), AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        // A directory we may not write to cannot be moved, since its `..` changes.
        drop(open_dir(dir.as_fd(), child.as_c_str()));
        loop {
            *serial += 1;
            let to = format!(".removed-{serial}");
            match rustix::fs::renameat_with(&dir, child.as_c_str(), top, to.as_str(), RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => break,
                moved => break moved?,
            }
        }
    }
    match rustix::fs::unlinkat(top, name.as_c_str(), AtFlags::REMOVEDIR) {
        // Somebody put something into it meanwhile: the next pass sees it.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn unlink(dir: &OwnedFd, name: &CString) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name.as_c_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A bounded number of a directory's entries, and which of them are directories.
fn entries(dir: &OwnedFd) -> io::Result<Vec<(CString, bool)>> {
    const MOST: usize = 4096;
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_dir = match entry.file_type() {
            FileType::Unknown => {
                let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(found.st_mode) == FileType::Directory
            }
            known => known == FileType::Directory,
        };
        found.push((name.to_owned(), is_dir));
        if found.len() == MOST {
            break;
        }
    }
    Ok(found)
}
