//! Kubeconfig files: one cluster, one user by client certificate, one context. Text only; who is minted what is
//! decided by the caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::Credential;

/// The text of a kubeconfig in YAML. Everything variable in it is base64 or quoted.
pub fn text(server: &str, authority_pem: &str, user: &str, credential: &Credential) -> String {
    let encode = |pem: &str| STANDARD.encode(pem);
    let user = serde_json::Value::from(user);
    let server = serde_json::Value::from(server);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: breakbulk
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: breakbulk
  context:
    cluster: breakbulk
    user: {user}
    namespace: default
current-context: breakbulk
",
        authority = encode(authority_pem),
        certificate = encode(&credential.certificate),
        key = encode(&credential.key),
    )
}
