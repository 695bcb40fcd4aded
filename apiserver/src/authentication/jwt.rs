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

/// What can go wrong with a key.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// The key is none of P-256 in PKCS#8.
    #[error("the key is not a P-256 key in PKCS#8: {0}")]
    Key(String),
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

/// The key that ServiceAccount tokens are signed with, and known again by.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
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
        let mut spki = SPKI_HEADER.to_vec();
        spki.extend_from_slice(pair.public_key().as_ref());
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(&spki));
        Ok(Self { pair, id, random })
    }

    /// Signs claims.
    ///
    /// # Errors
    /// Claims that do not encode, or a machine without randomness.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, JwtError> {
        let header = json!({"alg": "ES256", "kid": self.id}).to_string();
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

    /// The payload of a token that this key has signed; none for anything else.
    pub fn verify(&self, token: &str) -> Option<Vec<u8>> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let ours = header.alg == "ES256" && header.crit.is_none() && header.kid.is_none_or(|kid| kid == self.id);
        if !ours {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        // A dot within the payload is no base64, so there are three parts and no more.
        URL_SAFE_NO_PAD.decode(payload).ok()
    }

    /// The public key as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> Value {
        // An uncompressed point is 4, x, y.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        json!({"keys": [{
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        }]})
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

    #[test]
    fn a_token_is_known_again_by_its_key_alone() {
        let (ours, theirs) = (key(), key());
        let token = ours.sign(&json!({"sub": "a"})).unwrap();
        assert_eq!(ours.verify(&token).unwrap(), br#"{"sub":"a"}"#);
        assert!(theirs.verify(&token).is_none());
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
            assert!(key.verify(&format!("{header}.{rest}")).is_none(), "{header}");
        }
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert!(key.verify(&format!("{signed}.")).is_none());
        assert!(key.verify(signed).is_none());
    }

    #[test]
    fn the_key_set_holds_both_coordinates() {
        let set = key().jwks();
        for coordinate in ["x", "y"] {
            let text = set["keys"][0][coordinate].as_str().unwrap();
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
                prop_assert!(changed == token || key.verify(&changed).is_none());
            }
        }

        #[test]
        fn no_text_makes_the_check_panic(text in "\\PC{0,60}\\.?\\PC{0,60}\\.?\\PC{0,60}") {
            prop_assert!(key().verify(&text).is_none());
        }
    }
}
