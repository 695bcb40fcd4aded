//! Certificates: an own authority in a directory, the server's certificate, and client certificates for people, nodes
//! and controllers. Who holds a certificate of this authority is who its common name says, in the groups that its
//! organizations say. Nothing here checks a client; rustls does, from [`Authority::server_config`]. The keys of tokens are
//! kept beside the authority's.

mod subject;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use time::{Duration, OffsetDateTime};

use crate::authentication::jwt::{JwtError, SigningKey, VerifyingKey};
use crate::authentication::keys::KeySet;

pub use subject::SubjectError;

/// Lifetime of the authority, in days.
const AUTHORITY_DAYS: i64 = 3650;
/// Lifetime of what it signs, in days: renewed at every start (server) or minted again (clients).
const LEAF_DAYS: i64 = 365;
/// Clocks of two machines differ; a certificate is valid from a while ago.
const SKEW: Duration = Duration::hours(1);

/// The key that signs tokens.
const TOKEN_KEY: &str = "sa.key";
/// The directory of keys whose tokens are taken, too.
const TOKEN_KEYS: &str = "sa-keys";

/// What went wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the directory could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate or key could not be made or parsed.
    #[error("cannot make or read the certificate {what}")]
    Certificate {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate cannot be given its subject.
    #[error("cannot make the certificate of {what}")]
    Subject {
        /// Whose.
        what: String,
        /// Why.
        #[source]
        source: SubjectError,
    },
    /// A PEM file is not what it should be.
    #[error("cannot parse the PEM text of {what}")]
    Pem {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The key for tokens is of no use.
    #[error("cannot use {what} as a key for tokens")]
    SigningKey {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: JwtError,
    },
    /// rustls refuses the combination.
    #[error("cannot set TLS up")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates cannot be built.
    #[error("cannot set the check of client certificates up")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// A certificate and its key, as PEM text.
#[derive(Clone)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// The private key. Never logged.
    pub key: String,
}

/// The certificate authority of a cluster.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads the authority from `dir`, or makes one there (files 0600, directory 0700). Two servers may do so at the
    /// same time on a shared directory: one makes it, both use it.
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        let _lock = locked(dir)?;
        let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
        if !certificate_path.exists() {
            let made = make_authority().map_err(|source| PkiError::Certificate {
                what: "of the authority".into(),
                source,
            })?;
            write_private(&key_path, &made.key).map_err(file(&key_path))?;
            write_private(&certificate_path, &made.certificate).map_err(file(&certificate_path))?;
        }
        let certificate_pem = fs::read_to_string(&certificate_path).map_err(file(&certificate_path))?;
        let key_pem = fs::read_to_string(&key_path).map_err(file(&key_path))?;
        let parse = |path: &Path| {
            let what = path.display().to_string();
            move |source| PkiError::Certificate { what, source }
        };
        let key = KeyPair::from_pem(&key_pem).map_err(parse(&key_path))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(parse(&certificate_path))?;
        Ok(Self {
            certificate_pem,
            issuer,
        })
    }

    /// The authority's certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A client certificate: `user` is who it is, `groups` what it belongs to.
    pub fn client(&self, user: &str, groups: &[String]) -> Result<Credential, PkiError> {
        let failed = |source| PkiError::Certificate {
            what: format!("of {user}"),
            source,
        };
        let params = leaf(DistinguishedName::new(), ExtendedKeyUsagePurpose::ClientAuth);
        let key = KeyPair::generate().map_err(failed)?;
        let nameless = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let certificate = subject::renamed(nameless.der(), user, groups, &self.issuer);
        Ok(Credential {
            certificate: certificate.map_err(|source| PkiError::Subject {
                what: user.to_owned(),
                source,
            })?,
            key: key.serialize_pem(),
        })
    }

    /// A server certificate for these names and addresses. It is made anew at each start, so that it always names
    /// what the server listens on.
    fn server(
        &self,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
        let failed = |source| PkiError::Certificate {
            what: "of the server".into(),
            source,
        };
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "breakbulk-apiserver");
        let mut params = leaf(name, ExtendedKeyUsagePurpose::ServerAuth);
        for each in names {
            if let Ok(text) = each.as_str().try_into() {
                params.subject_alt_names.push(SanType::DnsName(text));
            }
        }
        params
            .subject_alt_names
            .extend(addresses.iter().map(|a| SanType::IpAddress(*a)));
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![certificate.der().clone()], key))
    }

    /// TLS for the listener: client certificates of this authority are taken, none are demanded; ALPN offers HTTP/2
    /// and HTTP/1.1; sessions resume by ticket.
    pub fn server_config(&self, names: &[String], addresses: &[IpAddr]) -> Result<rustls::ServerConfig, PkiError> {
        let pem = |source| PkiError::Pem {
            what: "the authority's certificate".into(),
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(pem)?)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()?;
        let (chain, key) = self.server(names, addresses)?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        Ok(config)
    }
}

