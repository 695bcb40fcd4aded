//! A watch as it comes over the wire: one JSON object per line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

/// How long an event may take that should come.
const PATIENCE: Duration = Duration::from_secs(60);
/// No event is larger: an object has at most 3 MiB.
const LONGEST: usize = 8 << 20;

/// A watch that is open.
pub struct Watch {
    lines: BoxStream<'static, Result<String>>,
    path: String,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub kind: String,
    /// The object, or the Status.
    pub object: Value,
}

impl Event {
    /// The object's name.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

impl Watch {
    pub(crate) async fn open(client: &Client, path: &str) -> Result<Self> {
        let join = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{join}watch=true");
        let request = Request::get(&path)
            .header("accept", "application/json")
            .body(Body::empty());
        let answer = client
            .send(request.context("a bad request")?)
            .await
            .with_context(|| format!("no answer to {path}"))?;
        if !answer.status().is_success() {
            let (head, body) = answer.into_parts();
            let bytes = body.collect().await?.to_bytes();
            bail!(
                "watch {path} was refused with {}: {}",
                head.status,
                String::from_utf8_lossy(&bytes)
            );
        }
        let bytes = answer.into_body().into_data_stream().map_err(std::io::Error::other);
        let lines = FramedRead::new(
            StreamReader::new(bytes.boxed()),
            LinesCodec::new_with_max_length(LONGEST),
        );
        Ok(Self {
            lines: lines.map_err(anyhow::Error::from).boxed(),
            path,
        })
    }

    /// The next event; none where the stream ends.
    ///
    /// # Errors
    /// When none comes for long, or something that is no event.
    pub async fn try_next(&mut self) -> Result<Option<Event>> {
        let next = tokio::time::timeout(PATIENCE, self.lines.next());
        let Some(line) = next.await.with_context(|| format!("nothing came from {}", self.path))? else {
            return Ok(None);
        };
        let line = line?;
        let event: Value = serde_json::from_str(&line).with_context(|| format!("no event: {line}"))?;
        let kind = event["type"]
            .as_str()
            .with_context(|| format!("an event without type: {line}"))?
            .to_owned();
        Ok(Some(Event {
            kind,
            object: event["object"].clone(),
        }))
    }

    /// The next event.
    ///
    /// # Errors
    /// When none comes.
    pub async fn next(&mut self) -> Result<Event> {
        self.try_next().await?.with_context(|| format!("{} ended", self.path))
    }

    /// The next event, which is of this type and about an object of this name.
    ///
    /// # Errors
    /// When it is another.
    pub async fn expect(&mut self, kind: &str, name: &str) -> Result<Value> {
        let event = self.next().await?;
        if event.kind != kind || event.name() != name {
            bail!("expected {kind} of {name} from {}, got {event:?}", self.path);
        }
        Ok(event.object)
    }

    /// The next event that is of this type and about an object of this name; others before it are left out.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn skip_to(&mut self, kind: &str, name: &str) -> Result<Value> {
        loop {
            let event = self.next().await?;
            if event.kind == kind && event.name() == name {
                return Ok(event.object);
            }
            if event.kind == "ERROR" {
                bail!("{} ended with {}", self.path, event.object);
            }
        }
    }
}
