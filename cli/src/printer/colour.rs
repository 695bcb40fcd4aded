//! Styles: a handful of SGR codes, by what they mean.

/// A style, by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// It went well.
    Good,
    /// It did not.
    Bad,
    /// It was stopped, skipped, or asks for a look.
    Notice,
    /// Beside the point.
    Dim,
    /// A heading.
    Bold,
    /// One of several.
    Nth(u8),
}

/// Colours that tell things side by side apart: readable on dark and on light, without red, which means failure.
const SIDE_BY_SIDE: [u8; 6] = [36, 33, 35, 34, 32, 96];

/// The style of the n-th of several things.
pub(crate) fn nth(n: usize) -> Style {
    Style::Nth(SIDE_BY_SIDE[n % SIDE_BY_SIDE.len()])
}

impl Style {
    pub(crate) fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Good => 32,
            Self::Bad => 31,
            Self::Notice => 33,
            Self::Dim => 2,
            Self::Bold => 1,
            Self::Nth(code) => code,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The style of a state's or a reason's word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "Succeeded" | "True" | "Ready" => Some(Self::Good),
            "Failed" | "False" | "TimedOut" | "OutOfMemory" | "SetupFailed" | "NodeLost" | "Invalid" => Some(Self::Bad),
            "Cancelled" | "Superseded" | "Warned" | "Skipped" | "Cancelling" | "Retrying" => Some(Self::Notice),
            "Waiting" | "Pending" | "Queued" | "Resolving" | "Unknown" => Some(Self::Dim),
            _ => None,
        }
    }
}
