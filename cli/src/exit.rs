//! Exit codes: part of what `bulk` promises, told in `--help` and in the documentation.

use std::process::ExitCode;

use breakbulk_client::runs::Ending;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked is done; the run or job that was followed or waited for succeeded.
    Done,
    /// The run or job that was followed or waited for failed.
    Failed,
    /// `wait` ran out of time.
    TimedOut,
    /// `bulk` could not do what was asked: refused, not found, not reachable, not understood by the server.
    Ours,
    /// The run or job was cancelled, or the follower was interrupted.
    Cancelled,
}

/// The same for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
    0   done; the run or job that was followed or waited for succeeded
    1   the run or job that was followed or waited for failed
    2   the command line was not understood
  124   `bulk wait` ran out of time
  125   bulk could not do what was asked: refused, not found or not reachable
  130   the run or job was cancelled, or following it was interrupted";

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::TimedOut => 124,
            Self::Ours => 125,
            Self::Cancelled => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Succeeded => Self::Done,
            Ending::Failed => Self::Failed,
            Ending::Cancelled => Self::Cancelled,
        }
    }
}
