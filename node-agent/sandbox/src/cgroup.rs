//! Limits for a job as a whole, by control groups: version 2, version 1, or both side by side.
//!
//! A job gets one group per hierarchy that has a controller it needs. A host without a controller, or one that
//! does not let us use it, is told apart ([`Groups::missing`]) and not an error here.
//!
//! Groups are made below the shim's own by default, or where the agent says. Version 2 allows no
//! processes in a group that hands controllers on, so an agent there keeps itself in a group of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::layer::Layer;
use crate::spec::Limits;

/// Scheduling periods over which a share of the processors is measured, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// A controller we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    fn layer(self) -> Layer {
        match self {
            Self::Memory => Layer::MemoryLimit,
            Self::Pids => Layer::PidsLimit,
            Self::Cpu => Layer::CpuLimit,
        }
    }
}

/// A mounted hierarchy, and where in it we are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    mount: PathBuf,
    /// Our own group, below `mount`.
    own: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The groups of one job.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    made: Vec<Made>,
    /// Limits that were asked for and cannot be had here.
    pub(crate) missing: BTreeSet<Layer>,
}

#[derive(Debug)]
struct Made {
    version: Version,
    path: PathBuf,
    memory: bool,
}

impl Groups {
    /// Makes the groups for `limits`, named `name` below `parent`.
    ///
    /// # Errors
    /// When a limit's value is refused by a controller that is there.
    pub(crate) fn make(name: &str, parent: Option<&Path>, limits: &Limits) -> io::Result<Self> {
        let mut groups = Self::default();
        let wanted = [
            (Controller::Memory, limits.memory_bytes),
            (Controller::Pids, limits.pids),
            (Controller::Cpu, limits.cpu_millis),
        ];
        if wanted.iter().all(|(_, limit)| limit.is_none()) {
            return Ok(groups);
        }
        let place = Place::find()?;
        for (controller, limit) in wanted {
            let Some(limit) = limit else { continue };
            let Some(hierarchy) = place.hierarchy(controller) else {
                groups.missing.insert(controller.layer());
                continue;
            };
            match groups.group(&hierarchy, controller, parent, name) {
                Ok(group) => set_limit(&group, hierarchy.version, controller, limit)?,
                Err(_) => drop(groups.missing.insert(controller.layer())),
            }
        }
        Ok(groups)
    }

