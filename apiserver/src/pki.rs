//! Certificates: an own authority in a directory, the server's certificate, and client certificates for people, nodes
//! and controllers. Who holds a certificate of this authority is who its common name says, in the groups that its
//! organizations say. Nothing here checks a client; rustls does, from [`Authority::server_config`].

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
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use crate::authentication::jwt::{JwtError, SigningKey};

/// Lifetime of the authority, in days.
const AUTHORITY_DAYS: i64 = 3650;
/// Lifetime of what it signs, in days: renewed at every start (server) or minted again (clients).
const LEAF_DAYS: i64 = 365;
/// Clocks of two machines differ; a certificate is valid from a while ago.
const SKEW: Duration = Duration::hours(1);

/// The number of the type `organizationName` (RFC 4519).
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

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
    /// A certificate names two groups at most.
    #[error("a client certificate can name two groups, not {0}")]
    TooManyGroups(usize),
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
    #[error("cannot sign tokens with {what}")]
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

    /// A client certificate: `user` is who it is, `groups` what it belongs to, two at most.
    pub fn client(&self, user: &str, groups: &[String]) -> Result<Credential, PkiError> {
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, user);
        // rcgen keeps one value for each type of a name, so the second organization goes in under the same type
        // spelled by its number. There is no third spelling.
        if groups.len() > 2 {
            return Err(PkiError::TooManyGroups(groups.len()));
        }
        for (kind, group) in [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION.to_vec())]
            .into_iter()
            .zip(groups)
        {
            name.push(kind, group.as_str());
        }
        let params = leaf(name, ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(&params, user)
    }

    fn sign(&self, params: &CertificateParams, what: &str) -> Result<Credential, PkiError> {
        let failed = |source| PkiError::Certificate {
            what: format!("of {what}"),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Credential {
            certificate: certificate.pem(),
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

/// The key that ServiceAccount tokens are signed with: `sa.key` in the authority's directory, made there (0600) when it
/// is missing. Servers that share the directory take each other's tokens.
///
/// # Errors
/// A file that cannot be read, written, or is no key.
pub fn service_account_key(dir: &Path) -> Result<SigningKey, PkiError> {
    let _lock = locked(dir)?;
    let path = dir.join("sa.key");
    let what = path.display().to_string();
    if !path.exists() {
        let made = KeyPair::generate().map_err(|source| PkiError::Certificate {
            what: what.clone(),
            source,
        })?;
        write_private(&path, &made.serialize_pem()).map_err(file(&path))?;
    }
    let text = fs::read_to_string(&path).map_err(file(&path))?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|source| PkiError::Pem {
        what: what.clone(),
        source,
    })?;
    SigningKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|source| PkiError::SigningKey { what, source })
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
