//! A log server on a loopback port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use breakbulk_log_api::Attempt;
use breakbulk_logs::{AttemptAuthority, LogKey, LogStore, Options, PeerIdentity, Refusal, ingest_service};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::service::interceptor::InterceptedService;

/// Knows every attempt; the claim's token is always `token`.
struct Claims;

#[async_trait]
impl AttemptAuthority for Claims {
    async fn check(&self, attempt: &Attempt, peer: &PeerIdentity) -> Result<LogKey, Refusal> {
        if attempt.token != "token" || peer.user != "system:node:test" {
            return Err(Refusal::Fenced("another agent holds the claim".into()));
        }
        LogKey::new(&attempt.namespace, &attempt.job_uid, attempt.number)
            .map_err(|error| Refusal::Fenced(error.to_string()))
    }
}

pub(crate) struct Server {
    pub(crate) store: LogStore,
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(directory: &Path, options: Options) -> Self {
        let store = LogStore::open(directory, options).unwrap();
        let shutdown = CancellationToken::new();
        let service = ingest_service(store.clone(), Arc::new(Claims), shutdown.clone());
        let service = InterceptedService::new(service, |mut request: Request<()>| {
            let peer = PeerIdentity {
                user: "system:node:test".into(),
                groups: vec!["system:nodes".into()],
            };
            request.extensions_mut().insert(peer);
            Ok(request)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let end = shutdown.clone();
        let task = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), end.cancelled())
                .await
                .unwrap();
        });
        Self {
            store,
            address,
            shutdown,
            task,
        }
    }

    /// Ends the server in order: everything is synced afterwards.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
        self.store.close().await;
    }
}

/// Small segments, so that tests see them roll; short windows, so that tests are short.
pub(crate) fn small() -> Options {
    Options {
        segment_bytes: 300,
        sync_window: std::time::Duration::from_millis(1),
        ..Options::default()
    }
}

pub(crate) fn key(uid: &str) -> LogKey {
    LogKey::new("default", uid, 1).unwrap()
}
