//! The store on etcd when connections break, members die, and others write.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakbulk_store::conformance::{CASES, commit, events_until};
use breakbulk_store::etcd::{ClientIdentity, Etcd, Options, Tls};
use breakbulk_store::testing::EtcdServer;
use breakbulk_store::{Error, Revision, Store, Txn};
use bytes::Bytes;
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Forwards connections to a server; while `mute`, the server's answers are swallowed, and soon the connection breaks.
struct Proxy {
    port: u16,
    mute: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn to(endpoint: &str) -> Self {
        let target = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mute = Arc::new(AtomicBool::new(false));
        let muted = Arc::clone(&mute);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(client, target.clone(), Arc::clone(&muted)));
            }
        });
        Self { port, mute, task }
    }

    fn options(&self) -> Options {
        Options::plain([format!("127.0.0.1:{}", self.port)])
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, target: String, mute: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(|_| ()) };
    let answers = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 {
                return Ok::<_, std::io::Error>(());
            }
            if mute.load(Ordering::Relaxed) {
                // The request has been served: break the connection instead of answering.
                return Ok(());
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    tokio::select! { _ = requests => {}, _ = answers => {} }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_whose_answer_is_lost_is_ambiguous_and_never_sent_twice() {
    let server = EtcdServer::start().await.unwrap();
    let direct = Etcd::connect(&server.options()).await.unwrap();
    let proxy = Proxy::to(&server.endpoint()).await;
    let store = Etcd::connect(&proxy.options()).await.unwrap();
    let before = commit(&store, Txn::put("/a", "1")).await;
    proxy.mute.store(true, Ordering::Relaxed);
    let error = store.txn(Txn::update("/a", before, "2")).await.unwrap_err();
    assert!(matches!(error, Error::Ambiguous { .. }), "{error:?}");
    proxy.mute.store(false, Ordering::Relaxed);
    let (found, at) = store.get(b"/a").await.unwrap();
    let found = found.unwrap();
    // It was applied, or not (when the break overtook it); but never twice.
    assert!(found.mod_revision <= before.next() && at <= before.next(), "{found:?}");
    assert_eq!(direct.get(b"/a").await.unwrap().0.unwrap(), found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_its_connection_broke_and_after_etcd_was_killed() {
    let mut server = EtcdServer::start().await.unwrap();
    let proxy = Proxy::to(&server.endpoint()).await;
    let store = Etcd::connect(&proxy.options()).await.unwrap();
    let mut watch = store.watch(Bytes::from("/"), Revision::ZERO).await.unwrap();
    let first = commit(&store, Txn::put("/a", "1")).await;
    assert_eq!(events_until(&store, &mut watch, first).await.unwrap().len(), 1);
    // Written where the watch's connection can't see it, which then breaks.
    let direct = Etcd::connect(&server.options()).await.unwrap();
    proxy.mute.store(true, Ordering::Relaxed);
    let second = commit(&direct, Txn::put("/a", "2")).await;
    proxy.mute.store(false, Ordering::Relaxed);
    let events = events_until(&store, &mut watch, second).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.kv.mod_revision).collect::<Vec<_>>(),
        [second]
    );
    server.kill();
    server.restart().await.unwrap();
    let third = commit(&store, Txn::put("/a", "3")).await;
    let events = events_until(&store, &mut watch, third).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.kv.mod_revision).collect::<Vec<_>>(),
        [third]
    );
    assert_eq!(&events[0].kv.value[..], b"3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_comes_back_after_a_compaction_says_so() {
    let server = EtcdServer::start().await.unwrap();
    let proxy = Proxy::to(&server.endpoint()).await;
    let store = Etcd::connect(&proxy.options()).await.unwrap();
    let direct = Etcd::connect(&server.options()).await.unwrap();
    let first = commit(&direct, Txn::put("/a", "1")).await;
    let mut watch = store.watch(Bytes::from("/"), first).await.unwrap();
    proxy.mute.store(true, Ordering::Relaxed);
    // The compaction is exactly at the first revision that was missed: a delete, which etcd would not show any more.
    let deleted = commit(&direct, Txn::remove("/a")).await;
    commit(&direct, Txn::put("/b", "1")).await;
    direct.compact(deleted).await.unwrap();
    proxy.mute.store(false, Ordering::Relaxed);
    let error = loop {
        match tokio::time::timeout(Duration::from_secs(20), watch.next())
            .await
            .unwrap()
            .unwrap()
        {
            Ok(batch) => assert!(
                batch.events.iter().all(|event| event.kv.mod_revision <= deleted),
                "{batch:?}"
            ),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_endpoint_is_used_when_one_is_gone() {
    let server = EtcdServer::start().await.unwrap();
    let gone = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let options = Options::plain([format!("http://{gone}"), server.endpoint()]);
    let store = Etcd::connect(&options).await.unwrap();
    let revision = commit(&store, Txn::put("/a", "1")).await;
    assert_eq!(store.get(b"/a").await.unwrap().0.unwrap().mod_revision, revision);
    // And the other way round: the one that was used goes, and a transaction that was never sent is sent elsewhere.
    let first = Proxy::to(&server.endpoint()).await;
    let options = Options::plain([format!("http://127.0.0.1:{}", first.port), server.endpoint()]);
    let store = Etcd::connect(&options).await.unwrap();
    drop(first);
    assert!(store.get(b"/a").await.unwrap().0.is_some());
    commit(&store, Txn::put("/a", "2")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_endpoint_nothing_is_ambiguous() {
    let mut server = EtcdServer::start().await.unwrap();
    let options = Options {
        request_timeout: Duration::from_millis(500),
        ..server.options()
    };
    let store = Etcd::connect(&options).await.unwrap();
    server.kill();
    let read = store.get(b"/a").await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    let write = store.txn(Txn::put("/a", "1")).await;
    assert!(matches!(write, Err(Error::Unavailable { .. })), "{write:?}");
    server.restart().await.unwrap();
    assert!(store.get(b"/a").await.unwrap().0.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_cannot_be_used_are_refused() {
    let empty: [&str; 0] = [];
    for options in [Options::plain(empty), Options::plain(["not a host"])] {
        let error = Etcd::connect(&options).await.err();
        assert!(matches!(error, Some(Error::Invalid(_))), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_both_sides_show_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut authority = rcgen::CertificateParams::new(vec![]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let sign = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let ((server_cert, server_key), (client_cert, client_key)) = (sign("127.0.0.1"), sign("breakbulk"));
    let identity = ClientIdentity {
        certificate: client_cert.into(),
        key: client_key.into(),
    };
    let tls = Tls {
        ca: ca.pem().into(),
        identity: Some(identity),
        server_name: None,
    };
    let (ca, cert, key) = (file("ca", ca.pem()), file("cert", server_cert), file("key", server_key));
    let arguments = [
        "--client-cert-auth",
        "--trusted-ca-file",
        &ca,
        "--cert-file",
        &cert,
        "--key-file",
        &key,
    ];
    let server = EtcdServer::start_with(&arguments, Some(tls.clone())).await.unwrap();
    let store = Etcd::connect(&server.options()).await.unwrap();
    CASES[1].1(&store).await;
    let stranger = Options {
        tls: Some(Tls { identity: None, ..tls }),
        request_timeout: Duration::from_millis(500),
        ..server.options()
    };
    let error = Etcd::connect(&stranger).await.err();
    assert!(matches!(error, Some(Error::Unavailable { .. })), "{error:?}");
    let plain = Options {
        request_timeout: Duration::from_millis(500),
        ..Options::plain([server.endpoint().replace("https", "http")])
    };
    assert!(Etcd::connect(&plain).await.is_err());
}
