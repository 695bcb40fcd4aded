//! What keeps `bulk` from doing what was asked, and how it is said: one line on standard error, with its causes.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use breakbulk_client::logs::LogError;
use breakbulk_client::runs::RunError;

use crate::printer::text::{self, Sgr};

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed makes no sense together, or names something that is not there.
    #[error("{0}")]
    Said(String),
    /// Mistakes in manifests, already shown one by one.
    #[error("{0}")]
    Manifests(String),
    /// The server refused, or cannot be reached.
    #[error("cannot {doing}")]
    Server {
        /// What was tried, as the predicate of a sentence.
        doing: String,
        /// Why it did not work.
        #[source]
        source: Box<kube::Error>,
    },
    /// The credentials cannot be read.
    #[error("cannot read the kubeconfig {path}")]
    Kubeconfig {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard output cannot be written to.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// A log cannot be followed.
    #[error("cannot follow the log")]
    Log(#[source] LogError),
    /// A run cannot be created or waited for.
    #[error(transparent)]
    Run(RunError),
    /// A part of `bulk up` failed.
    #[error("{part}: {cause}")]
    Part {
        /// Which part.
        part: &'static str,
        /// Why, with its causes.
        cause: String,
    },
    /// The runtime cannot be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

impl Failure {
    /// A failure told in words.
    pub(crate) fn said(words: impl Into<String>) -> Self {
        Self::Said(words.into())
    }

    /// For `map_err`: the server refused to do this.
    pub(crate) fn server(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Server {
            doing,
            source: Box::new(source),
        }
    }

    /// Whether the reader of our output went away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The HTTP status code the server answered with, if it answered.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Server { source, .. } => code_of(source),
            _ => None,
        }
    }

    /// Says it on standard error.
    pub(crate) fn print(&self) {
        let words = text::clean(&chain(self), Sgr::Strip);
        eprintln!("bulk: {words}");
    }
}

/// The HTTP status code of an answer that refuses.
pub(crate) fn code_of(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// An error and its causes, in one line. A cause that the line already ends with is not said twice.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = words(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = words(error);
        if !more.is_empty() && !line.contains(&more) {
            line = format!("{line}: {more}");
        }
        // What a server said is its last word: behind it only its structure is repeated.
        cause = if is_answer(error) { None } else { error.source() };
    }
    line
}

fn is_answer(error: &(dyn Error + 'static)) -> bool {
    let boxed = error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    matches!(boxed.or_else(|| error.downcast_ref()), Some(kube::Error::Api(_)))
}

/// What one error says by itself; a server's refusal in the server's words.
fn words(error: &(dyn Error + 'static)) -> String {
    let boxed = error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    if let Some(error) = boxed.or_else(|| error.downcast_ref()) {
        return match error {
            kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
            kube::Error::Api(status) => format!("the server answered {} {}", status.code, status.reason),
            kube::Error::Service(_) | kube::Error::HyperError(_) => "the server cannot be reached".to_owned(),
            other => other.to_string(),
        };
    }
    let boxed = error
        .downcast_ref::<Box<kube::config::KubeconfigError>>()
        .map(AsRef::as_ref);
    match boxed.or_else(|| error.downcast_ref()) {
        // The path was said already.
        Some(kube::config::KubeconfigError::ReadConfig(cause, _)) => cause.to_string(),
        _ => error.to_string(),
    }
}
