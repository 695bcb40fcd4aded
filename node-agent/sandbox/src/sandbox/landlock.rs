//! A second fence around files, and the only one around signals and abstract sockets: Landlock.
//!
//! It repeats for the script what the mounts say (write here, read the rest), so that a mistake in one is
//! covered by the other, and it keeps signals and abstract sockets within the job. It comes after the mounts, since
//! a process behind it cannot mount.

use std::io;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    Scope,
};

/// The newest interface whose rights are asked for; a kernel grants as many as it knows.
const NEWEST: ABI = ABI::V6;

/// Where a script may write. The mounts say where it does any good.
const WRITABLE: [&str; 6] = ["/workspace", "/tmp", "/home/ci", "/dev", "/proc", "/run/ci"];

/// Restricts this thread and all it starts, as far as the kernel goes. Needs no_new_privs.
pub(super) fn restrict() -> io::Result<()> {
    let open = |path: &str| PathFd::new(path).map_err(io::Error::other);
    let made = || -> Result<_, landlock::RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::Signal | Scope::AbstractUnixSocket)?
            .create()
    };
    let mut ruleset = made().map_err(io::Error::other)?;
    let read = AccessFs::from_read(NEWEST);
    ruleset = ruleset
        .add_rule(PathBeneath::new(open("/")?, read))
        .map_err(io::Error::other)?;
    for path in WRITABLE {
        let rule = PathBeneath::new(open(path)?, AccessFs::from_all(NEWEST));
        ruleset = ruleset.add_rule(rule).map_err(io::Error::other)?;
    }
    ruleset.restrict_self().map(drop).map_err(io::Error::other)
}
