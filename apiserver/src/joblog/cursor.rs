//! Cursors: places in the log of a job or a run, as a watch's `resourceVersion`.
//!
//! A job's is one decimal number that grows (attempt above, offset below), as clients of watches expect. A run's holds
//! one for each of its jobs.

use std::collections::BTreeMap;
use std::fmt;

use super::LogError;

/// Bits of an offset: 256 TiB of log in one attempt.
const OFFSET_BITS: u32 = 48;

/// A place in the log of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JobCursor {
    /// The attempt.
    pub(super) attempt: u32,
    /// The offset of the next byte.
    pub(super) offset: u64,
}

/// Places in the logs of a run's jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunCursor {
    /// By the Job's name.
    pub(super) jobs: BTreeMap<String, JobCursor>,
}

impl fmt::Display for JobCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset & ((1 << OFFSET_BITS) - 1);
        write!(f, "{}", u64::from(self.attempt) << OFFSET_BITS | offset)
    }
}

/// Reads a job's cursor.
pub(super) fn parse_job(text: &str) -> Result<JobCursor, LogError> {
    let number: u64 = text.parse().map_err(|_| LogError::Cursor(text.to_owned()))?;
    let attempt = u32::try_from(number >> OFFSET_BITS).map_err(|_| LogError::Cursor(text.to_owned()))?;
    if attempt == 0 {
        return Err(LogError::Cursor(text.to_owned()));
    }
    Ok(JobCursor {
        attempt,
        offset: number & ((1 << OFFSET_BITS) - 1),
    })
}

impl RunCursor {
    /// Reads a run's cursor.
    pub(super) fn parse(text: &str) -> Result<Self, LogError> {
        const MAX_LEN: usize = 512 * 1024;
        let wrong = || LogError::Cursor(text.chars().take(80).collect());
        if text.len() > MAX_LEN {
            return Err(wrong());
        }
        let pair = |part: &str| {
            let (job, cursor) = part.split_once(':').ok_or_else(wrong)?;
            Ok((job.to_owned(), parse_job(cursor).map_err(|_| wrong())?))
        };
        let jobs = text
            .split('.')
            .filter(|part| !part.is_empty())
            .map(pair)
            .collect::<Result<_, LogError>>()?;
        Ok(Self { jobs })
    }
}

/// `job:cursor.job:cursor`. A job's name never holds a colon; dots in it are refused where runs make names.
impl fmt::Display for RunCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (job, cursor)) in self.jobs.iter().enumerate() {
            let dot = if at > 0 { "." } else { "" };
            write!(f, "{dot}{job}:{cursor}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_grow() {
        let first = JobCursor {
            attempt: 1,
            offset: u64::from(u32::MAX) * 7,
        };
        let second = JobCursor { attempt: 2, offset: 0 };
        assert_eq!(parse_job(&first.to_string()).unwrap(), first);
        assert!(second.to_string().parse::<u64>().unwrap() > first.to_string().parse::<u64>().unwrap());
        let run = RunCursor {
            jobs: BTreeMap::from([("r-a".to_owned(), first), ("r-b".to_owned(), second)]),
        };
        assert_eq!(RunCursor::parse(&run.to_string()).unwrap(), run);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "-1", "5", "99999999999999999999999"] {
            assert!(parse_job(text).is_err(), "{text}");
        }
        for text in ["x", "a:b", "a:5", ":"] {
            assert!(RunCursor::parse(text).is_err(), "{text}");
        }
    }
}
