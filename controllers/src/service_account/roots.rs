//! Certificates as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The length of a line of PEM (RFC 7468).
const LINE: usize = 64;

/// PEM of certificates in DER; none for none.
pub fn pem(certificates: &[Vec<u8>]) -> Option<String> {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = &*STANDARD.encode(certificate);
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = tail;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_pem_has_them() {
        let text = pem(&[vec![0; 100]]).unwrap();
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lines, [27, 64, 64, 8, 25]);
        assert_eq!(pem(&[]), None);
    }
}
