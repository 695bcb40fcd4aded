//! The body of a large list, made piece by piece while it is sent. What is in memory at a time is one piece and not the
//! list: a buffer of its size would be fresh memory for every list, which costs more than the copying, and as much again
//! as the objects.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};

use crate::cacher::Entry;
use crate::registry::{Body, Resource, Storage};

/// Bytes made at a time: so few that they are still in the processor's cache when they are encrypted.
pub(super) const PIECE: usize = 128 << 10;
/// What ends a list.
const END: &[u8] = b"]}";

/// What an item of a list says of its version and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Items {
    /// Both: a custom resource is the same alone and in a list.
    Named,
    /// Nothing: of Kubernetes' own kinds upstream leaves that to the list, whose clients compare what they read with what
    /// they wrote.
    Bare,
}

impl Items {
    /// Those of a resource.
    pub(super) fn of(resource: &Resource) -> Self {
        match resource.body {
            Body::Schema(_) => Self::Named,
            Body::Typed(_) | Body::Absent => Self::Bare,
        }
    }
}

/// A list that is still to be written.
pub(super) struct Pieces {
    head: String,
    entries: Vec<Arc<Entry>>,
    storage: Arc<Storage>,
    items: Items,
    /// The next to be written, counted from 0.
    next: usize,
    left: u64,
}

impl Pieces {
    /// `head` ends where the first object begins.
    pub(super) fn new(head: String, entries: Vec<Arc<Entry>>, storage: Arc<Storage>, items: Items) -> Self {
        let size = |entry: &Arc<Entry>| match items {
            Items::Named => entry.exact_size(&storage),
            Items::Bare => entry.bare_size(&storage),
        };
        let objects: usize = entries.iter().map(size).sum();
        let commas = entries.len().saturating_sub(1);
        let left = (head.len() + objects + commas + END.len()) as u64;
        Self {
            head,
            entries,
            storage,
            items,
            next: 0,
            left,
        }
    }

    /// Bytes that are not written yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The rest in one piece.
    pub(super) fn whole(mut self) -> Bytes {
        self.write(usize::MAX)
    }

    /// The next piece: at least one object, and no second one that might not fit into so many bytes.
    fn write(&mut self, room: usize) -> Bytes {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let mut out = BytesMut::with_capacity(left.min(room));
        out.put_slice(self.head.as_bytes());
        self.head = String::new();
        let begun = out.len();
        while let Some(entry) = self.entries.get(self.next) {
            if out.len() > begun && out.len() + entry.size() + END.len() + 1 > room {
                break;
            }
            if self.next > 0 {
                out.put_u8(b',');
            }
            match self.items {
                Items::Named => entry.put(&mut out, &self.storage),
                Items::Bare => entry.put_bare(&mut out, &self.storage),
            }
            self.next += 1;
        }
        if self.next == self.entries.len() {
            out.put_slice(END);
        }
        self.left = self.left.saturating_sub(out.len() as u64);
        out.freeze()
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(self.write(PIECE)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::{Registry, object};

    fn pieces(count: usize, text_bytes: usize, items: Items) -> Pieces {
        let resource = Registry::new().find("", "v1", "configmaps").unwrap();
        let entry = |index: usize| {
            let name = format!("c{index}");
            let value = serde_json::json!({"metadata": {"name": name}, "data": {"text": "x".repeat(text_bytes)}});
            let stored = object::encode(&resource.storage.header, value.as_object().unwrap());
            let revision = 10_u64.pow(u32::try_from(index % 8).unwrap());
            Arc::new(Entry::new(&resource.storage, name.into(), stored, revision))
        };
        let entries = (0..count).map(entry).collect();
        Pieces::new("{\"items\":[".to_owned(), entries, resource.storage.clone(), items)
    }

    #[tokio::test]
    async fn a_list_is_whole_and_as_long_as_it_said_in_one_piece_and_in_many() {
        let sizes = [(0, 0), (1, 10), (1, PIECE * 2), (20, 100), (100, 10_000), (3, PIECE)];
        let bare = sizes.map(|size| (size, Items::Bare));
        let named = sizes.map(|size| (size, Items::Named));
        for ((count, text_bytes), items) in bare.into_iter().chain(named) {
            let one = pieces(count, text_bytes, items);
            let many = pieces(count, text_bytes, items);
            let said = one.left();
            let whole = one.whole();
            assert_eq!(whole.len() as u64, said);
            let parsed: serde_json::Value = serde_json::from_slice(&whole).unwrap();
            let parsed = parsed["items"].as_array().unwrap();
            assert_eq!(parsed.len(), count);
            let kind = if items == Items::Named {
                json!("ConfigMap")
            } else {
                Value::Null
            };
            assert!(
                parsed
                    .iter()
                    .all(|item| item["kind"] == kind && item["metadata"]["name"].is_string())
            );
            assert_eq!(many.collect().await.unwrap().to_bytes(), whole);
        }
    }
}
