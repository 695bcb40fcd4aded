//! The endpoints of a cluster: which one is used, and what is tried again on another.
//!
//! One endpoint is used at a time, until it fails; then the next one is. What only reads is tried again until a
//! deadline. A transaction is tried again only if it was certainly never sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Response, Status};

use super::convert::{Failure, failure};
use super::proto::kv_client::KvClient;
use super::proto::maintenance_client::MaintenanceClient;
use super::proto::watch_client::WatchClient;
use super::{Options, Tls};
use crate::{Error, Result, Revision};

/// Between two attempts, growing: short, since a member that has gone is seen at once and another one is tried.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An attempt is begun only if it has this long.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// The largest answer that is read: etcd's own clients read up to 2 GiB; what we ask for is paged well below this.
const MAX_ANSWER: usize = 512 * 1024 * 1024;

/// Pauses that double.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// The cluster.
pub(crate) struct Endpoints {
    channels: Vec<Channel>,
    active: AtomicUsize,
    timeout: Duration,
}

/// One endpoint, chosen for a request.
#[derive(Clone)]
pub(crate) struct Chosen {
    index: usize,
    channel: Channel,
}

impl Chosen {
    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(crate) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }
}

impl Endpoints {
    /// Prepares the channels; nothing is connected yet.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        if options.endpoints.is_empty() {
            return Err(Error::Invalid("etcd needs at least one endpoint".to_owned()));
        }
        let channels = options
            .endpoints
            .iter()
            .map(|name| channel(name, options))
            .collect::<Result<_>>()?;
        Ok(Self {
            channels,
            active: AtomicUsize::new(0),
            timeout: options.request_timeout,
        })
    }

    /// How long a request may take, all attempts together.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The endpoint to use now.
    pub(crate) fn choose(&self) -> Chosen {
        let index = self.active.load(Ordering::Relaxed) % self.channels.len();
        Chosen {
            index,
            channel: self.channels[index].clone(),
        }
    }

    /// This endpoint failed: the next one is used from now on, unless somebody has moved on already.
    pub(crate) fn failed(&self, chosen: &Chosen) {
        let next = (chosen.index + 1) % self.channels.len();
        let _ = self
            .active
            .compare_exchange(chosen.index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A request that may be tried as often as needed.
    pub(crate) async fn read<T, F>(&self, requested: Revision, request: impl Fn(KvClient<Channel>) -> F) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = Backoff::new();
        loop {
            let chosen = self.choose();
            // Half of what is left, so that an endpoint that does not answer leaves time for another one.
            let patience = deadline.saturating_duration_since(Instant::now()) / 2;
            let status = match tokio::time::timeout(patience, request(chosen.kv())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => match failure(status, requested) {
                    Failure::Refused(error) => return Err(error),
                    Failure::NotSent(status) | Failure::Later(status) | Failure::Unknown(status) => status,
                },
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            self.failed(&chosen);
            backoff.pause().await;
            // Not one more attempt that has no time to end: nobody would know whether it was sent.
            if deadline.saturating_duration_since(Instant::now()) < LEAST_TIME {
                return Err(unavailable(status));
            }
        }
    }

    /// A request that must not be sent twice.
    pub(crate) async fn write<T, F>(&self, request: impl Fn(KvClient<Channel>) -> F) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = Backoff::new();
        loop {
            let chosen = self.choose();
            let status = match tokio::time::timeout_at(deadline, request(chosen.kv())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => match failure(status, Revision::ZERO) {
                    Failure::Refused(error) => return Err(error),
                    Failure::NotSent(status) | Failure::Later(status) => status,
                    Failure::Unknown(status) => {
                        self.failed(&chosen);
                        return Err(Error::Ambiguous {
                            source: Box::new(status),
                        });
                    }
                },
                Err(_) => {
                    self.failed(&chosen);
                    return Err(Error::Ambiguous {
                        source: "no answer in time".into(),
                    });
                }
            };
            self.failed(&chosen);
            backoff.pause().await;
            // Not one more attempt that has no time to end: nobody would know whether it was sent.
            if deadline.saturating_duration_since(Instant::now()) < LEAST_TIME {
                return Err(unavailable(status));
            }
        }
    }
}

/// No endpoint answered.
pub(crate) fn unavailable(status: Status) -> Error {
    Error::Unavailable {
        message: "no etcd endpoint answers".to_owned(),
        source: Some(Box::new(status)),
    }
}

fn channel(name: &str, options: &Options) -> Result<Channel> {
    let invalid = |e: tonic::transport::Error| {
        let reason = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        Error::Invalid(format!("the etcd endpoint {name:?} can't be used: {reason}"))
    };
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let uri = if name.contains("://") {
        name.to_owned()
    } else {
        format!("{scheme}://{name}")
    };
    let endpoint = Endpoint::from_shared(uri)
        .map_err(invalid)?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // A peer that has silently gone is noticed while requests or watches run. Not more often and not while idle:
        // etcd closes connections that ping more (--grpc-keepalive-min-time, 5 s).
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5));
    let endpoint = match &options.tls {
        Some(tls) => endpoint.tls_config(tls_config(tls)).map_err(invalid)?,
        None => endpoint,
    };
    Ok(endpoint.connect_lazy())
}

fn tls_config(tls: &Tls) -> ClientTlsConfig {
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.ca));
    if let Some(identity) = &tls.identity {
        config = config.identity(Identity::from_pem(&identity.certificate, &identity.key));
    }
    match &tls.server_name {
        Some(name) => config.domain_name(name.clone()),
        None => config,
    }
}
