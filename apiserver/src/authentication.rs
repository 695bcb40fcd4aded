//! Authentication: who sends a request. A client certificate names its holder by its subject (rustls has checked that one
//! of our authority signed it); a bearer token is a ServiceAccount's, checked by [`Tokens`]; whoever shows neither is
//! nobody in particular. On top of that somebody may speak for somebody else ([`impersonation`]).
//!
//! What somebody may do is the next stage's question.

pub mod impersonation;
pub mod jwt;
pub mod keys;
mod service_account;
mod tokens;

use std::collections::BTreeMap;

use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use service_account::{BoundKind, BoundObject, ServiceAccountRef};
pub use tokens::{ISSUER, Issued, Order, TokenError, Tokens, Verified};

/// Everything of a cluster's administration.
pub const MASTERS: &str = "system:masters";
/// All node agents.
pub const NODES: &str = "system:nodes";
/// The controllers.
pub const CONTROLLERS: &str = "system:breakbulk:controllers";
/// Everybody who has shown who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Everybody who has not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user name of those.
pub const ANONYMOUS: &str = "system:anonymous";
/// Before a node's name in its user name.
pub const NODE_PREFIX: &str = "system:node:";
/// The extra that says with which credential somebody came.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Who sends a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// The user's uid; empty where there is none. Of a ServiceAccount, its object's.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else is known, by lower-case key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self {
            user: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// The subject of a client certificate: its common name is the user, its organizations are the groups. Nobody, when
    /// it has no name.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return Self::anonymous();
        };
        let subject = parsed.subject();
        let user = subject.iter_common_name().next().and_then(|cn| cn.as_str().ok());
        let Some(user) = user.filter(|user| !user.is_empty()) else {
            return Self::anonymous();
        };
        let groups = subject
            .iter_organization()
            .filter_map(|o| o.as_str().ok())
            .map(str::to_owned);
        let digest = Sha256::digest(certificate);
        let fingerprint: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            user: user.to_owned(),
            uid: String::new(),
            groups: groups.chain([AUTHENTICATED.to_owned()]).collect(),
            extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={fingerprint}")])]),
        }
    }

    /// Whether it has shown no credential at all.
    pub fn is_anonymous(&self) -> bool {
        self.is_in(UNAUTHENTICATED)
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

    /// As `userInfo` and `user` of the review kinds show it.
    pub fn to_user_info(&self) -> serde_json::Value {
        let mut info = serde_json::json!({"username": self.user});
        if !self.uid.is_empty() {
            info["uid"] = self.uid.as_str().into();
        }
        if !self.groups.is_empty() {
            info["groups"] = self.groups.clone().into();
        }
        if !self.extra.is_empty() {
            info["extra"] = serde_json::json!(self.extra);
        }
        info
    }
}
