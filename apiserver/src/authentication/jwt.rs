//! Signed tokens: compact JWS (RFC 7515) with ES256 (RFC 7518), the one algorithm that is made and taken here. A token
//! whose header names another is refused before its signature is looked at, so there is nothing to confuse. What the
//! claims mean is not known here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The longest token that is looked at, in bytes. Ours have less than two thousand.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Before an uncompressed point of P-256 in a SubjectPublicKeyInfo (RFC 5480).
const SPKI_HEADER: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The bytes of an uncompressed point.
const POINT: usize = 65;

/// What can go wrong with a key.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// The key is none of P-256 in PKCS#8.
    #[error("the key is not a P-256 key in PKCS#8: {0}")]
    Key(String),
    /// The public key is none of P-256.
    #[error("the public key is not a P-256 key")]
    PublicKey,
    /// Claims that do not encode: our fault.
    #[error("cannot encode a token's claims")]
    Claims(#[source] serde_json::Error),
    /// The machine has no randomness.
    #[error("cannot sign a token")]
    Sign,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// A token whose form is right; whether it is worth something is a key's to say.
pub struct SignedToken<'a> {
    key: Option<String>,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> SignedToken<'a> {
    /// Reads a token; none for one that is too long, or no token, or of another algorithm.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "ES256" || header.crit.is_some() {
            return None;
        }
        Some(Self {
            key: header.kid,
            signed,
            payload,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// The id of the key that it says it was signed with.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// The public half of a key, by which tokens are known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    /// An uncompressed point: 4, x, y.
    point: Vec<u8>,
    id: String,
}

impl VerifyingKey {
    /// Reads a public key, SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`JwtError::PublicKey`].
    pub fn from_spki(der: &[u8]) -> Result<Self, JwtError> {
        match der.strip_prefix(&SPKI_HEADER) {
            Some(point) if point.len() == POINT && point.first() == Some(&4) => Ok(Self::from_point(point)),
            _ => Err(JwtError::PublicKey),
        }
    }

    fn from_point(point: &[u8]) -> Self {
        let mut spki = SPKI_HEADER.to_vec();
        spki.extend_from_slice(point);
        Self {
            point: point.to_vec(),
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(&spki)),
        }
    }

    /// Its id, from the key itself, as upstream makes it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The payload of a token that this key has signed; none for anything else.
    pub fn verify(&self, token: &SignedToken<'_>) -> Option<Vec<u8>> {
        if token.key.as_ref().is_some_and(|key| *key != self.id) {
            return None;
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(token.signed.as_bytes(), &token.signature)
            .ok()?;
        // A dot within the payload is no base64, so there are three parts and no more.
        URL_SAFE_NO_PAD.decode(token.payload).ok()
    }

    /// As a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let (x, y) = self.point.get(1..).unwrap_or_default().split_at(self.point.len() / 2);
        json!({
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

/// The key that ServiceAccount tokens are signed with.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
    random: SystemRandom,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.public.id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key, PKCS#8 in DER.
    ///
    /// # Errors
    /// [`JwtError::Key`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JwtError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(|rejected| JwtError::Key(rejected.to_string()))?;
        let public = VerifyingKey::from_point(pair.public_key().as_ref());
        Ok(Self { pair, public, random })
    }

    /// Its public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs claims.
    ///
    /// # Errors
    /// Claims that do not encode, or a machine without randomness.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, JwtError> {
        let header = json!({"alg": "ES256", "kid": self.public.id}).to_string();
        let payload = serde_json::to_vec(claims).map_err(JwtError::Claims)?;
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self
            .pair
            .sign(&self.random, token.as_bytes())
            .map_err(|_| JwtError::Sign)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn key() -> SigningKey {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        SigningKey::from_pkcs8(der.as_ref()).unwrap()
    }

    fn verified(key: &SigningKey, token: &str) -> Option<Vec<u8>> {
        key.public().verify(&SignedToken::parse(token)?)
    }

    #[test]
    fn a_public_key_is_read_as_it_is_written() {
        let key = key();
        let mut spki = SPKI_HEADER.to_vec();
        spki.extend_from_slice(key.pair.public_key().as_ref());
        assert_eq!(&VerifyingKey::from_spki(&spki).unwrap(), key.public());
        assert!(VerifyingKey::from_spki(&spki[1..]).is_err());
        assert!(VerifyingKey::from_spki(&spki[..90]).is_err());
    }

    #[test]
    fn a_token_is_known_again_by_its_key_alone() {
        let (ours, theirs) = (key(), key());
        let token = ours.sign(&json!({"sub": "a"})).unwrap();
        assert_eq!(verified(&ours, &token).unwrap(), br#"{"sub":"a"}"#);
        assert!(verified(&theirs, &token).is_none());
    }

    #[test]
    fn no_other_algorithm_is_taken() {
        let key = key();
        let token = key.sign(&json!({"sub": "a"})).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"alg": "ES256", "crit": ["exp"]}),
            json!({"alg": "ES256", "kid": "other"}),
            json!({"typ": "JWT"}),
        ] {
            let header = URL_SAFE_NO_PAD.encode(header.to_string());
            assert!(verified(&key, &format!("{header}.{rest}")).is_none(), "{header}");
        }
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert!(verified(&key, &format!("{signed}.")).is_none());
        assert!(verified(&key, signed).is_none());
    }

    #[test]
    fn a_web_key_holds_both_coordinates() {
        let jwk = key().public().jwk();
        for coordinate in ["x", "y"] {
            let text = jwk[coordinate].as_str().unwrap();
            assert_eq!(URL_SAFE_NO_PAD.decode(text).unwrap().len(), 32);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_changed_byte_makes_a_token_worthless(at in 0_usize..200, flip in 1_u8..128) {
            let key = key();
            let token = key.sign(&json!({"sub": "system:serviceaccount:a:b", "exp": 12_345})).unwrap();
            let mut bytes = token.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert!(changed == token || verified(&key, &changed).is_none());
            }
        }

        #[test]
        fn no_text_makes_the_check_panic(text in "\\PC{0,60}\\.?\\PC{0,60}\\.?\\PC{0,60}") {
            prop_assert!(verified(&key(), &text).is_none());
        }
    }
}
