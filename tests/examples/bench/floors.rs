//! What the machine itself can do: the least that must happen for each figure, and nothing else.

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::report::median;

/// Milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// One `bash -c true` in fresh user, mount, pid, ipc, uts and network namespaces, started and waited for, in ms. The
/// namespaces are made by util-linux's `unshare`, where there is one; else this is the plain start.
pub(crate) fn start_a_script(samples: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        script()?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

/// The same on every core at once: starts per second.
pub(crate) fn scripts_per_second(samples: usize) -> Result<f64> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let each = samples.div_ceil(cores);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| (0..each).try_for_each(|_| script())))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let all = (each * cores) as f64;
    Ok(all / start.elapsed().as_secs_f64())
}

fn script() -> Result<()> {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "--ipc",
        "--uts",
        "--net",
    ]);
    command
        .args(["bash", "-c", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let status = Command::new("bash")
        .args(["-c", "true"])
        .status()
        .context("cannot start bash")?;
    if status.success() {
        Ok(())
    } else {
        bail!("bash failed: {status}")
    }
}

/// A program started and waited for, in ms.
pub(crate) fn start_of(program: &Path, samples: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        let mut command = Command::new(program);
        command
            .arg("--help")
            .stdout(Stdio::null())
            .status()
            .context("cannot start a program")?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

/// A request of 1 KB and its answer over TLS on the loopback, on a connection that is there, in ms.
pub(crate) async fn tls_round_trip(samples: usize) -> Result<f64> {
    let (server, client) = tls()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen")?;
    let address = listener.local_addr().context("no address")?;
    let serve = async move {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(socket).await?;
        let mut buffer = [0; 1024];
        while stream.read_exact(&mut buffer).await.is_ok() {
            stream.write_all(&buffer).await?;
            stream.flush().await?;
        }
        anyhow::Ok(())
    };
    let serving = tokio::spawn(serve);
    let socket = tokio::net::TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    socket.set_nodelay(true).context("cannot set an option")?;
    let name = ServerName::try_from("localhost").context("not a name")?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, socket).await.context("no TLS")?;
    let mut buffer = [1; 1024];
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        stream.write_all(&buffer).await.context("cannot write")?;
        stream.flush().await.context("cannot flush")?;
        stream.read_exact(&mut buffer).await.context("cannot read")?;
        times.push(millis(start.elapsed()));
    }
    drop(stream);
    serving.abort();
    Ok(median(&times))
}

/// Bytes sent over TLS on the loopback and read: MB/s.
pub(crate) async fn tls_throughput(bytes: usize, samples: usize) -> Result<f64> {
    let (server, client) = tls()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen")?;
    let address = listener.local_addr().context("no address")?;
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await?;
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(socket).await?;
        let data = vec![7; bytes];
        while stream.read_u8().await.is_ok() {
            stream.write_all(&data).await?;
            stream.flush().await?;
        }
        anyhow::Ok(())
    });
    let socket = tokio::net::TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    let name = ServerName::try_from("localhost").context("not a name")?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, socket).await.context("no TLS")?;
    let mut buffer = vec![0; 64 << 10];
    let mut rates = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        stream.write_u8(1).await.context("cannot write")?;
        stream.flush().await.context("cannot flush")?;
        let mut left = bytes;
        while left > 0 {
            left -= stream.read(&mut buffer).await.context("cannot read")?;
        }
        rates.push(megabytes(bytes as u64) / start.elapsed().as_secs_f64());
    }
    drop(stream);
    serving.abort();
    Ok(median(&rates))
}

