//! Events as a server sends them, and as a broken or hostile one does.

use super::*;

fn line(json: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(json).unwrap()
}

fn chunk(offset: u64, data: &str) -> Vec<u8> {
    line(&serde_json::json!({"type": "ADDED", "object": {
        "kind": "LogChunk", "apiVersion": "breakbulk.dev/v1",
        "metadata": {"name": "j", "resourceVersion": format!("{}", (1 << 48) | (offset + data.len() as u64))},
        "job": "j", "attempt": 1, "offset": offset, "time": "2026-01-02T03:04:05.678Z", "stream": "stdout", "data": data,
    }}))
}

fn follower() -> LogFollow {
    let service = tower_service();
    follow(
        service,
        "default",
        &LogTarget::Job {
            name: "j".into(),
            attempt: None,
        },
        LogOptions::default(),
    )
}

/// A client that nobody answers; these tests hand events in directly.
fn tower_service() -> Client {
    let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    Client::try_from(config).unwrap()
}

fn text(event: Option<LogEvent>) -> Option<String> {
    match event {
        Some(LogEvent::Chunk(LogChunk {
            payload: Payload::Data(bytes),
            ..
        })) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        _ => None,
    }
}

#[tokio::test]
async fn what_comes_again_after_a_reconnect_is_dropped_and_an_overlap_is_cut() {
    let mut follow = follower();
    assert_eq!(
        text(follow.event(&chunk(0, "hello ")).unwrap()).as_deref(),
        Some("hello ")
    );
    assert_eq!(text(follow.event(&chunk(0, "hello ")).unwrap()), None);
    assert_eq!(
        text(follow.event(&chunk(4, "o world")).unwrap()).as_deref(),
        Some("world")
    );
    assert_eq!(follow.cursor(), Some(&Cursor(((1u64 << 48) | 11).to_string())));
}

#[tokio::test]
async fn a_hole_is_asked_for_again_once_and_then_an_error() {
    let mut follow = follower();
    follow.event(&chunk(0, "ab")).unwrap();
    assert!(matches!(
        follow.event(&chunk(5, "f")).unwrap(),
        Some(LogEvent::Interrupted { .. })
    ));
    assert!(matches!(
        follow.event(&chunk(5, "f")),
        Err(LogError::Hole {
            expected: 2,
            got: 5,
            ..
        })
    ));
}

#[tokio::test]
async fn a_gap_moves_the_offset_over_what_is_missing() {
    let mut follow = follower();
    follow.event(&chunk(0, "ab")).unwrap();
    let gap = line(&serde_json::json!({"type": "ADDED", "object": {
        "metadata": {"resourceVersion": "9"}, "job": "j", "attempt": 1, "offset": 2,
        "gap": {"bytes": 10, "cause": "the node's disk was full"},
    }}));
    let Some(LogEvent::Chunk(got)) = follow.event(&gap).unwrap() else {
        panic!("no chunk")
    };
    assert_eq!(
        got.payload,
        Payload::Gap {
            bytes: 10,
            cause: "the node's disk was full".into()
        }
    );
    assert_eq!(text(follow.event(&chunk(12, "m")).unwrap()).as_deref(), Some("m"));
}

#[tokio::test]
async fn the_end_is_told_by_its_annotation_and_by_nothing_else() {
    let mut follow = follower();
    let bookmark = |annotations: serde_json::Value| {
        line(&serde_json::json!({"type": "BOOKMARK", "object": {
            "metadata": {"resourceVersion": "7", "annotations": annotations}}}))
    };
    assert_eq!(follow.event(&bookmark(serde_json::json!({}))).unwrap(), None);
    assert_eq!(follow.cursor(), Some(&Cursor("7".into())));
    assert!(!matches!(follow.state, State::Done));
    follow
        .event(&bookmark(serde_json::json!({"breakbulk.dev/log-end": "{}"})))
        .unwrap();
    assert_eq!(follow.next().await.unwrap(), None);
}

