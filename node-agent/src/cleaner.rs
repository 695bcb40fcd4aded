//! Removes what attempts leave behind, in the background: everything in `trash/`, whoever put it there and when.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use breakbulk_sandbox::remove_workspace;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;

/// What could not be removed is tried again after this long.
const AGAIN: Duration = Duration::from_secs(60);

/// Puts things into the trash, and has it emptied.
#[derive(Clone, Debug)]
pub(crate) struct Cleaner {
    journal: Arc<Journal>,
    bell: Arc<Notify>,
}

impl Cleaner {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self {
            journal,
            bell: Arc::default(),
        }
    }

    /// Takes a path out of the way at once; it is removed later, by this agent or the next.
    pub(crate) fn discard(&self, path: &Path) {
        match self.journal.discard(path) {
            Ok(Some(_)) => self.bell.notify_one(),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, source = ?std::error::Error::source(&error), "cannot clean up"),
        }
    }

    /// Empties the trash whenever there is something in it, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            let journal = Arc::clone(&self.journal);
            let emptied = tokio::task::spawn_blocking(move || empty(&journal))
                .await
                .unwrap_or(false);
            let wait = async {
                if emptied {
                    self.bell.notified().await;
                } else {
                    tokio::time::sleep(AGAIN).await;
                }
            };
            if shutdown.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }
}

/// Whether everything could be removed.
fn empty(journal: &Journal) -> bool {
    let trash = match journal.scan_trash() {
        Ok(trash) => trash,
        Err(error) => {
            tracing::error!(%error, "cannot list the trash");
            return false;
        }
    };
    let mut all = true;
    for path in trash {
        if let Err(error) = remove_workspace(&path) {
            tracing::warn!(path = %path.display(), source = %error.source, "cannot remove a workspace yet");
            all = false;
        }
    }
    all
}
