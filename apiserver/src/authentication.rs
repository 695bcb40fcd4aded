//! Authentication: who a connection's client is, by its certificate. rustls has checked that one of our authority signed
//! it; here its subject is read. What somebody may do is the next stage's question.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Everything of a cluster's administration.
pub const MASTERS: &str = "system:masters";
/// All node agents.
pub const NODES: &str = "system:nodes";
/// The controllers.
pub const CONTROLLERS: &str = "system:breakbulk:controllers";
/// Before a node's name in its user name.
pub const NODE_PREFIX: &str = "system:node:";

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl Identity {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self {
            user: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
        }
    }

    /// The subject of a client certificate: its common name is the user, its organizations are the groups. Nobody, when
    /// it has no name.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return Self::anonymous();
        };
        let subject = parsed.subject();
        let Some(user) = subject.iter_common_name().next().and_then(|cn| cn.as_str().ok()) else {
            return Self::anonymous();
        };
        let groups = subject
            .iter_organization()
            .filter_map(|o| o.as_str().ok())
            .map(str::to_owned);
        let groups = groups.chain(["system:authenticated".to_owned()]).collect();
        Self {
            user: user.to_owned(),
            groups,
        }
    }

    /// Whether it belongs to a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The node whose agent this is.
    pub fn node(&self) -> Option<&str> {
        self.is_in(NODES)
            .then(|| self.user.strip_prefix(NODE_PREFIX))
            .flatten()
            .filter(|n| !n.is_empty())
    }
}
