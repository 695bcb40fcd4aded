//! Tokens of ServiceAccounts: made for who asks for one, and checked when somebody comes with one.
//!
//! A token is worth something while its signature is ours, its time has come and has not passed, one of its audiences is
//! meant, and the very ServiceAccount (by uid) it was made for is there, as is whatever else it is bound to. Signatures
//! are checked once and remembered for a short time; all the rest is looked at on each request, since it is what changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Identity;
use super::jwt::JwtError;
use super::keys::KeyRing;
use super::service_account::{Audiences, BoundKind, BoundObject, Claims, ObjectRef, Private, ServiceAccountRef};
use crate::registry::objects::Objects;
use crate::status::{ApiError, ApiResult};

/// Who makes the tokens, and whom they are for unless somebody else is named. A name, not an address that has to answer.
pub const ISSUER: &str = "https://kubernetes.default.svc";
/// How long a checked signature is remembered.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How many are. More tokens than that in use at once cost a signature check each.
const MOST_REMEMBERED: usize = 8192;
/// Clocks of two servers of a fleet differ: a token is not too young because of that.
const SKEW_SECONDS: i64 = 60;
/// How long the tokens of an object that is being deleted are still good, as upstream: what runs with them has to end.
const GRACE_SECONDS: i64 = 60;

/// Why a token is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, or not any more, or for something that is gone. Which of these is nobody's business.
    #[error("invalid bearer token")]
    Invalid,
    /// For somebody else.
    #[error("token audiences {token:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        /// Its own.
        token: Vec<String>,
        /// Those asked for.
        wanted: Vec<String>,
    },
}

/// A token that is worth something.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// Those of the audiences asked for that it is for.
    pub audiences: Vec<String>,
}

/// What is asked for in a token.
#[derive(Clone, Debug)]
pub struct Order {
    /// The account's namespace.
    pub namespace: String,
    /// The account.
    pub account: String,
    /// Its uid.
    pub uid: String,
    /// Whom it is for; never empty.
    pub audiences: Vec<String>,
    /// How long it is good.
    pub seconds: i64,
    /// What it is bound to beside the account.
    pub bound: Option<BoundObject>,
}

/// A new token.
#[derive(Clone)]
pub struct Issued {
    /// The token. Never logged.
    pub token: String,
    /// Until when.
    pub expires: Timestamp,
    /// Its id, for the audit log.
    pub id: String,
}

/// A signature that has been checked.
struct Known {
    claims: Claims,
    identity: Arc<Identity>,
    since: Instant,
}

/// Makes and checks tokens.
pub struct Tokens {
    keys: KeyRing,
    objects: Objects,
    known: Mutex<HashMap<[u8; 32], Arc<Known>>>,
}

/// What is asked of an object that a token depends on.
#[derive(Deserialize)]
struct Alive {
    metadata: AliveMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AliveMetadata {
    uid: String,
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
}

impl Tokens {
    /// With the fleet's keys, over the objects that accounts are among.
    pub fn new(keys: KeyRing, objects: Objects) -> Self {
        Self {
            keys,
            objects,
            known: Mutex::default(),
        }
    }

    /// The keys for those who check tokens themselves (`/openid/v1/jwks`).
    pub fn jwks(&self) -> Value {
        self.keys.known().jwks()
    }

