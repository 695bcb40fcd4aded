//! Between etcd's messages and the store's words, and from etcd's errors to ours.

use std::error::Error as StdError;

use bytes::Bytes;
use tonic::{Code, ConnectError, Status};

use super::proto;
use crate::{Compare, Error, Event, EventKind, KeyValue, Op, Revision, Txn};

/// A revision as etcd writes it.
pub(crate) fn to_wire(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// A revision that etcd wrote.
pub(crate) fn from_wire(revision: i64) -> Revision {
    Revision(u64::try_from(revision).unwrap_or(0))
}

pub(crate) fn header_revision(header: Option<&proto::ResponseHeader>) -> Revision {
    from_wire(header.map_or(0, |header| header.revision))
}

/// The end of a range as etcd writes it: a zero byte is "to the last key", nothing is "this key only".
pub(crate) fn range_end(end: &[u8]) -> Vec<u8> {
    if end.is_empty() { vec![0] } else { end.to_vec() }
}

/// The start of a range as etcd writes it: it does not know an empty key.
pub(crate) fn range_start(start: &[u8]) -> Vec<u8> {
    if start.is_empty() { vec![0] } else { start.to_vec() }
}

pub(crate) fn key_value(kv: proto::KeyValue) -> KeyValue {
    KeyValue {
        key: Bytes::from(kv.key),
        value: Bytes::from(kv.value),
        create_revision: from_wire(kv.create_revision),
        mod_revision: from_wire(kv.mod_revision),
    }
}

pub(crate) fn event(event: proto::Event) -> Option<Event> {
    let kind = match event.r#type() {
        proto::event::EventType::Put => EventKind::Put,
        proto::event::EventType::Delete => EventKind::Delete,
    };
    Some(Event {
        kind,
        kv: key_value(event.kv?),
    })
}

pub(crate) fn txn_request(txn: Txn) -> proto::TxnRequest {
    let failure = txn.compares.iter().map(|compare| get_op(compare.key())).collect();
    proto::TxnRequest {
        compare: txn.compares.iter().map(compare).collect(),
        success: txn.ops.into_iter().map(op).collect(),
        failure,
    }
}

fn compare(compare: &Compare) -> proto::Compare {
    proto::Compare {
        result: proto::compare::CompareResult::Equal.into(),
        target: proto::compare::CompareTarget::Mod.into(),
        key: compare.key().clone(),
        target_union: Some(proto::compare::TargetUnion::ModRevision(to_wire(compare.expected()))),
    }
}

fn op(op: Op) -> proto::RequestOp {
    use proto::request_op::Request;
    let request = match op {
        Op::Put { key, value } => Request::RequestPut(proto::PutRequest { key, value }),
        Op::Delete { key } => Request::RequestDeleteRange(proto::DeleteRangeRequest { key }),
    };
    proto::RequestOp { request: Some(request) }
}

fn get_op(key: &[u8]) -> proto::RequestOp {
    let range = proto::RangeRequest {
        key: key.to_vec(),
        ..Default::default()
    };
    proto::RequestOp {
        request: Some(proto::request_op::Request::RequestRange(range)),
    }
}

/// What a response to a get inside a transaction found.
pub(crate) fn found(response: proto::ResponseOp) -> Option<KeyValue> {
    match response.response? {
        proto::response_op::Response::ResponseRange(range) => range.kvs.into_iter().next().map(key_value),
        _ => None,
    }
}

/// What an error of a request means.
pub(crate) enum Failure {
    /// The request was never sent.
    NotSent(Status),
    /// It was refused: it had no effect, and trying again has the same outcome.
    Refused(Error),
    /// It had no effect, but may have another time.
    Later(Status),
    /// Who knows; for what only reads, try again.
    Unknown(Status),
}

/// Sorts an error. `requested` is the revision that was asked for, if one was.
pub(crate) fn failure(status: Status, requested: Revision) -> Failure {
    if was_not_sent(&status) {
        return Failure::NotSent(status);
    }
    let message = status.message();
    match status.code() {
        // "etcdserver: mvcc: required revision has been compacted" / "… is a future revision"
        Code::OutOfRange if message.contains("compacted") => Failure::Refused(Error::Compacted {
            requested,
            oldest: Revision::ZERO,
        }),
        Code::OutOfRange if message.contains("future") => Failure::Refused(Error::Future {
            requested,
            current: Revision::ZERO,
        }),
        // "etcdserver: mvcc: database space exceeded"
        Code::ResourceExhausted if message.contains("space exceeded") => Failure::Refused(Error::ReadOnly {
            source: Some(Box::new(status)),
        }),
        Code::ResourceExhausted => Failure::Later(status),
        Code::InvalidArgument => Failure::Refused(Error::Invalid(format!("etcd refused the request: {message}"))),
        Code::OutOfRange
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => Failure::Refused(Error::Protocol {
            message: format!("{:?}: {message}", status.code()),
        }),
        _ => Failure::Unknown(status),
    }
}

/// The connection could not be made, so nothing went over it.
fn was_not_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
