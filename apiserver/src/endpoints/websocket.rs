//! Watches and logs as WebSockets, for programs that live in a browser: a request that asks for one is answered as any
//! other, and what its stream yields becomes messages. A watch is a text message for each event, as upstream
//! (`handlers/watch.go`, `HandleWS`); a log is what `wsstream` makes of it: binary messages, or base64 in text ones.
//!
//! A browser can set no `Authorization`, so a token may come as a subprotocol. Nothing but the closing of a WebSocket is
//! listened to; what a client sends otherwise is small or ends it.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::respond::{self, Answer};
use crate::connection::Connection;
use crate::request::RequestInfo;
use crate::status::ApiError;

/// What a subprotocol begins with that is a bearer token (`authenticator/request/websocket`).
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";
/// A log's bytes as they are.
const BINARY: &str = "binary.k8s.io";
/// A log's bytes in base64.
const BASE64: &str = "base64.binary.k8s.io";
/// The longest message of a client: it has nothing to say.
const FROM_CLIENT: usize = 4 << 10;
/// A client that does not take a message for so long is given up.
const STALL: Duration = Duration::from_secs(60);
/// How often a client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a stream becomes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// A line is a text message.
    Lines,
    /// A piece is a binary message.
    Binary,
    /// A piece is a text message in base64.
    Base64,
}

/// A wish for a WebSocket, taken from the head of a request.
pub(super) struct Wish {
    upgrade: OnUpgrade,
    key: HeaderValue,
    protocols: Vec<String>,
    /// Of what is asked for: whether it is a watch or a log.
    log: bool,
}

impl Wish {
    /// The wish of a request for a watch or a log, if it has one. A token among the subprotocols becomes what it stands
    /// for, an `Authorization`.
    pub(super) fn take(request: &mut Request<Body>) -> Option<Self> {
        let headers = request.headers();
        let asks = request.version() == Version::HTTP_11
            && has_token(headers, &CONNECTION, "upgrade")
            && has_token(headers, &UPGRADE, "websocket")
            && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|v| v == "13");
        if !asks {
            return None;
        }
        let key = headers.get(SEC_WEBSOCKET_KEY)?.clone();
        let upgrade = hyper::upgrade::on(&mut *request);
        let (bearer, protocols): (Vec<_>, Vec<_>) = offered(request.headers()).partition(|p| p.starts_with(BEARER));
        if let Some(header) = authorization(&bearer)
            && !request.headers().contains_key(AUTHORIZATION)
        {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        let (parts, body) = std::mem::take(request).into_parts();
        let info = RequestInfo::of(&parts);
        *request = Request::from_parts(parts, body);
        let log = info.object().is_some_and(|o| o.subresource.as_deref() == Some("log"));
        (log || info.verb == "watch").then_some(Self {
            upgrade,
            key,
            protocols,
            log,
        })
    }

    /// Makes a WebSocket of an answer that is a stream; any other answer stays what it is.
    pub(super) fn grant(self, answer: Answer, connection: &Connection) -> Answer {
        if answer.status() != StatusCode::OK {
            return answer;
        }
        let (framing, protocol) = match self.framing(answer.headers()) {
            Ok(chosen) => chosen,
            Err(error) => return respond::failure(&error),
        };
        let (mut parts, body) = answer.into_parts();
        connection.then(converse(self.upgrade, body, framing).boxed());
        parts.status = StatusCode::SWITCHING_PROTOCOLS;
        let headers = &mut parts.headers;
        headers.remove(CONTENT_TYPE);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(self.key.as_bytes())) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = protocol.and_then(|p| HeaderValue::from_str(&p).ok()) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Answer::from_parts(parts, Body::empty())
    }

    /// How the stream is sent, and which subprotocol is agreed on.
    fn framing(&self, answer: &HeaderMap) -> Result<(Framing, Option<String>), ApiError> {
        let json = answer
            .get(CONTENT_TYPE)
            .is_some_and(|media| media.as_bytes().starts_with(b"application/json"));
        if json {
            return Ok((Framing::Lines, self.protocols.first().cloned()));
        }
        if !self.log {
            return Err(ApiError::not_acceptable("application/json"));
        }
        if self.protocols.is_empty() {
            return Ok((Framing::Binary, None));
        }
        let known = self.protocols.iter().find_map(|protocol| match protocol.as_str() {
            BINARY => Some((Framing::Binary, Some(protocol.clone()))),
            BASE64 => Some((Framing::Base64, Some(protocol.clone()))),
            _ => None,
        });
        known.ok_or_else(|| {
            let asked = self.protocols.join(" ");
            ApiError::bad_request(format!(
                "requested protocol(s) are not supported: [{asked}]; supports [{BINARY} {BASE64}]"
            ))
        })
    }
}

