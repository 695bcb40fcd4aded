//! Opening what the server keeps things in, by its configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use breakbulk_logs::LogStore;
use breakbulk_store::embedded::{self, Embedded};
use breakbulk_store::etcd::{self, ClientIdentity, Etcd};
use breakbulk_store::{Error, Store};

use crate::config::{EtcdTls, StoreConfig};
use crate::server::ServerError;

/// Opens the store of objects.
pub(crate) async fn open(config: &StoreConfig) -> Result<Arc<dyn Store>, ServerError> {
    match config {
        StoreConfig::Embedded { dir } => {
            let dir = dir.clone();
            let opening = tokio::task::spawn_blocking(move || Embedded::open(&dir, embedded::Options::default()));
            // A panic inside is a bug of the store; it goes on here.
            let opened = opening
                .await
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            Ok(Arc::new(opened.map_err(ServerError::Store)?))
        }
        StoreConfig::Etcd { endpoints, tls } => {
            let mut options = etcd::Options::plain(endpoints.iter().map(String::as_str));
            options.tls = tls.as_ref().map(read_tls).transpose()?;
            Ok(Arc::new(Etcd::connect(&options).await.map_err(ServerError::Store)?))
        }
    }
}

fn read_tls(files: &EtcdTls) -> Result<etcd::Tls, ServerError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| ServerError::File {
            path: PathBuf::from(path),
            source,
        })
    };
    let identity = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity {
            certificate: read(certificate)?,
            key: read(key)?,
        }),
        (None, None) => None,
        _ => {
            let words = "a client certificate for etcd needs both the certificate and the key".to_owned();
            return Err(ServerError::Store(Error::Invalid(words)));
        }
    };
    Ok(etcd::Tls {
        ca: read(&files.ca)?,
        identity,
        server_name: None,
    })
}

/// Opens the logs.
pub(crate) fn open_logs(dir: &Path) -> Result<LogStore, ServerError> {
    let failed = |source| ServerError::File {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    LogStore::open(dir, breakbulk_logs::Options::default()).map_err(failed)
}
