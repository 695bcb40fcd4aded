//! Stock clients in other languages and with other habits than kubectl.

mod kube_rs;
mod python;
