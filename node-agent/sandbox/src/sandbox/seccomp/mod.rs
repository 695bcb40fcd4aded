//! Which system calls reach the kernel. The last thing before `execve`, since it forbids what the steps
//! before it need. [`policy`] says what; [`compile`] turns it into the kernel's language.

mod compile;
mod policy;

use std::collections::BTreeMap;
use std::io;

use compile::Verdict;

use crate::spec::Tracing;
use crate::sys;

/// Restricts this thread and all it starts. Needs no_new_privs.
pub(super) fn restrict(filter: &[libc::sock_filter]) -> io::Result<()> {
    sys::install_filter(filter)
}

/// The filter, ready to be installed.
pub(super) fn filter(tracing: Tracing) -> Vec<libc::sock_filter> {
    compile::compile(&verdicts(tracing), policy::OTHERWISE)
}

fn verdicts(tracing: Tracing) -> BTreeMap<u32, Verdict> {
    let mut verdicts = BTreeMap::new();
    let mut set = |number: libc::c_long, verdict: Verdict| {
        let number = u32::try_from(number).expect("system call numbers are small");
        let before = verdicts.insert(number, verdict);
        debug_assert!(before.is_none(), "system call {number} stands in two groups");
    };
    for group in policy::GROUPS.iter().chain(policy::LEGACY) {
        for number in group.calls {
            set(*number, group.verdict);
        }
    }
    for number in policy::TRACING {
        set(
            *number,
            if tracing == Tracing::Allowed {
                Verdict::Allow
            } else {
                Verdict::Errno(libc::EPERM)
            },
        );
    }
    verdicts
}
