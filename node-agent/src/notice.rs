//! Tells a log's shipper that its spool may have grown: one inotify instance for all attempts. A notice is a hint;
//! who gets it looks for itself.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Room for a few hundred events; what does not fit waits in the kernel, which merges repeated ones.
const BUFFER: usize = 32 << 10;

type Listeners = Arc<Mutex<HashMap<WatchDescriptor, Arc<Notify>>>>;

/// Hands out notices.
#[derive(Clone)]
pub(crate) struct Notices {
    watches: Watches,
    listeners: Listeners,
}

/// The other half: reads the kernel's events.
pub(crate) struct NoticeReader {
    events: EventStream<Vec<u8>>,
    listeners: Listeners,
}

/// Notices about one directory, until it is dropped.
pub(crate) struct Notice {
    bell: Arc<Notify>,
    watch: WatchDescriptor,
    from: Notices,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notices")
    }
}

/// Both halves.
pub(crate) fn notices() -> io::Result<(Notices, NoticeReader)> {
    let inotify = Inotify::init()?;
    let listeners = Listeners::default();
    let notices = Notices {
        watches: inotify.watches(),
        listeners: Arc::clone(&listeners),
    };
    let events = inotify.into_event_stream(vec![0; BUFFER])?;
    Ok((notices, NoticeReader { events, listeners }))
}

impl Notices {
    /// Watches the files of `dir`.
    pub(crate) fn watch(&self, dir: &Path) -> io::Result<Notice> {
        // Adding is quick, and the entry is there before the reader could look for it: it waits for the lock.
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = self.watches.clone().add(dir, WatchMask::MODIFY | WatchMask::CREATE)?;
        let bell = Arc::new(Notify::new());
        listeners.insert(watch.clone(), Arc::clone(&bell));
        Ok(Notice {
            bell,
            watch,
            from: self.clone(),
        })
    }
}

impl Notice {
    /// Waits until something was written since the last time.
    pub(crate) async fn wait(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        let mut listeners = self.from.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.remove(&self.watch);
        // The directory may be gone already, and its watch with it.
        let _ = self.from.watches.clone().remove(self.watch.clone());
    }
}

impl NoticeReader {
    /// Reads until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        while let Some(Some(event)) = shutdown.run_until_cancelled(self.events.next()).await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    tracing::warn!(%error, "reading file notices failed");
                    continue;
                }
            };
            let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                listeners.values().for_each(|bell| bell.notify_one());
            } else if let Some(bell) = listeners.get(&event.wd) {
                bell.notify_one();
            }
        }
    }
}
