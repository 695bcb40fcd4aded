//! What the options of `bulk up` mean. Every mistake is told at once, before anything is started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use breakbulk_apiserver::AuditConfig;
use breakbulk_schemas::pipeline::Network as JobNetwork;

use super::Args;
use crate::failure::Failure;
use crate::session;

/// Everything `up` needs to know.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) data_dir: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) store: Store,
    pub(super) node: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) expose: Vec<PathBuf>,
    pub(super) slots: Option<u32>,
    pub(super) network: JobNetwork,
    pub(super) shim: PathBuf,
    pub(super) local_git: bool,
    pub(super) audit: Option<AuditConfig>,
}

/// `--store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// In this process, below the data directory.
    Embedded,
    /// In an etcd cluster, at these endpoints.
    Etcd(Vec<String>),
}

/// `--network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Network {
    Host,
    None,
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        let (scheme, members) = match text.split_once("://") {
            Some(("etcd", members)) => ("http", members),
            Some(("etcds", members)) => ("https", members),
            _ => return Err("`embedded` or `etcd://HOST:PORT,…` is expected".to_owned()),
        };
        let member = |member: &str| {
            let port = member
                .rsplit_once(':')
                .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            match port {
                Some((host, _)) if !host.is_empty() && !host.contains('/') => Ok(format!("{scheme}://{member}")),
                _ => Err(format!("{member:?} is no HOST:PORT")),
            }
        };
        members.split(',').map(member).collect::<Result<_, _>>().map(Self::Etcd)
    }
}

impl Settings {
    pub(super) fn new(args: Args) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let data_dir = args.data_dir.unwrap_or_else(session::default_data_dir);
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        let labels = labels(&args.labels, &mut problems);
        let expose: Vec<_> = args
            .expose
            .iter()
            .filter_map(|path| exposed(path, &mut problems))
            .collect();
        let node = args.node_name.unwrap_or_else(host_name);
        if !is_node_name(&node) {
            problems.push(format!(
                "{node:?} cannot be a node's name: at most 63 lower case letters, digits, `-` and `.`; choose one with \
                 --node-name"
            ));
        }
        let shim = args.shim.unwrap_or_else(beside_us);
        if !shim.is_file() {
            problems.push(format!(
                "there is no {}, without which no job can run: install it beside bulk, or name it with --shim",
                shim.display()
            ));
        }
        if !problems.is_empty() {
            return Err(Failure::said(problems.join("\n      ")));
        }
        let network = match args.network {
            Network::Host => JobNetwork::Host,
            Network::None => JobNetwork::None,
        };
        let (listen, store, slots, local_git) = (args.listen, args.store, args.slots, !args.no_local_git);
        let audit = args.audit_log.map(|path| AuditConfig::file(path, args.audit_policy));
        Ok(Self {
            data_dir,
            listen,
            store,
            node,
            labels,
            expose,
            slots,
            network,
            shim,
            local_git,
            audit,
        })
    }
}

fn labels(typed: &[String], problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for text in typed {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                labels.insert(key.to_owned(), value.to_owned());
            }
            _ => problems.push(format!("--node-label {text:?}: KEY=VALUE is expected")),
        }
    }
    labels
}

fn exposed(path: &Path, problems: &mut Vec<String>) -> Option<PathBuf> {
    match std::fs::canonicalize(path) {
        // Jobs see it at the path that was given: what links to it from elsewhere stays valid.
        Ok(_) => std::path::absolute(path).ok(),
        Err(error) => {
            problems.push(format!("--expose {}: {error}", path.display()));
            None
        }
    }
}

fn is_node_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= 63 && bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

/// This machine's name, as far as it can be a node's.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fits = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = name.trim().chars().take(63).map(fits).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() {
        "node".to_owned()
    } else {
        name.to_owned()
    }
}

/// `bulk-shim` beside the running program.
fn beside_us() -> PathBuf {
    std::env::current_exe()
        .map(|own| own.with_file_name("bulk-shim"))
        .unwrap_or_else(|_| PathBuf::from("bulk-shim"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_embedded_or_a_list_of_etcd_members() {
        assert_eq!("embedded".parse(), Ok(Store::Embedded));
        let members = vec!["http://a:1".to_owned(), "http://[::1]:2379".to_owned()];
        assert_eq!("etcd://a:1,[::1]:2379".parse(), Ok(Store::Etcd(members)));
        for text in ["", "etcd://", "etcd://a", "etcd://a:b", "http://a:1", "etcd://a:1,"] {
            assert!(text.parse::<Store>().is_err(), "{text}");
        }
    }

    #[test]
    fn node_names_are_dns_names() {
        for name in ["a", "build-01.example.org"] {
            assert!(is_node_name(name), "{name}");
        }
        for name in ["", "A", "-a", "a.", "a_b", &"a".repeat(64)] {
            assert!(!is_node_name(name), "{name}");
        }
    }
}
