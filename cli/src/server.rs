//! Requests to the API server as JSON: what is common to verbs that work on any kind. A thin layer over
//! `kube::Client`, which has the connection, TLS and credentials.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde_json::Value;

use crate::printer::text::{self, Sgr};

/// Objects as they are.
pub(crate) const JSON: &str = "application/json";
/// Objects as the rows of a table, where the server can.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// RFC 7386.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// The longest line of a stream that is read: an object is at most 3 MiB.
const MAX_LINE: usize = 16 << 20;

/// The API server.
#[derive(Clone)]
pub(crate) struct Server {
    client: Client,
}

/// Lines of a response that goes on.
pub(crate) struct Lines {
    body: BoxStream<'static, Result<Bytes, kube::Error>>,
    buffer: BytesMut,
}

impl Server {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client, for typed access and for log following.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str, accept: &str) -> Result<Value, kube::Error> {
        self.call(request(Method::GET, path, accept, JSON, None)?).await
    }

    /// Creates.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        self.call(request(Method::POST, path, JSON, JSON, Some(body))?).await
    }

    /// Merges into what is there.
    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Result<Value, kube::Error> {
        self.call(request(Method::PATCH, path, JSON, MERGE_PATCH, Some(patch))?)
            .await
    }

    /// Deletes.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, kube::Error> {
        self.call(request(Method::DELETE, path, JSON, JSON, Some(options))?)
            .await
    }

    /// Reads a response line by line, as it comes.
    pub(crate) async fn lines(&self, path: &str, accept: &str) -> Result<Lines, kube::Error> {
        Ok(Lines {
            body: self.bytes(path, accept).await?,
            buffer: BytesMut::new(),
        })
    }

    /// Reads a response as it comes.
    pub(crate) async fn bytes(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, kube::Error>>, kube::Error> {
        let response = self.send(request(Method::GET, path, accept, JSON, None)?).await?;
        let body = response.into_body().into_data_stream();
        Ok(body
            .map(|frame| frame.map_err(|e| kube::Error::Service(Box::new(e))))
            .boxed())
    }

    async fn call(&self, request: Request<Body>) -> Result<Value, kube::Error> {
        let response = self.send(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).map_err(kube::Error::SerdeError)
    }

    async fn send(&self, request: Request<Body>) -> Result<http::Response<Body>, kube::Error> {
        let response = self.client.send(request).await?;
        warn(response.headers());
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        let status = serde_json::from_slice::<Status>(&body).unwrap_or_else(|_| {
            let words = String::from_utf8_lossy(&body[..body.len().min(1024)]).trim().to_owned();
            Status::failure(&words, "Unknown").with_code(code)
        });
        Err(kube::Error::Api(status.boxed()))
    }
}

impl Lines {
    /// The next line; none when the response ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, kube::Error> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(at + 1).freeze();
                return Ok(Some(line.slice(..at)));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(kube::Error::LinesCodecMaxLineLengthExceeded);
            }
            match self.body.next().await {
                Some(frame) => self.buffer.extend_from_slice(&frame?),
                None => return Ok(None),
            }
        }
    }
}

fn request(
    method: Method,
    path: &str,
    accept: &str,
    content: &str,
    body: Option<&Value>,
) -> Result<Request<Body>, kube::Error> {
    let builder = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept);
    let builder = builder.header(header::ACCEPT_ENCODING, "identity");
    let request = match body {
        Some(body) => {
            let bytes = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
            builder.header(header::CONTENT_TYPE, content).body(Body::from(bytes))
        }
        None => builder.body(Body::empty()),
    };
    request.map_err(kube::Error::HttpError)
}

/// Shows the server's warnings (`Warning: 299 - "text"`), each on a line of standard error.
fn warn(headers: &http::HeaderMap) {
    for value in headers.get_all(header::WARNING) {
        let words = String::from_utf8_lossy(value.as_bytes());
        let words = words
            .split_once('"')
            .map_or(words.as_ref(), |(_, rest)| rest.trim_end_matches('"'));
        eprintln!(
            "Warning: {}",
            text::clean(&words.replace("\\\"", "\"").replace("\\\\", "\\"), Sgr::Strip)
        );
    }
}
