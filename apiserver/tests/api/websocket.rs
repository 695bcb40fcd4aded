//! Watches and logs as WebSockets, as a browser's programs open them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::client::ConfigExt as _;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::crud::job;
use crate::harness::{On, TestServer};

type Socket = WebSocketStream<TlsStream<TcpStream>>;
/// What was agreed on, or the code and the text of the refusal.
type Opened = Result<(Socket, Option<String>), (u16, String)>;

async fn open(config: &kube::Config, path: &str, protocols: &[&str]) -> Opened {
    let address = config.cluster_url.authority().unwrap().as_str();
    let tls = TlsConnector::from(Arc::new(config.rustls_client_config().unwrap()));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = tls.connect(name, stream).await.unwrap();
    let mut request = format!("wss://{address}{path}").into_client_request().unwrap();
    if !protocols.is_empty() {
        let offered = HeaderValue::from_str(&protocols.join(", ")).unwrap();
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offered);
    }
    match client_async(request, stream).await {
        Ok((socket, answer)) => {
            let agreed = answer.headers().get(SEC_WEBSOCKET_PROTOCOL);
            Ok((socket, agreed.map(|p| p.to_str().unwrap().to_owned())))
        }
        Err(Error::Http(answer)) => Err((
            answer.status().as_u16(),
            String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into_owned(),
        )),
        Err(other) => panic!("{other}"),
    }
}

async fn next_event(socket: &mut Socket) -> Value {
    match socket.next().await.unwrap().unwrap() {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("not an event: {other:?}"),
    }
}

async fn a_watch_is_a_message_for_each_event_and_ends_in_order(server: &TestServer) {
    let config = server.client_config().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    let path = "/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name=seen&timeoutSeconds=3";
    let (mut socket, agreed) = open(&config, path, &[]).await.unwrap();
    assert_eq!(agreed, None);
    let made = serde_json::from_value(json!({"metadata": {"name": "seen"}})).unwrap();
    maps.create(&PostParams::default(), &made).await.unwrap();
    maps.delete("seen", &DeleteParams::default()).await.unwrap();
    for expected in ["ADDED", "DELETED"] {
        let event = next_event(&mut socket).await;
        assert_eq!(event["type"], expected);
        assert_eq!(event["object"]["metadata"]["name"], "seen");
    }
    // What a client says does not matter, and the end comes with a goodbye.
    futures::SinkExt::send(&mut socket, Message::text("hello"))
        .await
        .unwrap();
    let rest: Vec<_> = socket.by_ref().map(|m| m.unwrap()).collect().await;
    assert!(matches!(rest.as_slice(), [Message::Close(_)]), "{rest:?}");
}

async fn a_log_is_binary_or_base64_as_the_client_offers(server: &TestServer) {
    let config = server.client_config().await;
    let jobs: Api<breakbulk_schemas::Job> = Api::default_namespaced(server.client().await);
    jobs.create(&PostParams::default(), &job("told")).await.unwrap();
    let path = "/api/v1/namespaces/default/pods/told/log";
    let (mut socket, agreed) = open(&config, path, &["base64.binary.k8s.io"]).await.unwrap();
    assert_eq!(agreed.as_deref(), Some("base64.binary.k8s.io"));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(""));
    let (mut socket, agreed) = open(&config, path, &[]).await.unwrap();
    assert_eq!(agreed, None);
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(vec![]));
    let refused = open(&config, path, &["soap"]).await.err().unwrap();
    assert_eq!(refused.0, 400, "{}", refused.1);
}

async fn a_token_may_be_a_subprotocol_and_a_refusal_is_a_plain_answer(server: &TestServer) {
    let client = server.client().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client);
    let account = serde_json::from_value(json!({"metadata": {"name": "browser"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let ask = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
    let parameters = PostParams::default();
    let issued = accounts.create_token_request("browser", &parameters, &ask).await;
    let token = issued.unwrap().status.unwrap().token;
    let mut config = server.client_config().await;
    config.auth_info = kube::config::AuthInfo::default();
    let path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1";
    let bearer = format!(
        "base64url.bearer.authorization.k8s.io.{}",
        URL_SAFE_NO_PAD.encode(&token)
    );
    // It is known, and may not: that is another answer than for somebody unknown.
    let (code, text) = open(&config, path, &[&bearer, "mine"]).await.err().unwrap();
    assert_eq!(code, 403);
    assert!(text.contains("system:serviceaccount:default:browser"), "{text}");
    let wrong = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode("x"));
    assert_eq!(open(&config, path, &[&wrong, "mine"]).await.err().unwrap().0, 401);

    // An administrator's certificate counts more, and the token is not agreed on.
    let config = server.client_config().await;
    let (_, agreed) = open(&config, path, &[&bearer, "mine"]).await.unwrap();
    assert_eq!(agreed.as_deref(), Some("mine"));
    // What is no stream stays a plain answer.
    let plain = open(&config, "/api/v1/namespaces/default/configmaps", &[]).await;
    assert_eq!(plain.err().unwrap().0, 200);
    let missing = open(&config, "/api/v1/namespaces/default/pods/nope/log", &[]).await;
    assert_eq!(missing.err().unwrap().0, 404);
}

async fn the_server_can_stop_while_a_socket_is_open(server: TestServer) {
    let config = server.client_config().await;
    let path = "/api/v1/namespaces/default/serviceaccounts?watch=1";
    let (mut socket, _) = open(&config, path, &[]).await.unwrap();
    next_event(&mut socket).await;
    server.stop().await;
    while let Some(Ok(_)) = socket.next().await {}
}

async fn all(on: On) {
    let server = TestServer::start(on).await;
    a_watch_is_a_message_for_each_event_and_ends_in_order(&server).await;
    a_log_is_binary_or_base64_as_the_client_offers(&server).await;
    a_token_may_be_a_subprotocol_and_a_refusal_is_a_plain_answer(&server).await;
    the_server_can_stop_while_a_socket_is_open(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_websockets_for_those_who_wish_on_the_embedded_store() {
    all(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_websockets_for_those_who_wish_on_etcd() {
    all(On::Etcd).await;
}