#[tokio::test]
async fn bytes_that_are_no_text_come_as_they_were() {
    let mut follow = follower();
    let event = line(&serde_json::json!({"type": "ADDED", "object": {
        "metadata": {"resourceVersion": "3"}, "job": "j", "attempt": 1, "offset": 0, "dataBase64": "//4A"}}));
    let Some(LogEvent::Chunk(got)) = follow.event(&event).unwrap() else {
        panic!("no chunk")
    };
    assert_eq!(got.payload, Payload::Data(Bytes::from_static(&[0xff, 0xfe, 0x00])));
}

#[tokio::test]
async fn what_is_no_event_is_an_error_and_not_a_panic() {
    for bytes in [
        &b"{"[..],
        b"[]",
        b"{\"type\":\"ADDED\",\"object\":{}}",
        b"\xff",
        b"{\"type\":\"ADDED\",\"object\":3}",
    ] {
        assert!(matches!(follower().event(bytes), Err(LogError::Malformed(_))));
    }
}

#[test]
fn the_second_connection_asks_behind_the_cursor_and_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let options = LogOptions {
        tail_lines: Some(10),
        ..LogOptions::default()
    };
    let target = LogTarget::Run { name: "r".into() };
    let mut follow = follow(tower_service(), "ci", &target, options);
    assert_eq!(
        follow.uri(),
        "/apis/breakbulk.dev/v1/namespaces/ci/pipelineruns/r/log?watch=true&tailLines=10"
    );
    follow.event(&chunk(0, "x")).unwrap();
    let cursor = (1u64 << 48) | 1;
    assert_eq!(
        follow.uri(),
        format!("/apis/breakbulk.dev/v1/namespaces/ci/pipelineruns/r/log?watch=true&resourceVersion={cursor}")
    );
}

/// A server that answers each connection with the next of these bodies, and then breaks the connection off; gives
/// the targets it was asked for.
async fn breaking_server(bodies: Vec<Vec<u8>>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        let mut asked = Vec::new();
        for body in bodies {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            asked.push(request.split(' ').nth(1).unwrap_or_default().to_owned());
            // Longer than what comes: to the reader the connection breaks in the middle.
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len() + 1000);
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
        }
        asked
    };
    (port, tokio::spawn(serve))
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_where_it_broke_and_nothing_is_lost_or_doubled() {
    let join = |events: &[Vec<u8>]| {
        events
            .iter()
            .flat_map(|e| e.iter().copied().chain([b'\n']))
            .collect::<Vec<u8>>()
    };
    let end = line(&serde_json::json!({"type": "BOOKMARK", "object": {
        "metadata": {"resourceVersion": "9", "annotations": {"breakbulk.dev/log-end": "{}"}}}}));
    // The first connection breaks in the middle of an event.
    let mut first = join(&[chunk(0, "one "), chunk(4, "two ")]);
    first.extend_from_slice(&chunk(8, "three ")[..40]);
    let second = join(&[chunk(4, "two "), chunk(8, "three")]);
    let third = join(&[chunk(13, "!"), end]);
    let (port, server) = breaking_server(vec![first, second, third]).await;
    let client = Client::try_from(kube::Config::new(format!("http://127.0.0.1:{port}").parse().unwrap())).unwrap();
    let target = LogTarget::Job {
        name: "j".into(),
        attempt: Some(1),
    };
    let mut follow = follow(client, "default", &target, LogOptions::default());
    let mut got = String::new();
    let mut breaks = 0;
    while let Some(event) = follow.next().await.unwrap() {
        match event {
            LogEvent::Interrupted { .. } => breaks += 1,
            chunk => got.push_str(&text(Some(chunk)).unwrap()),
        }
    }
    assert_eq!((got.as_str(), breaks), ("one two three!", 2));
    let cursor = |offset: u64| format!("&resourceVersion={}", (1u64 << 48) | offset);
    let asked = server.await.unwrap();
    assert!(!asked[0].contains("resourceVersion"), "{asked:?}");
    assert!(
        asked[1].ends_with(&cursor(8)) && asked[2].ends_with(&cursor(13)),
        "{asked:?}"
    );
}
