//! The log store: takes the logs of attempts from node agents, keeps them, and serves them to readers.
//!
//! Bytes come in through [`ingest_service`], the protocol of `schemas/log-api`. [`LogStore`] keeps each
//! log in append-only segment files, synced by a few background threads. [`LogStore::read`] is the one
//! way out, for what is stored and what is to come; [`text`] turns it into what `kubectl logs` prints.
//!
//! What holds, whatever dies: the stored bytes of a log are a prefix of what was sent, each byte once;
//! what was acknowledged as durable is on disk; a log's end is its seal and nothing else.
//!
//! This crate knows no Kubernetes: which attempt a peer may write is [`AttemptAuthority`]'s to say.

mod appender;
mod index;
mod index_file;
mod ingest;
mod intake;
mod key;
mod log;
mod reader;
mod seal;
mod segment;
mod store;
mod sync;
pub mod text;

pub use breakbulk_log_record::Stream;
pub use ingest::{
    AttemptAuthority, Ingest, PeerIdentity, RECOMMENDED_FRAME, RECOMMENDED_WINDOW, Refusal, ingest_service,
};
pub use key::{JobUid, KeyError, LogKey, Namespace};
pub use reader::{Chunk, Content, End, ReadError, ReadItem, ReadOptions, Start};
pub use seal::Seal;
pub use store::{LogInfo, LogStore, Options};
