//! Watch streams in protobuf: each frame is its length in four bytes, big end first, and a `WatchEvent{type: 1,
//! object: RawExtension{raw: 1}}` without an envelope, whose raw bytes are an object in its envelope.

use crate::wire::Writer;

/// What happened to the object of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEventType {
    /// It is new to the watcher.
    Added,
    /// It changed.
    Modified,
    /// It is gone from what is watched.
    Deleted,
    /// Nothing but its resourceVersion is meant.
    Bookmark,
    /// It is a Status, and the stream ends.
    Error,
}

impl WatchEventType {
    /// On the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            WatchEventType::Added => "ADDED",
            WatchEventType::Modified => "MODIFIED",
            WatchEventType::Deleted => "DELETED",
            WatchEventType::Bookmark => "BOOKMARK",
            WatchEventType::Error => "ERROR",
        }
    }
}

/// A frame around an encoded object ([`crate::encode()`]), which can so be encoded once for all of its watchers.
pub fn watch_frame(event: WatchEventType, object: &[u8]) -> Vec<u8> {
    const LENGTH: usize = 4;
    let mut writer = Writer::after(&[0; LENGTH]);
    writer.bytes_field(1, event.as_str().as_bytes());
    writer.message_field(2, |writer| writer.bytes_field(1, object));
    let mut frame = writer.into_bytes();
    // An object of four gigabytes is not stored, let alone watched.
    let length = u32::try_from(frame.len() - LENGTH).unwrap_or(u32::MAX);
    frame[..LENGTH].copy_from_slice(&length.to_be_bytes());
    frame
}
