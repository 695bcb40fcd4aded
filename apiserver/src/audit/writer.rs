//! The writer of the audit log: a thread that owns the file, fed by a bounded queue. A request only ever tries to put its
//! event there; with the queue full the event is dropped and counted (`apiserver_audit_error_total`), as upstream's batch
//! mode does. A log that holds requests up would turn a full disk into an outage.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Sink;
use super::event::Event;
use crate::health::{Health, Outcome};
use crate::metrics::Metrics;

/// Events that may wait, and the bytes they may keep: some seconds of a busy server.
const QUEUE: usize = 10_000;
const QUEUE_BYTES: usize = 64 << 20;

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// Its file.
    #[error("cannot open the audit log {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its thread.
    #[error("cannot start the writer of the audit log")]
    Thread(#[source] io::Error),
}

enum Message {
    Event(Box<Event>),
    Close,
}

/// The way to the file.
pub(super) struct Writer {
    sender: SyncSender<Message>,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(sink: &Sink, metrics: Arc<Metrics>, health: Arc<Health>) -> Result<Self, WriterError> {
        let target = Target::open(sink)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            target,
            waiting: waiting.clone(),
            metrics: metrics.clone(),
            health,
            troubled: false,
        };
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread
            .spawn(move || worker.run(&receiver))
            .map_err(WriterError::Thread)?;
        Ok(Self {
            sender,
            waiting,
            metrics,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands an event over, if there is room.
    pub(super) fn write(&self, event: Event) {
        self.metrics.audit_event(event.level);
        let weight = event.weight();
        let before = self.waiting.fetch_add(weight, Ordering::Relaxed);
        let fits = before + weight <= QUEUE_BYTES;
        if !fits || self.sender.try_send(Message::Event(Box::new(event))).is_err() {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            self.metrics.audit_dropped();
        }
    }

    /// Waits until everything that was handed over has been written.
    pub(super) async fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let sender = self.sender.clone();
        let joined = tokio::task::spawn_blocking(move || {
            // Fails only when the thread is gone, and then there is nothing to wait for.
            let _ = sender.send(Message::Close);
            thread.join()
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the writer of the audit log did not end well");
        }
    }
}

struct Worker {
    target: Target,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    troubled: bool,
}

impl Worker {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match receiver.try_recv() {
                Ok(message) => message,
                // Nothing more for now: what has been written must be seen.
                Err(TryRecvError::Empty) => {
                    let flushed = self.target.flush();
                    self.note(&flushed);
                    match receiver.recv() {
                        Ok(message) => message,
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => break,
            };
            match message {
                Message::Event(event) => self.one(&event),
                Message::Close => break,
            }
        }
        let flushed = self.target.flush();
        self.note(&flushed);
    }

    fn one(&mut self, event: &Event) {
        self.waiting.fetch_sub(event.weight(), Ordering::Relaxed);
        let mut line = match serde_json::to_vec(event) {
            Ok(line) => line,
            Err(error) => return tracing::error!(%error, "an audit event cannot be encoded"),
        };
        line.push(b'\n');
        let written = self.target.write(&line);
        if written.is_err() {
            self.metrics.audit_dropped();
        }
        self.note(&written);
    }

    /// Tells of trouble once, and of its end.
    fn note(&mut self, result: &io::Result<()>) {
        match (result, self.troubled) {
            (Err(error), false) => tracing::error!(%error, "the audit log cannot be written"),
            (Ok(()), true) => tracing::info!("the audit log can be written again"),
            _ => {}
        }
        self.troubled = result.is_err();
        self.health
            .note_log(if self.troubled { Outcome::Failed } else { Outcome::Well });
    }
}

/// Where lines go.
enum Target {
    Stdout,
    File(Rotated),
}

/// A file that is set aside when it has grown: `audit.log`, `audit.log.1` the one before it, and so on.
struct Rotated {
    path: PathBuf,
    file: BufWriter<File>,
    size: u64,
    max_bytes: u64,
    backups: usize,
}

impl Target {
    fn open(sink: &Sink) -> Result<Self, WriterError> {
        let Sink::File {
            path,
            max_bytes,
            backups,
        } = sink
        else {
            return Ok(Self::Stdout);
        };
        let failed = |source| WriterError::Open {
            path: path.clone(),
            source,
        };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        let (file, size) = append(path).map_err(failed)?;
        Ok(Self::File(Rotated {
            path: path.clone(),
            file,
            size,
            max_bytes: *max_bytes,
            backups: *backups,
        }))
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::File(file) => file.write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().flush(),
            Self::File(file) => file.file.flush(),
        }
    }
}

/// Who did what is nobody else's business: the file is its owner's.
fn append(path: &Path) -> io::Result<(BufWriter<File>, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((BufWriter::new(file), size))
}

impl Rotated {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.size > 0 && self.size + length > self.max_bytes {
            self.rotate()?;
        }
        self.size += length;
        self.file.write_all(line)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        for number in (1..=self.backups).rev() {
            let from = if number == 1 {
                self.path.clone()
            } else {
                self.numbered(number - 1)
            };
            match std::fs::rename(&from, self.numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.backups == 0 {
            std::fs::remove_file(&self.path)?;
        }
        (self.file, self.size) = append(&self.path)?;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_grown_is_set_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/audit.log");
        let sink = Sink::File {
            path: path.clone(),
            max_bytes: 20,
            backups: 2,
        };
        let mut target = Target::open(&sink).unwrap();
        for line in ["first line\n", "second line\n", "third line\n", "fourth line\n"] {
            target.write(line.as_bytes()).unwrap();
        }
        target.flush().unwrap();
        let read = |end: &str| std::fs::read_to_string(format!("{}{end}", path.display())).unwrap();
        assert_eq!(
            (read("").as_str(), read(".1").as_str()),
            ("fourth line\n", "third line\n")
        );
        assert_eq!(read(".2"), "second line\n");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
    }

    #[test]
    fn a_log_that_exists_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        std::fs::write(&path, "old\n").unwrap();
        let sink = Sink::File {
            path: path.clone(),
            max_bytes: 1 << 20,
            backups: 1,
        };
        let mut target = Target::open(&sink).unwrap();
        target.write(b"new\n").unwrap();
        target.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\nnew\n");
    }
}
