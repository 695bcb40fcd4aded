//! One connection and the requests that follow each other on it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kube::client::ConfigExt as _;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{On, TestServer};

async fn connect(config: &kube::Config) -> SendRequest<Full<Bytes>> {
    let address = config.cluster_url.authority().unwrap().as_str();
    let tls = TlsConnector::from(Arc::new(config.rustls_client_config().unwrap()));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = tls.connect(name, stream).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, method: &str, path: &str, body: Vec<u8>) -> StatusCode {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::from(body))
        .unwrap();
    sender.ready().await.unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let code = answer.status();
    answer.into_body().collect().await.unwrap();
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_does_not_wait_for_the_body_leaves_the_connection_to_the_next_request() {
    let server = TestServer::start(On::Embedded).await;
    let mut sender = connect(&server.client_config().await).await;
    for _ in 0..20 {
        let nowhere = "/apis/nothing.example.com/v1/things";
        let code = ask(&mut sender, "POST", nowhere, vec![b'x'; 200_000]).await;
        assert_eq!(code, StatusCode::NOT_FOUND);
        assert_eq!(ask(&mut sender, "GET", "/version", Vec::new()).await, StatusCode::OK);
    }
    server.stop().await;
}
