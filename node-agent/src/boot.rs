//! This boot of the machine: who it is, and how long it has lasted.

use std::time::Duration;

/// The identity of one boot. Attempts of another one are lost: nothing of them can still run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BootId(String);

impl BootId {
    /// The kernel's, or the one that was given.
    pub(crate) fn read(given: Option<&str>) -> std::io::Result<Self> {
        match given {
            Some(id) => Ok(Self(id.to_owned())),
            None => Ok(Self(
                std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
                    .trim()
                    .to_owned(),
            )),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Time since the machine started, with the time it slept: the only clock on which a deadline holds for others.
pub(crate) fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}
