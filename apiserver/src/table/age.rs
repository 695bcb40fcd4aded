//! Ages as people read them: `45s`, `10m`, `3h20m`, `12d`. The steps are upstream's `duration.HumanDuration`.

use jiff::Timestamp;
use serde_json::Value;

/// How long ago a time is; `<invalid>` for what is no time.
pub(super) fn of(value: &Value, now: Timestamp) -> Value {
    let text = value
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map(|then| human(then, now));
    Value::String(text.unwrap_or_else(|| "<invalid>".to_owned()))
}

/// How long ago `then` is, in at most two units.
pub fn human(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |large: i64, a: &str, small: i64, b: &str| {
        if small == 0 {
            format!("{large}{a}")
        } else {
            format!("{large}{a}{small}{b}")
        }
    };
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_two_units_at_most() {
        let at = |seconds: i64| human(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        for (seconds, want) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (130, "2m10s"),
            (660, "11m"),
            (11_000, "3h3m"),
            (28_800, "8h"),
            (176_400, "2d1h"),
            (700_000, "8d"),
            (63_158_400, "2y1d"),
        ] {
            assert_eq!(at(seconds), want, "{seconds}");
        }
    }
}