fn leaf(name: DistinguishedName, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = OffsetDateTime::now_utc() - SKEW;
    params.not_after = OffsetDateTime::now_utc() + Duration::days(LEAF_DAYS);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn make_authority() -> Result<Credential, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "breakbulk-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_before = OffsetDateTime::now_utc() - SKEW;
    params.not_after = OffsetDateTime::now_utc() + Duration::days(AUTHORITY_DAYS);
    let certificate = params.self_signed(&key)?;
    Ok(Credential {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> PkiError + use<> {
    let path = path.to_owned();
    move |source| PkiError::File { path, source }
}

/// Makes the directory, and keeps other servers from making files there until what is returned is dropped.
fn locked(dir: &Path) -> Result<File, PkiError> {
    fs::create_dir_all(dir).map_err(file(dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(file(dir))?;
    let path = dir.join("lock");
    let lock = private_file(&path).map_err(file(&path))?;
    lock.lock().map_err(file(&path))?;
    Ok(lock)
}

/// The keys of ServiceAccount tokens: `sa.key` in the authority's directory signs, and is made there (0600) when it is
/// missing; tokens of the keys in `sa-keys/*.pem`, public or private, are taken, too. Servers that share the directory take
/// each other's tokens.
///
/// # Errors
/// A file that cannot be read, written, or is no key.
pub fn service_account_keys(dir: &Path) -> Result<KeySet, PkiError> {
    let _lock = locked(dir)?;
    let path = dir.join(TOKEN_KEY);
    if !path.exists() {
        write_private(&path, &new_key(&path)?.serialize_pem()).map_err(file(&path))?;
    }
    let mut others = Vec::new();
    for path in pem_files(&dir.join(TOKEN_KEYS))? {
        others.push(verifying_key(&path)?);
    }
    Ok(KeySet::new(signing_key(&path)?, others))
}

/// Makes a new key to sign tokens with. The public half of the one before goes to the others, so that tokens that were
/// signed with it are good until they expire. Returns the file it is in now.
///
/// # Errors
/// As [`service_account_keys`].
pub fn rotate_service_account_key(dir: &Path) -> Result<PathBuf, PkiError> {
    // It makes the first one, if there is none yet.
    service_account_keys(dir)?;
    let _lock = locked(dir)?;
    let path = dir.join(TOKEN_KEY);
    let id = signing_key(&path)?.public().id().to_owned();
    let before = read(&path)?;
    let before = KeyPair::from_pem(&before).map_err(|source| PkiError::Certificate {
        what: path.display().to_string(),
        source,
    })?;
    let others = dir.join(TOKEN_KEYS);
    fs::create_dir_all(&others).map_err(file(&others))?;
    let kept = others.join(format!("{id}.pem"));
    write_private(&kept, &before.public_key_pem()).map_err(file(&kept))?;
    write_private(&path, &new_key(&path)?.serialize_pem()).map_err(file(&path))?;
    Ok(kept)
}

fn new_key(path: &Path) -> Result<KeyPair, PkiError> {
    KeyPair::generate().map_err(|source| PkiError::Certificate {
        what: path.display().to_string(),
        source,
    })
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(file(path))
}

/// The PEM files of a directory that may not be there.
fn pem_files(dir: &Path) -> Result<Vec<PathBuf>, PkiError> {
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(file(dir))?,
    };
    let mut files = Vec::new();
    for entry in listed {
        let path = entry.map_err(file(dir))?.path();
        if path.extension().is_some_and(|ext| ext == "pem") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn signing_key(path: &Path) -> Result<SigningKey, PkiError> {
    let what = path.display().to_string();
    let der = PrivatePkcs8KeyDer::from_pem_slice(read(path)?.as_bytes()).map_err(|source| PkiError::Pem {
        what: what.clone(),
        source,
    })?;
    SigningKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|source| PkiError::SigningKey { what, source })
}

fn verifying_key(path: &Path) -> Result<VerifyingKey, PkiError> {
    match SubjectPublicKeyInfoDer::from_pem_slice(read(path)?.as_bytes()) {
        Ok(der) => VerifyingKey::from_spki(&der).map_err(|source| PkiError::SigningKey {
            what: path.display().to_string(),
            source,
        }),
        Err(_) => signing_key(path).map(|key| key.public().clone()),
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Writes a file that only its owner reads: whole or not at all, durable when this returns.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::Identity;

    #[test]
    fn a_client_may_be_in_many_groups() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let groups: Vec<String> = (0..20).map(|number| format!("group-{number} ü")).collect();
        let credential = authority.client("ann", &groups).unwrap();
        let der = CertificateDer::from_pem_slice(credential.certificate.as_bytes()).unwrap();
        let identity = Identity::from_certificate(&der);
        assert_eq!(identity.user, "ann");
        assert_eq!(identity.groups[..20], groups);
        let ca = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        verifier
            .verify_client_cert(&der, &[], rustls_pki_types::UnixTime::now())
            .unwrap();
    }

    #[test]
    fn a_new_key_signs_and_the_one_before_is_still_known() {
        let dir = tempfile::tempdir().unwrap();
        let before = service_account_keys(dir.path()).unwrap().jwks();
        let kept = rotate_service_account_key(dir.path()).unwrap();
        let after = service_account_keys(dir.path()).unwrap().jwks();
        assert_eq!(after["keys"][1], before["keys"][0]);
        assert_ne!(after["keys"][0], before["keys"][0]);
        fs::remove_file(&kept).unwrap();
        let last = service_account_keys(dir.path()).unwrap().jwks();
        assert_eq!(last["keys"].as_array().unwrap().len(), 1);
        fs::write(&kept, "no key").unwrap();
        assert!(service_account_keys(dir.path()).is_err());
    }
}
