//! A node agent's side of the protocol, as plain as it can be.

use std::net::SocketAddr;

use breakbulk_log_api::log_ingest_client::LogIngestClient;
use breakbulk_log_api::node_message::Body;
use breakbulk_log_api::server_message::Body as Answer;
use breakbulk_log_api::{Append, Attempt, NodeMessage, Open, Opened, Rejected, Seal, ServerMessage};
use breakbulk_log_record::{Record, Stream, decode};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// A log that is never opened.
const MARKER: u64 = u64::MAX;

pub(crate) struct Agent {
    messages: mpsc::Sender<NodeMessage>,
    answers: Streaming<ServerMessage>,
}

impl Agent {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut client = LogIngestClient::connect(format!("http://{address}")).await.unwrap();
        let (messages, receiver) = mpsc::channel(16);
        let answers = client.ship(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        Self { messages, answers }
    }

    pub(crate) async fn send(&self, log: u64, body: Body) {
        self.messages.send(NodeMessage { log, body: Some(body) }).await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> ServerMessage {
        self.answers
            .message()
            .await
            .unwrap()
            .expect("the server ended the stream")
    }

    pub(crate) async fn open(&mut self, log: u64, uid: &str) -> Result<Opened, Rejected> {
        self.send(log, open(uid)).await;
        loop {
            match self.answer().await.body.unwrap() {
                Answer::Opened(opened) => return Ok(opened),
                Answer::Rejected(rejected) => return Err(rejected),
                Answer::Ack(_) => {}
                Answer::Sealed(_) => panic!("open was answered with a seal"),
            }
        }
    }

    /// Appends and waits until that is acknowledged as received, or refused. Acknowledgements of earlier
    /// syncs may come at any moment, so a message that is always refused marks where this append was handled.
    pub(crate) async fn append(&mut self, log: u64, records: Bytes) -> Result<u64, Rejected> {
        let end = end_of(records.clone());
        self.send(log, append(records)).await;
        self.send(MARKER, append(Bytes::new())).await;
        let (mut received, mut refused, mut handled) = (0, None, false);
        while !handled || (refused.is_none() && received < end) {
            let answer = self.answer().await;
            match answer.body.unwrap() {
                Answer::Rejected(_) if answer.log == MARKER => handled = true,
                Answer::Rejected(rejected) => refused = Some(rejected),
                Answer::Ack(ack) => received = ack.received,
                other => panic!("an append was answered with {other:?}"),
            }
        }
        refused.map_or(Ok(received), Err)
    }

    /// Waits until `offset` is durable.
    pub(crate) async fn durable(&mut self, offset: u64) {
        loop {
            match self.answer().await.body.unwrap() {
                Answer::Ack(ack) if ack.durable >= offset => return,
                Answer::Ack(_) => {}
                other => panic!("expected acknowledgements, got {other:?}"),
            }
        }
    }

    pub(crate) async fn seal(&mut self, log: u64, content: &[u8]) -> Result<(), Rejected> {
        self.send(log, seal(content.len() as u64, content)).await;
        loop {
            match self.answer().await.body.unwrap() {
                Answer::Sealed(_) => return Ok(()),
                Answer::Rejected(rejected) => return Err(rejected),
                _ => {}
            }
        }
    }
}

pub(crate) fn open(uid: &str) -> Body {
    open_with(uid, "token")
}

pub(crate) fn open_with(uid: &str, token: &str) -> Body {
    let attempt = Attempt {
        namespace: "default".into(),
        job: "job".into(),
        job_uid: uid.into(),
        number: 1,
        token: token.into(),
    };
    Body::Open(Open { attempt: Some(attempt) })
}

pub(crate) fn append(records: Bytes) -> Body {
    Body::Append(Append { records })
}

pub(crate) fn seal(length: u64, content: &[u8]) -> Body {
    Body::Seal(Seal {
        length,
        digest: Bytes::copy_from_slice(&Sha256::digest(content)),
    })
}

pub(crate) fn frames(records: &[Record]) -> Bytes {
    let mut out = BytesMut::new();
    for record in records {
        record.encode(&mut out);
    }
    out.freeze()
}

/// `content[from..to]` as one frame. Its time is its offset.
pub(crate) fn frame(content: &[u8], from: usize, to: usize) -> Bytes {
    frames(&[Record::data(
        from as u64,
        from as u64,
        Stream::Output,
        Bytes::copy_from_slice(&content[from..to]),
    )])
}

/// Where the last whole record of `records` ends.
fn end_of(mut records: Bytes) -> u64 {
    let mut end = 0;
    while let Ok(Some(record)) = decode(&mut records) {
        end = record.end();
    }
    end
}