/// Whether a comma-separated header names a word, in any case.
fn has_token(headers: &HeaderMap, name: &http::HeaderName, word: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    values.any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(word)))
}

/// The subprotocols a client offers.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .filter(|protocol| !protocol.is_empty())
}

/// The header that a token among the subprotocols stands for.
fn authorization(bearer: &[String]) -> Option<HeaderValue> {
    let encoded = bearer.first()?.strip_prefix(BEARER)?;
    let token = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", token.as_slice()].concat()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Sends a stream as messages, until it ends or its reader goes.
async fn converse(upgrade: OnUpgrade, body: Body, framing: Framing) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a connection has not become a WebSocket"),
    };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(FROM_CLIENT))
        .max_frame_size(Some(FROM_CLIENT));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    match send_all(&mut socket, body, framing).await {
        Ok(()) => {}
        Err(error) => return tracing::debug!(%error, "a WebSocket ended with an error"),
    }
    let farewell = async {
        if socket.close(None).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
            // The end of TLS, too, is said and not only made.
            let _ = socket.get_mut().shutdown().await;
        }
    };
    // One that does not answer is closed all the same.
    let _ = timeout(FAREWELL, farewell).await;
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

async fn send_all(socket: &mut Socket, mut body: Body, framing: Framing) -> Result<(), Error> {
    let mut lines = BytesMut::new();
    match framing {
        Framing::Lines => {}
        // Upstream sends an empty message first: there is something at the other end.
        Framing::Binary => send(socket, [Message::Binary(Bytes::new())]).await?,
        Framing::Base64 => send(socket, [Message::text("")]).await?,
    }
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset();
    let mut answered = true;
    loop {
        // All three are cancel-safe: a body and a socket keep what has come, and an interval its place.
        tokio::select! {
            frame = body.frame() => {
                let Some(Ok(frame)) = frame else { return Ok(()) };
                let data = frame.into_data().unwrap_or_default();
                send(socket, messages(framing, &mut lines, data)).await?;
            }
            heard = socket.next() => match heard {
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(heard) => {
                    heard?;
                    answered = true;
                }
            },
            _ = ping.tick() => {
                if !answered {
                    return Ok(());
                }
                answered = false;
                send(socket, [Message::Ping(Bytes::new())]).await?;
            }
        }
    }
}

async fn send(socket: &mut Socket, messages: impl IntoIterator<Item = Message>) -> Result<(), Error> {
    let sending = async {
        for message in messages {
            socket.feed(message).await?;
        }
        socket.flush().await
    };
    match timeout(STALL, sending).await {
        Ok(sent) => sent,
        Err(_) => Err(Error::ConnectionClosed),
    }
}

/// The messages of a piece of a stream. `rest` is the part of a line whose end has not come.
fn messages(framing: Framing, rest: &mut BytesMut, data: Bytes) -> Vec<Message> {
    match framing {
        Framing::Binary => vec![Message::Binary(data)],
        Framing::Base64 => vec![Message::text(STANDARD.encode(&data))],
        Framing::Lines => {
            rest.extend_from_slice(&data);
            let mut lines = Vec::new();
            while let Some(end) = memchr::memchr(b'\n', rest) {
                let line = rest.split_to(end + 1).freeze();
                // What is sent is JSON, so it is text.
                lines.extend(Utf8Bytes::try_from(line).ok().map(Message::Text));
            }
            lines
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_message_however_the_pieces_come() {
        let mut rest = BytesMut::new();
        let mut sent = Vec::new();
        for piece in ["{1}\n{2", "", "}\n", "{3}\n{4}\n{5"] {
            sent.extend(messages(Framing::Lines, &mut rest, Bytes::from(piece)));
        }
        assert_eq!(sent, ["{1}\n", "{2}\n", "{3}\n", "{4}\n"].map(Message::text));
        assert_eq!(rest, "{5");
    }

    #[test]
    fn a_token_is_found_among_the_subprotocols() {
        let encoded = URL_SAFE_NO_PAD.encode("abc.def");
        let header = authorization(&[format!("{BEARER}{encoded}")]).unwrap();
        assert_eq!(header, "Bearer abc.def");
        assert_eq!(authorization(&[format!("{BEARER}!")]), None);
        assert_eq!(authorization(&[]), None);
        let line_break = URL_SAFE_NO_PAD.encode("a\r\nx: y");
        assert_eq!(authorization(&[format!("{BEARER}{line_break}")]), None);
    }
}
