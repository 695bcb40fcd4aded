//! [sig-cli] Kubectl client. Upstream's Deployments and Pods are Pipelines and ConfigMaps here.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use breakbulk_conformance::case::{Case, SOON, config_map};
use breakbulk_conformance::suite::Test;
use breakbulk_conformance::tests;
use breakbulk_tests::wait::{self, Look};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};

pub(crate) const TESTS: &[Test] = tests![
    "[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions" => api_versions,
    "[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info" => cluster_info,
    "[sig-cli] Kubectl client Kubectl version should check is all data is printed" => version,
    "[sig-cli] Kubectl client Proxy server should support --unix-socket=/path" => proxy_socket,
    "[sig-cli] Kubectl client Proxy server should support proxy with --port 0" => proxy_port,
    "[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments" => diff,
    "[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods" => dry_run,
];

async fn api_versions(case: &Case) -> Result<()> {
    let versions = case.kubectl().run(&["api-versions"], "").await?;
    ensure!(versions.lines().any(|line| line == "v1"), "{versions}");
    Ok(())
}

async fn cluster_info(case: &Case) -> Result<()> {
    let info = case.kubectl().run(&["cluster-info"], "").await?;
    ensure!(
        info.contains("Kubernetes control plane") && info.contains("is running at"),
        "{info}"
    );
    Ok(())
}

async fn version(case: &Case) -> Result<()> {
    let version = case.kubectl().run(&["version"], "").await?;
    for part in ["Client Version: v", "Server Version: v"] {
        ensure!(version.contains(part), "{part} is not in {version}");
    }
    Ok(())
}

async fn proxy_port(case: &Case) -> Result<()> {
    let mut command = tokio::process::Command::from(case.kubectl().command(&["proxy", "-p", "0", "--disable-filter"]));
    let mut proxy = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(proxy.stdout.take().context("no output")?).lines();
    let line = lines.next_line().await?.context("the proxy said nothing")?;
    let address = line.rsplit(' ').next().context("no address")?.to_owned();
    let stream = TcpStream::connect(&address).await.with_context(|| line.clone())?;
    let answer = ask(stream, "/api/").await?;
    ensure!(answer.contains("200 OK") && answer.contains("APIVersions"), "{answer}");
    proxy.kill().await?;
    Ok(())
}

async fn proxy_socket(case: &Case) -> Result<()> {
    let socket = case.file("placeholder", "")?.with_file_name("proxy.sock");
    let argument = format!("--unix-socket={}", socket.display());
    let mut command = tokio::process::Command::from(case.kubectl().command(&["proxy", &argument]));
    let mut proxy = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let answer = wait::until("the proxy to answer", SOON, async || {
        Ok(Look::Done(ask(UnixStream::connect(&socket).await?, "/api/").await?))
    })
    .await?;
    ensure!(answer.contains("200 OK") && answer.contains("APIVersions"), "{answer}");
    proxy.kill().await?;
    Ok(())
}

/// A request by hand, to be read to its end.
async fn ask(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

const PIPELINE: &str = "
apiVersion: breakbulk.dev/v1
kind: Pipeline
metadata: { name: httpd }
spec: { jobs: { serve: { run: 'echo one' } } }
";

async fn diff(case: &Case) -> Result<()> {
    let kubectl = case.kubectl();
    kubectl.run(&["apply", "-f", "-"], PIPELINE).await?;
    let same = kubectl.call(&["diff", "-f", "-"], PIPELINE).await?;
    ensure!(same.fine && same.out.is_empty(), "{same:?}");
    let other = kubectl
        .call(&["diff", "-f", "-"], &PIPELINE.replace("echo one", "echo two"))
        .await?;
    let shown = ["-", "+"].map(|sign| {
        other
            .out
            .lines()
            .any(|line| line.starts_with(sign) && line.contains("echo"))
    });
    ensure!(!other.fine && shown == [true, true], "{other:?}");
    Ok(())
}

async fn dry_run(case: &Case) -> Result<()> {
    let maps = case.core("configmaps");
    case.create(&maps, &config_map("tried", "image", "one")).await?;
    let kubectl = case.kubectl();
    let patch = r#"{"data":{"image":"two"}}"#;
    let said = kubectl
        .run(&["patch", "configmap", "tried", "-p", patch, "--dry-run=server"], "")
        .await?;
    ensure!(said.contains("patched"), "{said}");
    let image = kubectl
        .run(&["get", "configmap", "tried", "-o", "jsonpath={.data.image}"], "")
        .await?;
    ensure!(image == "one", "a trial is not kept: {image}");
    Ok(())
}
