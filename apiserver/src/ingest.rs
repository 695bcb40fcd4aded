//! The way in for logs: the gRPC service of `breakbulk-logs`, on the same port and behind the same certificates as
//! everything else. Who may ship which log is [`JobAuthority`]'s to say.

use std::convert::Infallible;

use axum::body::Body;
use breakbulk_log_api::log_ingest_server::LogIngestServer;
use breakbulk_logs::{Ingest, PeerIdentity};
use http::{Request, Response};
use tower::Service as _;

use crate::authentication::{Identity, MASTERS};
use crate::joblog::JobAuthority;

/// Paths of the service begin so.
const PATH: &str = "/breakbulk.log.v1.LogIngest/";
/// The largest message: some records of a log.
const MAX_MESSAGE: usize = 16 << 20;

/// The service.
pub type LogService = LogIngestServer<Ingest<JobAuthority>>;

/// Whether a request is for the service.
pub fn is_ingest(path: &str) -> bool {
    path.starts_with(PATH)
}

/// Bounds the messages it takes.
pub fn bounded(service: LogService) -> LogService {
    service.max_decoding_message_size(MAX_MESSAGE)
}

/// Hands a request to the service. Nodes ship logs, and administrators may.
pub async fn handle(mut service: LogService, identity: &Identity, mut request: Request<Body>) -> Response<Body> {
    if identity.node().is_none() && !identity.is_in(MASTERS) {
        return tonic::Status::permission_denied("only nodes ship logs").into_http();
    }
    let peer = PeerIdentity {
        user: identity.user.clone(),
        groups: identity.groups.clone(),
    };
    request.extensions_mut().insert(peer);
    let answered: Result<_, Infallible> = service.call(request).await;
    match answered {
        Ok(answer) => answer.map(Body::new),
        Err(never) => match never {},
    }
}