    /// The job's group in a hierarchy, made if it is not there yet, with the controller at hand.
    fn group(
        &mut self,
        hierarchy: &Hierarchy,
        controller: Controller,
        parent: Option<&Path>,
        name: &str,
    ) -> io::Result<PathBuf> {
        let above = match parent {
            // An absolute one counts from the top of the hierarchy.
            Some(parent) if parent.is_absolute() => hierarchy.mount.join(parent.strip_prefix("/").unwrap_or(parent)),
            Some(parent) => hierarchy.own.join(parent),
            None => hierarchy.own.clone(),
        };
        let path = above.join(name);
        let memory = controller == Controller::Memory;
        if let Some(made) = self.made.iter_mut().find(|made| made.path == path) {
            made.memory |= memory;
        } else {
            fs::create_dir_all(&above)?;
            match fs::create_dir(&path) {
                // Of an earlier attempt that left something: the kernel refuses to remove it while it does.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    fs::remove_dir(&path)?;
                    fs::create_dir(&path)?;
                }
                created => created?,
            }
            self.made.push(Made {
                version: hierarchy.version,
                path: path.clone(),
                memory,
            });
        }
        if hierarchy.version == Version::Two {
            let handed_on = above.join("cgroup.subtree_control");
            let known = fs::read_to_string(&handed_on)?;
            if !known.split_ascii_whitespace().any(|c| c == controller.name()) {
                fs::write(&handed_on, format!("+{}", controller.name()))?;
            }
        }
        Ok(path)
    }

    /// The group of version 2, for a process that is to be born in it.
    pub(crate) fn birth(&self) -> io::Result<Option<OwnedFd>> {
        let two = self.made.iter().find(|made| made.version == Version::Two);
        two.map(|made| Ok(fs::File::open(&made.path)?.into())).transpose()
    }

    /// Moves a process into the groups of version 1.
    pub(crate) fn enter(&self, pid: i32) -> io::Result<()> {
        for made in self.made.iter().filter(|made| made.version == Version::One) {
            fs::write(made.path.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// How many processes of the job the kernel killed because its memory was used up.
    pub(crate) fn killed_for_memory(&self) -> u64 {
        let Some(made) = self.made.iter().find(|made| made.memory) else {
            return 0;
        };
        let file = match made.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(made.path.join(file)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Removes the groups. What is refused for a second is given up: `false`.
    pub(crate) fn remove(&self) -> bool {
        self.made.iter().all(|made| {
            // A process that was waited for may still be on its way out of its group.
            for _ in 0..200 {
                match fs::remove_dir(&made.path) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    removed => return removed.is_ok(),
                }
            }
            false
        })
    }
}

fn set_limit(group: &Path, version: Version, controller: Controller, limit: u64) -> io::Result<()> {
    let set = |file: &str, value: String| {
        fs::write(group.join(file), &value)
            .map_err(|error| io::Error::new(error.kind(), format!("{file} = {value}: {error}")))
    };
    match (controller, version) {
        (Controller::Pids, _) => set("pids.max", limit.to_string()),
        (Controller::Memory, Version::Two) => {
            set("memory.max", limit.to_string())?;
            // Without swap, since the limit would only move the trouble; some kernels have no swap at all.
            let _ = set("memory.swap.max", "0".to_owned());
            set("memory.oom.group", "1".to_owned())
        }
        (Controller::Memory, Version::One) => {
            set("memory.limit_in_bytes", limit.to_string())?;
            let _ = set("memory.memsw.limit_in_bytes", limit.to_string());
            Ok(())
        }
        (Controller::Cpu, version) => {
            let quota = (limit * CPU_PERIOD / 1000).max(1000);
            match version {
                Version::Two => set("cpu.max", format!("{quota} {CPU_PERIOD}")),
                Version::One => {
                    set("cpu.cfs_period_us", CPU_PERIOD.to_string())?;
                    set("cpu.cfs_quota_us", quota.to_string())
                }
            }
        }
    }
}

/// Where this process stands, in all hierarchies: `/proc/self/cgroup` against `/proc/self/mountinfo`.
struct Place {
    own: String,
    mounts: String,
}

impl Place {
    fn find() -> io::Result<Self> {
        Ok(Self {
            own: fs::read_to_string("/proc/self/cgroup")?,
            mounts: fs::read_to_string("/proc/self/mountinfo")?,
        })
    }

    /// The hierarchy that has the controller; version 1 takes it away from version 2.
    fn hierarchy(&self, controller: Controller) -> Option<Hierarchy> {
        let name = controller.name();
        for line in self.own.lines() {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, own) = (fields.next()?, fields.next()?, fields.next()?);
            if controllers.split(',').any(|c| c == name) {
                return self.mounted(Version::One, own, |options| options.split(',').any(|o| o == name));
            }
        }
        let own = self.own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let hierarchy = self.mounted(Version::Two, own, |_| true)?;
        let there = fs::read_to_string(hierarchy.own.join("cgroup.controllers")).ok()?;
        there.split_ascii_whitespace().any(|c| c == name).then_some(hierarchy)
    }

    fn mounted(&self, version: Version, own: &str, matches: impl Fn(&str) -> bool) -> Option<Hierarchy> {
        let kind = match version {
            Version::One => "cgroup",
            Version::Two => "cgroup2",
        };
        self.mounts.lines().find_map(|line| {
            // "… root mountpoint options optional… - type source superoptions"
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let (found, _, options) = (after.next()?, after.next()?, after.next()?);
            let mut before = before.split(' ').skip(3);
            let (root, mount) = (before.next()?, PathBuf::from(before.next()?));
            if found != kind || !matches(options) {
                return None;
            }
            // Of a part of the hierarchy that is mounted, only what is below is reachable.
            let below = Path::new(own).strip_prefix(root).unwrap_or(Path::new(""));
            Some(Hierarchy {
                version,
                own: mount.join(below),
                mount,
            })
        })
    }
}

/// Which limits this host lets us set, found out by setting them on a group that is removed again.
pub(crate) fn probe(parent: Option<&Path>) -> BTreeSet<Layer> {
    let limits = Limits {
        memory_bytes: Some(1 << 30),
        pids: Some(1000),
        cpu_millis: Some(1000),
        ..Limits::default()
    };
    let all = BTreeSet::from([Layer::MemoryLimit, Layer::PidsLimit, Layer::CpuLimit]);
    match Groups::make(&format!("probe-{}", std::process::id()), parent, &limits) {
        Ok(groups) => {
            groups.remove();
            all.difference(&groups.missing).copied().collect()
        }
        Err(_) => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_hybrid_layout_is_found_per_controller() {
        let place = Place {
            own: "8:pids:/\n4:memory:/a/b\n3:cpu,cpuacct:/x\n0::/u\n".to_owned(),
            mounts: "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
                     31 25 0:27 /a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                     32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                .to_owned(),
        };
        let found = place.hierarchy(Controller::Memory).unwrap();
        assert_eq!(
            (found.version, found.own),
            (Version::One, PathBuf::from("/sys/fs/cgroup/memory/b"))
        );
        let found = place.hierarchy(Controller::Cpu).unwrap();
        assert_eq!(found.own, PathBuf::from("/sys/fs/cgroup/cpu/x"));
        assert_eq!(place.hierarchy(Controller::Pids), None, "its hierarchy is not mounted");
    }
}
