//! The store on an etcd cluster, v3.4 or newer.
//!
//! It speaks etcd's gRPC API itself (`proto/etcd.proto`; why: `docs/decisions/0003`). The cluster may be shared: what
//! others write only makes revisions grow faster. `connection` chooses endpoints and decides what is tried again,
//! `watch` keeps watches going, `convert` translates.
//!
//! A transaction whose answer was lost is never sent again: it ends with [`Error::Ambiguous`], and the caller reads.

mod connection;
mod convert;
mod progress;
mod proto;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use connection::Endpoints;
use convert::{from_wire, header_revision, key_value, range_end, range_start, to_wire};

use crate::{
    At, Condition, Error, KeyValue, RangePage, RangeQuery, ReadsFrom, Result, Revision, Store, Txn, TxnOutcome,
    WatchStream, validate,
};

/// How many key-values are asked for at a time: at a few KiB each that is a few MiB, which etcd answers in one piece
/// without delaying others. A range without a limit is read in such pages, all of one state.
const PAGE: usize = 2000;

/// Which cluster, and how to reach it.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`, `http://host:port` or `https://host:port`, one for each member.
    pub endpoints: Vec<String>,
    /// For TLS.
    pub tls: Option<Tls>,
    /// How long a request may take, all attempts on all endpoints together.
    pub request_timeout: Duration,
}

impl Options {
    /// A cluster without TLS.
    pub fn plain(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        Self {
            endpoints,
            tls: None,
            request_timeout: Duration::from_secs(5),
        }
    }
}

/// TLS to the cluster.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificates of the authority that signed the members' certificates, PEM.
    pub ca: Vec<u8>,
    /// Who we are, if the cluster asks.
    pub identity: Option<ClientIdentity>,
    /// The name in the members' certificates, when it is not the host in the endpoint.
    pub server_name: Option<String>,
}

/// A client certificate.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate with its chain, PEM.
    pub certificate: Vec<u8>,
    /// Its private key, PEM.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

/// What requests and watches share.
pub(crate) struct Inner {
    endpoints: Endpoints,
    /// Counts requests for progress; watches wait for it to change.
    progress: tokio::sync::watch::Sender<u64>,
}

impl Inner {
    async fn range(&self, request: proto::RangeRequest) -> Result<proto::RangeResponse> {
        let requested = from_wire(request.revision);
        let request = &request;
        self.endpoints
            .read(requested, |mut kv| async move { kv.range(request.clone()).await })
            .await
    }

    /// Whether the state after `revision` is still there (and has happened).
    async fn check_reach(&self, revision: Revision) -> Result<()> {
        let request = proto::RangeRequest {
            key: vec![0],
            revision: to_wire(revision.max(Revision(1))),
            count_only: true,
            ..Default::default()
        };
        self.range(request).await.map(|_| ())
    }
}

/// The store on an etcd cluster.
#[derive(Clone)]
pub struct Etcd {
    inner: Arc<Inner>,
}

impl Etcd {
    /// Connects, and checks that the cluster answers.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that can't be used, [`Error::Unavailable`] when no endpoint answers in time.
    pub async fn connect(options: &Options) -> Result<Self> {
        let endpoints = Endpoints::new(options)?;
        let store = Self {
            inner: Arc::new(Inner {
                endpoints,
                progress: tokio::sync::watch::Sender::new(0),
            }),
        };
        store.current_revision().await?;
        Ok(store)
    }

