//! The keys of ServiceAccount tokens: one signs, and tokens of others are taken, too, so that the key can be changed while
//! tokens of the one before are in use. [`KeyRing`] reads them anew when they may have changed; where they are kept is not
//! known here.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::jwt::{JwtError, SignedToken, SigningKey, VerifyingKey};

/// How old the keys may be in any case.
const OLD: Duration = Duration::from_secs(60);
/// And when a token names one that is not known: another server may have begun to sign with it.
const NEW: Duration = Duration::from_secs(1);

/// The keys as they are at a time.
#[derive(Debug)]
pub struct KeySet {
    signing: SigningKey,
    /// The one that signs first, each once.
    all: Vec<VerifyingKey>,
}

impl KeySet {
    /// One key that signs, and those whose tokens are taken beside its own.
    pub fn new(signing: SigningKey, others: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let mut all = vec![signing.public().clone()];
        for key in others {
            if all.iter().all(|known| known.id() != key.id()) {
                all.push(key);
            }
        }
        Self { signing, all }
    }

    /// Signs claims.
    ///
    /// # Errors
    /// As [`SigningKey::sign`].
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, JwtError> {
        self.signing.sign(claims)
    }

    /// The public keys as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> Value {
        json!({"keys": self.all.iter().map(VerifyingKey::jwk).collect::<Vec<_>>()})
    }

    /// Whether it has the key that a token says it was signed with.
    fn knows(&self, token: &SignedToken<'_>) -> bool {
        token.key().is_none_or(|id| self.all.iter().any(|key| key.id() == id))
    }

    /// The payload of a token that one of the keys has signed.
    fn verify(&self, token: &SignedToken<'_>) -> Option<Vec<u8>> {
        self.all.iter().find_map(|key| key.verify(token))
    }
}

/// Reads the keys from where they are kept; it may block.
pub type ReadKeys = dyn Fn() -> Result<KeySet, Box<dyn Error + Send + Sync>> + Send + Sync;

/// The keys as they are now.
pub struct KeyRing {
    read: Arc<ReadKeys>,
    keys: RwLock<Arc<KeySet>>,
    /// When they were read last. Held while they are.
    since: Mutex<Instant>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// With the keys that `read` gives.
    ///
    /// # Errors
    /// Those of `read`. Later the keys that there were are kept when it fails.
    pub fn open(read: Arc<ReadKeys>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self {
            keys: RwLock::new(Arc::new(read()?)),
            read,
            since: Mutex::new(Instant::now()),
        })
    }

    /// The keys.
    pub fn known(&self) -> Arc<KeySet> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs claims.
    ///
    /// # Errors
    /// As [`SigningKey::sign`].
    pub async fn sign(&self, claims: &impl Serialize) -> Result<String, JwtError> {
        self.no_older_than(OLD).await.sign(claims)
    }

    /// The payload of a token that one of the keys has signed; none for anything else.
    pub async fn verify(&self, token: &str) -> Option<Vec<u8>> {
        let token = SignedToken::parse(token)?;
        let mut keys = self.no_older_than(OLD).await;
        if !keys.knows(&token) {
            keys = self.no_older_than(NEW).await;
        }
        keys.verify(&token)
    }

    async fn no_older_than(&self, age: Duration) -> Arc<KeySet> {
        let mut since = self.since.lock().await;
        if since.elapsed() < age {
            return self.known();
        }
        let read = self.read.clone();
        match tokio::task::spawn_blocking(move || read()).await {
            Ok(Ok(keys)) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
            Ok(Err(error)) => tracing::warn!(error, "cannot read the keys of tokens again; those there were are kept"),
            // Only if reading panicked or the runtime goes down.
            Err(error) => tracing::error!(%error, "the keys of tokens were not read"),
        }
        *since = Instant::now();
        self.known()
    }
}

#[cfg(test)]
mod tests {
    use super::super::jwt::tests::key;
    use super::*;

    fn ring(read: impl Fn() -> KeySet + Send + Sync + 'static) -> KeyRing {
        KeyRing::open(Arc::new(move || Ok(read()))).unwrap()
    }

    #[tokio::test]
    async fn tokens_of_a_key_that_signs_no_more_are_taken_while_it_is_known() {
        let (old, new) = (key(), key());
        let token = old.sign(&json!({"sub": "a"})).unwrap();
        let public = old.public().clone();
        let set = KeySet::new(new, [public.clone(), public]);
        assert_eq!(set.jwks()["keys"].as_array().unwrap().len(), 2);
        let set = std::sync::Mutex::new(Some(set));
        let both = ring(move || set.lock().unwrap().take().unwrap());
        assert!(both.verify(&token).await.is_some());
        let made = both.sign(&json!({"sub": "b"})).await.unwrap();
        assert!(SignedToken::parse(&made).is_some_and(|made| made.key() != Some(old.public().id())));
        assert!(both.verify(&made).await.is_some());
        assert!(ring(|| KeySet::new(key(), [])).verify(&token).await.is_none());
    }

    #[tokio::test]
    async fn a_key_that_is_not_known_is_looked_for() {
        let theirs = key();
        let token = theirs.sign(&json!({"sub": "a"})).unwrap();
        let public = theirs.public().clone();
        let reads = std::sync::atomic::AtomicUsize::new(0);
        let ring = ring(move || {
            let first = reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            KeySet::new(key(), Some(public.clone()).filter(|_| !first))
        });
        *ring.since.lock().await -= NEW;
        assert!(ring.verify(&token).await.is_some());
    }
}
