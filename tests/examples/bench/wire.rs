//! A client as thin as can be: HTTP on one TLS connection, nothing decoded. What is measured is the server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt as _;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A body that is there.
pub(crate) type Sent = Full<Bytes>;
/// What a client may be sent on one stream before it has read it: more than any answer here, so that nobody waits.
const WINDOW: u32 = 64 << 20;

/// Where the server is, and who we are.
#[derive(Clone)]
pub(crate) struct Wire {
    config: rustls::ClientConfig,
    address: String,
}

/// A connection that takes one request at a time.
pub(crate) struct Line {
    sender: http1::SendRequest<Sent>,
    address: String,
}

/// A connection that takes many.
#[derive(Clone)]
pub(crate) struct Lines {
    sender: http2::SendRequest<Sent>,
    address: String,
}

impl Wire {
    /// From the administrator's kubeconfig.
    pub(crate) async fn open(kubeconfig: &Path, address: String) -> Result<Self> {
        let config = breakbulk_client::Connection::file(kubeconfig).config().await?;
        let config = config.rustls_client_config().context("no TLS")?;
        Ok(Self { config, address })
    }

    /// To a server that is trusted already.
    pub(crate) fn to(config: rustls::ClientConfig, address: String) -> Self {
        Self { config, address }
    }

    async fn tls(&self, protocol: &str) -> Result<TokioIo<TlsStream<TcpStream>>> {
        let socket = TcpStream::connect(&self.address).await.context("cannot connect")?;
        socket.set_nodelay(true).context("cannot set an option")?;
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let host = self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).context("not a name")?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        Ok(TokioIo::new(connector.connect(name, socket).await.context("no TLS")?))
    }

    /// A connection of HTTP/1.1.
    pub(crate) async fn line(&self) -> Result<Line> {
        let (sender, connection) = http1::handshake(self.tls("http/1.1").await?).await?;
        tokio::spawn(connection);
        let address = self.address.clone();
        Ok(Line { sender, address })
    }

    /// A connection of HTTP/2.
    pub(crate) async fn lines(&self) -> Result<Lines> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(self.tls("h2").await?).await?;
        tokio::spawn(connection);
        let address = self.address.clone();
        Ok(Lines { sender, address })
    }
}

/// A request; `body` is JSON.
fn request(address: &str, method: &str, path: &str, body: Bytes) -> Result<Request<Sent>> {
    let media = if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    Request::builder()
        .method(method)
        .uri(format!("https://{address}{path}"))
        .header("host", address)
        .header("content-type", media)
        .body(Full::new(body))
        .context("a bad request")
}

async fn well(answer: Response<Incoming>) -> Result<Response<Incoming>> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let said = answer.into_body().collect().await?.to_bytes();
    anyhow::bail!("{status}: {}", String::from_utf8_lossy(&said));
}

impl Line {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Result<Bytes> {
        self.sender.ready().await?;
        let sent = self
            .sender
            .send_request(request(&self.address, method, path, body.into())?);
        let answer = well(sent.await?).await?;
        Ok(answer.into_body().collect().await?.to_bytes())
    }

    /// The same, but the answer is only counted.
    pub(crate) async fn count(&mut self, path: &str) -> Result<usize> {
        self.sender.ready().await?;
        let sent = self
            .sender
            .send_request(request(&self.address, "GET", path, Bytes::new())?);
        let mut body = well(sent.await?).await?.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        ensure!(bytes > 0, "an empty answer");
        Ok(bytes)
    }
}

impl Lines {
    /// Sends a request; the body of its answer.
    pub(crate) async fn open(&mut self, path: &str) -> Result<Incoming> {
        self.sender.ready().await?;
        let sent = self
            .sender
            .send_request(request(&self.address, "GET", path, Bytes::new())?);
        Ok(well(sent.await?).await?.into_body())
    }
}