    /// Up to one page, at the revision the request says.
    async fn page(&self, query: &RangeQuery, start: &[u8], revision: Revision, limit: usize) -> Result<RangePage> {
        if !query.end.is_empty() && *query.end <= *start {
            let revision = if revision == Revision::ZERO {
                self.current_revision().await?
            } else {
                revision
            };
            return Ok(RangePage {
                items: Vec::new(),
                more: false,
                count: 0,
                revision,
            });
        }
        let request = proto::RangeRequest {
            key: range_start(start),
            range_end: range_end(&query.end),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            revision: to_wire(revision),
            ..Default::default()
        };
        let response = self.inner.range(request).await?;
        let at = if revision == Revision::ZERO {
            header_revision(response.header.as_ref())
        } else {
            revision
        };
        Ok(RangePage {
            items: response.kvs.into_iter().map(key_value).collect(),
            more: response.more,
            count: u64::try_from(response.count).unwrap_or(0),
            revision: at,
        })
    }

    /// The whole answer to a query, read in pages of one state.
    async fn pages(&self, query: &RangeQuery, revision: Revision) -> Result<RangePage> {
        let left = |have: usize| match query.limit {
            0 => PAGE,
            limit => PAGE.min(limit - have),
        };
        let mut all = self.page(query, &query.start, revision, left(0)).await?;
        while all.more && (query.limit == 0 || all.items.len() < query.limit) {
            let Some(last) = all.items.last() else { break };
            let start = [&last.key[..], &[0]].concat();
            let next = self.page(query, &start, all.revision, left(all.items.len())).await?;
            all.items.extend(next.items);
            all.more = next.more;
        }
        Ok(all)
    }
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &[u8]) -> Result<(Option<KeyValue>, Revision)> {
        let request = proto::RangeRequest {
            key: key.to_vec(),
            ..Default::default()
        };
        let response = self.inner.range(request).await?;
        let revision = header_revision(response.header.as_ref());
        Ok((response.kvs.into_iter().next().map(key_value), revision))
    }

    fn reads_from(&self) -> ReadsFrom {
        ReadsFrom::Network
    }

    async fn range(&self, query: RangeQuery) -> Result<RangePage> {
        match query.at {
            // A new cluster is at 1, where it is empty; etcd takes 0 for "the newest".
            At::Exactly(revision) => {
                let page = self.pages(&query, revision.max(Revision(1))).await?;
                Ok(RangePage { revision, ..page })
            }
            At::Latest => match self.pages(&query, Revision::ZERO).await {
                // The state was compacted between two pages: begin again, with a newer one.
                Err(Error::Compacted { .. }) => self.pages(&query, Revision::ZERO).await,
                other => other,
            },
        }
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome> {
        validate::check(&txn)?;
        let request = &convert::txn_request(txn);
        let response = self
            .inner
            .endpoints
            .write(|mut kv| async move { kv.txn(request.clone()).await })
            .await?;
        let revision = header_revision(response.header.as_ref());
        if response.succeeded {
            return Ok(TxnOutcome::Committed { revision });
        }
        let current = response.responses.into_iter().map(convert::found).collect();
        Ok(TxnOutcome::Conflict { current, revision })
    }

    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<WatchStream> {
        watch::watch(&self.inner, prefix, from).await
    }

    async fn request_progress(&self) -> Result<()> {
        self.inner.progress.send_modify(|asked| *asked += 1);
        Ok(())
    }

    async fn compact(&self, at: Revision) -> Result<()> {
        if at == Revision::ZERO {
            return Ok(());
        }
        let request = proto::CompactionRequest { revision: to_wire(at) };
        let compacted = self
            .inner
            .endpoints
            .read(at, |mut kv| async move { kv.compact(request).await })
            .await;
        match compacted {
            // Somebody, or an earlier attempt whose answer was lost, has done it.
            Ok(_) | Err(Error::Compacted { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn check(&self) -> Result<Condition> {
        // Linearizable: a member that answers has a leader, and that a majority.
        let revision = self.current_revision().await?;
        Ok(Condition {
            revision,
            failed_snapshots: 0,
        })
    }

    async fn current_revision(&self) -> Result<Revision> {
        let request = proto::RangeRequest {
            key: vec![0],
            count_only: true,
            ..Default::default()
        };
        Ok(header_revision(self.inner.range(request).await?.header.as_ref()))
    }
}