    /// What such a verifier has to know (`/.well-known/openid-configuration`); `url` is where this server is.
    pub fn openid_configuration(&self, url: &str) -> Value {
        json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{url}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// Makes a token.
    ///
    /// # Errors
    /// A machine without randomness.
    pub async fn issue(&self, order: Order) -> Result<Issued, JwtError> {
        let now = Timestamp::now().as_second();
        let exp = now.saturating_add(order.seconds);
        let account = ServiceAccountRef {
            namespace: &order.namespace,
            name: &order.account,
        };
        let sub = account.user();
        let bound = |kind| {
            let object = order.bound.as_ref().filter(|object| object.kind == kind);
            object.map(|object| ObjectRef {
                name: object.name.clone(),
                uid: object.uid.clone(),
            })
        };
        let claims = Claims {
            sub,
            exp,
            iat: now,
            nbf: now,
            iss: ISSUER.to_owned(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: Private {
                node: bound(BoundKind::Node),
                pod: bound(BoundKind::Pod),
                secret: bound(BoundKind::Secret),
                namespace: order.namespace,
                serviceaccount: ObjectRef {
                    name: order.account,
                    uid: order.uid,
                },
            },
            aud: Audiences::Many(order.audiences),
        };
        Ok(Issued {
            token: self.keys.sign(&claims).await?,
            expires: Timestamp::from_second(exp).unwrap_or(Timestamp::MAX),
            id: claims.jti,
        })
    }

    /// Who sends a request: the holder of the connection's certificate, or of the token in the headers, or nobody.
    ///
    /// # Errors
    /// 401 for a token that is worth nothing.
    pub async fn authenticate(&self, headers: &HeaderMap, connection: &Arc<Identity>) -> ApiResult<Arc<Identity>> {
        if !connection.is_anonymous() {
            return Ok(connection.clone());
        }
        let Some(token) = bearer(headers) else {
            return Ok(connection.clone());
        };
        match self.verify(token, &[ISSUER.to_owned()]).await {
            Ok(verified) => Ok(verified.identity),
            Err(error) => {
                tracing::debug!(%error, "a token is refused");
                Err(ApiError::unauthorized())
            }
        }
    }

    /// Checks a token for some audiences.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(&self, token: &str, wanted: &[String]) -> Result<Verified, TokenError> {
        let known = self.signed(token).await.ok_or(TokenError::Invalid)?;
        let claims = &known.claims;
        let now = Timestamp::now().as_second();
        if now >= claims.exp || claims.nbf > now.saturating_add(SKEW_SECONDS) {
            return Err(TokenError::Invalid);
        }
        let own = claims.aud.as_slice();
        let audiences: Vec<String> = wanted.iter().filter(|w| own.contains(w)).cloned().collect();
        if audiences.is_empty() {
            return Err(TokenError::Audience {
                token: own.to_vec(),
                wanted: wanted.to_vec(),
            });
        }
        let namespace = &claims.kubernetes.namespace;
        let mut alive = self
            .is_alive("serviceaccounts", namespace, &claims.kubernetes.serviceaccount, now)
            .await;
        for (kind, object) in claims.kubernetes.bound() {
            alive = alive && self.is_alive(kind.plural(), namespace, object, now).await;
        }
        if !alive {
            return Err(TokenError::Invalid);
        }
        Ok(Verified {
            identity: known.identity.clone(),
            audiences,
        })
    }

    /// The claims of a token that we have signed.
    async fn signed(&self, token: &str) -> Option<Arc<Known>> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = Instant::now();
        let remembered = self.lock().get(&digest).cloned();
        if let Some(known) = remembered.filter(|known| now.duration_since(known.since) < REMEMBERED) {
            return Some(known);
        }
        let claims: Claims = serde_json::from_slice(&self.keys.verify(token).await?).ok()?;
        if claims.iss != ISSUER {
            return None;
        }
        let identity = Arc::new(claims.identity()?);
        let known = Arc::new(Known {
            claims,
            identity,
            since: now,
        });
        let mut all = self.lock();
        if all.len() >= MOST_REMEMBERED {
            all.retain(|_, known| now.duration_since(known.since) < REMEMBERED);
        }
        if all.len() < MOST_REMEMBERED {
            all.insert(digest, known.clone());
        }
        Some(known)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the very object is there. The cache may be behind another server of the fleet: before a token is refused
    /// the store is asked.
    async fn is_alive(&self, plural: &str, namespace: &str, object: &ObjectRef, now: i64) -> bool {
        let Some(resource) = self.objects.registry.find("", "v1", plural) else {
            return false;
        };
        let namespace = resource.namespaced.then_some(namespace);
        let cached = self.objects.cached(&resource, namespace, &object.name);
        if cached.is_some_and(|entry| is_good(entry.stored(), &object.uid, now)) {
            return true;
        }
        let stored = self.objects.get(&resource, namespace, &object.name).await;
        stored.is_ok_and(|bytes| is_good(&bytes, &object.uid, now))
    }
}

fn is_good(encoded: &[u8], uid: &str, now: i64) -> bool {
    let Ok(object) = serde_json::from_slice::<Alive>(encoded) else {
        return false;
    };
    let deleted = object.metadata.deletion_timestamp.map(|at| at.as_second());
    object.metadata.uid == uid && deleted.is_none_or(|at| at.saturating_add(GRACE_SECONDS) > now)
}

/// The token of an `Authorization: Bearer` header. Other schemes are nobody's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = text.split_once(' ')?;
    let token = rest.split(' ').next().unwrap_or("");
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_header_holds_a_token() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc def", Some("abc")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic abc", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
            assert_eq!(bearer(&headers), token, "{header}");
        }
    }

    #[test]
    fn a_token_outlives_the_deletion_of_its_account_by_a_minute_and_its_successor_not_at_all() {
        let account = |uid: &str, deleted: Option<&str>| {
            json!({"metadata": {"uid": uid, "deletionTimestamp": deleted}})
                .to_string()
                .into_bytes()
        };
        let now = "2026-01-01T00:02:00Z".parse::<Timestamp>().unwrap().as_second();
        assert!(is_good(&account("a", None), "a", now));
        assert!(is_good(&account("a", Some("2026-01-01T00:01:30Z")), "a", now));
        assert!(!is_good(&account("a", Some("2026-01-01T00:00:30Z")), "a", now));
        assert!(!is_good(&account("b", None), "a", now));
        assert!(!is_good(b"{}", "a", now));
    }
}
