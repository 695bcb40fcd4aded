//! Subjects with several organizations. A group is an organization, and somebody may be in many, but `rcgen` keeps one
//! value for each type of a name. So it makes the certificate with a subject that does not matter; here the right one is
//! put in its place, and what has come of that is signed anew. All else stays as it was made.

use pem::Pem;
use rcgen::{Issuer, KeyPair, SigningKey as _};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, ASN1Result};

/// The types `commonName` and `organizationName` (RFC 4519).
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];
/// The place of the subject in what is signed: after version, serial number, algorithm, issuer and validity (RFC 5280).
const SUBJECT: usize = 5;

/// Why a certificate cannot be given another subject.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It is not built as certificates are: our fault.
    #[error("the certificate cannot be taken apart")]
    Shape(#[from] ASN1Error),
    /// The authority cannot sign it.
    #[error("the certificate cannot be signed")]
    Sign(#[from] rcgen::Error),
}

/// A certificate for `user` in `groups`, all else as in `certificate` (DER); as PEM text.
pub(super) fn renamed(
    certificate: &[u8],
    user: &str,
    groups: &[String],
    issuer: &Issuer<'_, KeyPair>,
) -> Result<String, SubjectError> {
    let mut whole = parts(certificate)?;
    let [signed, _, signature] = whole.as_mut_slice() else {
        return Err(ASN1Error::new(yasna::ASN1ErrorKind::Invalid).into());
    };
    let mut fields = parts(signed)?;
    let subject = fields.get_mut(SUBJECT);
    *subject.ok_or_else(|| ASN1Error::new(yasna::ASN1ErrorKind::Invalid))? = name(user, groups);
    *signed = joined(&fields);
    let bytes = issuer.key().sign(signed)?;
    *signature = yasna::construct_der(|writer| writer.write_bitvec_bytes(&bytes, bytes.len() * 8));
    Ok(pem::encode(&Pem::new("CERTIFICATE", joined(&whole))))
}

/// The elements of a sequence.
fn parts(sequence: &[u8]) -> ASN1Result<Vec<Vec<u8>>> {
    yasna::parse_der(sequence, |reader| {
        reader.collect_sequence_of(|reader| reader.read_der())
    })
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| parts.iter().for_each(|part| writer.next().write_der(part)));
    })
}

fn name(user: &str, groups: &[String]) -> Vec<u8> {
    let organizations = groups.iter().map(|group| (ORGANIZATION, group.as_str()));
    let values: Vec<_> = std::iter::once((COMMON_NAME, user)).chain(organizations).collect();
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (of, value) in values {
                writer.next().write_set(|writer| {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(&of));
                        writer.next().write_utf8_string(value);
                    });
                });
            }
        });
    })
}
