//! The query of a log request: kubectl's options, and `watch`.

use breakbulk_logs::Start;
use breakbulk_logs::text::Timestamps;
use jiff::Timestamp;

/// What of a log is wanted, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Whether to wait for what is still to come.
    pub follow: bool,
    /// Where to begin.
    pub start: Start,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Whether lines begin with their time.
    pub timestamps: Timestamps,
    /// Which attempt.
    pub attempt: Which,
    /// Text or events.
    pub form: Form,
    /// Go on behind this cursor (watch events only).
    pub after: Option<String>,
}

/// Which attempt of a Job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The latest, and when following those that come after it.
    #[default]
    Latest,
    /// The one before the latest.
    Previous,
    /// This one alone.
    Number(u32),
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `text/plain`.
    #[default]
    Text,
    /// Watch events of LogChunks.
    Watch,
}

/// Which parameter is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: Invalid value: {value:?}: must be {expected}")]
pub struct QueryError {
    name: String,
    value: String,
    expected: &'static str,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self {
            follow: false,
            start: Start::Beginning,
            limit_bytes: None,
            timestamps: Timestamps::Off,
            attempt: Which::Latest,
            form: Form::Text,
            after: None,
        }
    }
}

impl LogQuery {
    /// Reads decoded parameters. Those not known here (`container`, `pretty`) are passed over.
    pub fn parse<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (name, value) in parameters {
            let wrong = |expected| QueryError {
                name: name.to_owned(),
                value: value.to_owned(),
                expected,
            };
            let whole = || value.parse::<u64>().map_err(|_| wrong("a whole number"));
            match name {
                "follow" => query.follow = flag(value).ok_or_else(|| wrong("true or false"))?,
                "watch" if flag(value).ok_or_else(|| wrong("true or false"))? => {
                    query.form = Form::Watch;
                    query.follow = true;
                }
                "timestamps" if flag(value).ok_or_else(|| wrong("true or false"))? => query.timestamps = Timestamps::On,
                "previous" if flag(value).ok_or_else(|| wrong("true or false"))? => query.attempt = Which::Previous,
                "attempt" => {
                    let number = value.parse().ok().filter(|number| *number > 0);
                    query.attempt = Which::Number(number.ok_or_else(|| wrong("an attempt's number, counted from 1"))?);
                }
                "tailLines" => query.start = Start::TailLines(whole()?),
                "limitBytes" => {
                    let limit = whole().ok().filter(|limit| *limit > 0);
                    query.limit_bytes = Some(limit.ok_or_else(|| wrong("a whole number above 0"))?);
                }
                "sinceTime" => {
                    let since: Timestamp = value
                        .parse()
                        .map_err(|_| wrong("a time such as 2026-01-31T12:00:00Z"))?;
                    query.start = since_start(query.start, since);
                }
                "sinceSeconds" => {
                    let seconds = i64::try_from(whole()?).ok().filter(|seconds| *seconds > 0);
                    let seconds = seconds.ok_or_else(|| wrong("a whole number above 0"))?;
                    let since =
                        Timestamp::from_second(now.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::MIN);
                    query.start = since_start(query.start, since);
                }
                "resourceVersion" if !value.is_empty() && value != "0" => query.after = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(query)
    }
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "" | "true" | "1" | "True" => Some(true),
        "false" | "0" | "False" => Some(false),
        _ => None,
    }
}

/// `tailLines` is the narrower wish where both are given.
fn since_start(start: Start, since: Timestamp) -> Start {
    if matches!(start, Start::TailLines(_)) {
        return start;
    }
    Start::Since(u64::try_from(since.as_nanosecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<LogQuery, QueryError> {
        LogQuery::parse(pairs.iter().copied(), "2026-01-01T00:00:10Z".parse().unwrap())
    }

    #[test]
    fn kubectls_options_are_understood() {
        let query = parse(&[
            ("follow", "true"),
            ("container", "x"),
            ("tailLines", "5"),
            ("timestamps", "1"),
            ("limitBytes", "9"),
        ]);
        let query = query.unwrap();
        assert!(query.follow && query.timestamps == Timestamps::On);
        assert_eq!(
            (query.start, query.limit_bytes, query.form),
            (Start::TailLines(5), Some(9), Form::Text)
        );
        let since = parse(&[("sinceSeconds", "10")]).unwrap().start;
        assert_eq!(since, parse(&[("sinceTime", "2026-01-01T00:00:00Z")]).unwrap().start);
        let watch = parse(&[("watch", "true"), ("resourceVersion", "7")]).unwrap();
        assert_eq!(
            (watch.form, watch.follow, watch.after.as_deref()),
            (Form::Watch, true, Some("7"))
        );
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (name, value) in [
            ("follow", "maybe"),
            ("tailLines", "-1"),
            ("limitBytes", "0"),
            ("attempt", "0"),
            ("sinceTime", "x"),
            ("sinceSeconds", "0"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(value), "{error}");
        }
    }
}