/// One kilobyte from a bare HTTP/2 server to this many readers of streams that are open: ms until the last has it.
pub(crate) async fn fan_out(readers: usize, per_connection: usize, samples: usize) -> Result<f64> {
    let (mut server, client) = tls()?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen")?;
    let address = listener.local_addr().context("no address")?.to_string();
    let (events, _) = tokio::sync::broadcast::channel::<bytes::Bytes>(16);
    let sender = events.clone();
    let serving = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move { serve_stream(acceptor.accept(socket).await?, sender).await });
        }
        #[expect(unreachable_code, reason = "it says what the errors are")]
        anyhow::Ok(())
    });
    let wire = crate::wire::Wire::to(client, address);
    let mut kilobyte = vec![b'x'; 1023];
    kilobyte.push(b'\n');
    let kilobyte = bytes::Bytes::from(kilobyte);
    let (seen, mut tasks) = crate::watchers::watch(&wire, readers, per_connection, "/", 0).await?;
    let mut times = Vec::new();
    for _ in 0..samples {
        let start = Instant::now();
        events.send(kilobyte.clone()).context("nobody listens")?;
        seen.everybody(readers).await;
        times.push(millis(start.elapsed()));
    }
    tasks.shutdown().await;
    serving.abort();
    Ok(median(&times))
}

/// Answers every request of a connection with all events from then on.
async fn serve_stream(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    events: tokio::sync::broadcast::Sender<bytes::Bytes>,
) -> Result<()> {
    let service = hyper::service::service_fn(move |_| {
        let events = events.subscribe();
        let frames = futures::stream::unfold(events, |mut events| async move {
            let event = events.recv().await.ok()?;
            Some((
                Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(event)),
                events,
            ))
        });
        let body = http_body_util::StreamBody::new(Box::pin(frames));
        std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(body)))
    });
    let executor = hyper_util::rt::TokioExecutor::new();
    let connection = hyper::server::conn::http2::Builder::new(executor)
        .max_concurrent_streams(1000)
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
    connection.await.context("a connection ended badly")
}

fn tls() -> Result<(rustls::ServerConfig, rustls::ClientConfig)> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .context("cannot make a certificate")?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let certificate = own.cert.der().clone();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).context("cannot trust a certificate")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let server = server.context("no TLS versions")?.with_no_client_auth();
    let server = server
        .with_single_cert(vec![certificate], key)
        .context("cannot use a certificate")?;
    let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client
        .context("no TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((server, client))
}

/// What a script writes, read from its pipe, sent over the loopback, stored in a file and read by one more reader:
/// MB/s.
pub(crate) fn pipe_to_reader(directory: &Path, bytes: u64) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let address = listener.local_addr().context("no address")?;
    let mut file = File::create(directory.join("floor-log")).context("cannot make a file")?;
    let start = Instant::now();
    let mut child = yes(bytes)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a script")?;
    let mut pipe = child.stdout.take().context("a script has no output")?;
    let sender = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(address)?;
        copy(&mut pipe, &mut |bytes| socket.write_all(bytes))
    });
    let (mut incoming, _) = listener.accept().context("nobody connects")?;
    let mut reader = TcpStream::connect(address).context("cannot connect")?;
    let (mut outgoing, _) = listener.accept().context("nobody connects")?;
    let reading = std::thread::spawn(move || copy(&mut reader, &mut |_| Ok(())));
    let stored = copy(&mut incoming, &mut |bytes| {
        file.write_all(bytes).and_then(|()| outgoing.write_all(bytes))
    });
    let stored = stored.context("cannot store")?;
    drop(outgoing);
    for thread in [sender, reading] {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?
            .context("cannot copy")?;
    }
    child.wait().context("cannot wait for a script")?;
    Ok(megabytes(stored) / start.elapsed().as_secs_f64())
}

/// A script that writes so many bytes of lines.
pub(crate) fn yes(bytes: u64) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &yes_script(bytes)]);
    command
}

/// Its text.
pub(crate) fn yes_script(bytes: u64) -> String {
    format!(
        "yes 'a line of some eighty characters, as a compiler or a test runner would print..' | head -c {bytes} || true"
    )
}

/// In millions.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let bytes = bytes as f64;
    bytes / 1e6
}

fn copy(from: &mut impl std::io::Read, to: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut all = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(all);
        }
        to(&buffer[..count])?;
        all += count as u64;
    }
}
