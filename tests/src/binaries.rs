//! Where the binaries under test are: beside the test's own, or where `BREAKBULK_BIN_DIR` says.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// The file of a binary of ours.
///
/// # Errors
/// When it was not built.
pub fn find(name: &str) -> Result<PathBuf> {
    let directory = directory()?;
    let file = directory.join(name);
    if !file.is_file() {
        bail!(
            "{} was not built: run `cargo build` first, or the tests by `cargo xtask test`",
            file.display()
        );
    }
    Ok(file)
}

/// The directory of our binaries.
///
/// # Errors
/// When this program does not know its own file.
pub fn directory() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("BREAKBULK_BIN_DIR") {
        return Ok(PathBuf::from(directory));
    }
    // target/<profile>/deps/<test> or target/<profile>/examples/<bench>
    let own = std::env::current_exe().context("this program does not know its own file")?;
    let profile = own
        .ancestors()
        .nth(2)
        .context("this program is not in a target directory")?;
    Ok(profile.to_path_buf())
}
