//! Where commits come from: an address that git may be given, and credentials that never touch the disk.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::MemfdFlags;

use super::git::Environment;
use crate::config::LocalGit;
use crate::secrets::Data;

/// A repository's address with what is needed to read it.
#[derive(Debug)]
pub(crate) struct Source {
    url: String,
    protocol: Protocol,
    credentials: Credentials,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Ssh,
    Git,
    File,
}

/// How to show who we are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    None,
    Password { user: String, password: String },
    Ssh { key: Vec<u8>, known_hosts: Vec<u8> },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password",
            Self::Ssh { .. } => "Ssh",
        })
    }
}

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("its url is none that git may be given")]
    Url,
    #[error("this node does not check out repositories of its own machine")]
    Local,
    #[error("its Secret has neither `username` and `password` nor `ssh-privatekey` and `known_hosts`")]
    Credentials,
    #[error("its Secret is not text")]
    NotText,
    #[error("cannot keep its key in memory")]
    Memory(#[source] std::io::Error),
}

impl Credentials {
    /// Reads them from a Secret.
    pub(crate) fn of(data: &Data) -> Result<Self, SourceError> {
        let get = |key: &str| data.get(key).map(|value| value.0.clone());
        if let (Some(key), Some(known_hosts)) = (get("ssh-privatekey"), get("known_hosts")) {
            return Ok(Self::Ssh { key, known_hosts });
        }
        let text = |value: Vec<u8>| String::from_utf8(value).map_err(|_| SourceError::NotText);
        match (get("username"), get("password")) {
            (user, Some(password)) => Ok(Self::Password {
                user: user.map_or_else(|| Ok("git".to_owned()), text)?,
                password: text(password)?,
            }),
            _ => Err(SourceError::Credentials),
        }
    }
}

impl Source {
    /// Checks an address again, whoever has checked it before: it becomes an argument of git.
    pub(crate) fn new(url: &str, credentials: Credentials, local: LocalGit) -> Result<Self, SourceError> {
        let protocol = protocol(url).ok_or(SourceError::Url)?;
        if protocol == Protocol::File && local == LocalGit::Refused {
            return Err(SourceError::Local);
        }
        Ok(Self {
            url: url.to_owned(),
            protocol,
            credentials,
        })
    }

    /// The address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What git must be told to read from here, and nothing else. The environment keeps what it names alive.
    pub(crate) fn environment(&self) -> Result<Environment, SourceError> {
        let mut environment = Environment::default();
        environment.set(
            "GIT_ALLOW_PROTOCOL",
            match self.protocol {
                Protocol::Http => "https:http",
                Protocol::Ssh => "ssh",
                Protocol::Git => "git",
                Protocol::File => "file",
            },
        );
        match &self.credentials {
            Credentials::Password { user, password } if self.protocol == Protocol::Http => {
                let token = base64(format!("{user}:{password}").as_bytes());
                environment.config("http.extraHeader", &format!("Authorization: Basic {token}"));
                // A redirect to another host must not be given the header.
                environment.config("http.followRedirects", "false");
                environment.hide(password);
                environment.hide(&token);
            }
            Credentials::Ssh { key, known_hosts } if self.protocol == Protocol::Ssh => {
                let key = environment.keep(in_memory(key).map_err(SourceError::Memory)?);
                let hosts = environment.keep(in_memory(known_hosts).map_err(SourceError::Memory)?);
                environment.set(
                    "GIT_SSH_COMMAND",
                    &format!(
                        "ssh -F /dev/null -i {key} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
                         -o UserKnownHostsFile={hosts} -o GlobalKnownHostsFile=/dev/null"
                    ),
                );
            }
            _ => environment.set("GIT_SSH_COMMAND", "ssh -F /dev/null -o BatchMode=yes"),
        }
        Ok(environment)
    }
}

fn protocol(url: &str) -> Option<Protocol> {
    let odd = |c: char| c.is_control() || c.is_whitespace();
    if url.is_empty() || url.len() > 2048 || url.starts_with('-') || url.contains("::") || url.chars().any(odd) {
        return None;
    }
    let host_like =
        |host: &str| !host.is_empty() && host.split('@').all(|part| !part.is_empty() && !part.starts_with('-'));
    if let Some((scheme, rest)) = url.split_once("://") {
        let authority = rest.split('/').next().unwrap_or_default();
        return match scheme {
            "file" => Some(Protocol::File),
            "https" | "http" if host_like(authority) => Some(Protocol::Http),
            "ssh" if host_like(authority) => Some(Protocol::Ssh),
            "git" if host_like(authority) => Some(Protocol::Git),
            _ => None,
        };
    }
    if url.starts_with('/') {
        return Some(Protocol::File);
    }
    let (host, path) = url.split_once(':')?;
    (!host.contains('/') && host_like(host) && !path.starts_with('-')).then_some(Protocol::Ssh)
}

/// A file that exists in memory alone. Its path is good for programs of the same user while it is open.
fn in_memory(content: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("git-credentials", MemfdFlags::CLOEXEC)?);
    // ssh refuses a key that others could read.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    if !content.ends_with(b"\n") {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// The path of an open file of this process, for its children.
pub(crate) fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit > chunk.len() {
                '='
            } else {
                char::from(DIGITS[index])
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_could_take_for_an_option_or_a_command_is_refused() {
        for bad in [
            "",
            "-oProxyCommand=x",
            "ext::sh -c id",
            "ext::sh",
            "ssh://-oProxyCommand=x/y",
            "ssh://u@-oProxyCommand=x/y",
            "-x:y",
            "git@-x:y",
            "host:-x",
            "ftp://x/y",
            "a/b",
            "x y",
            "https:///x",
            "fd::17",
        ] {
            assert!(Source::new(bad, Credentials::None, LocalGit::Allowed).is_err(), "{bad}");
        }
        for good in [
            "https://h/a",
            "git@h:a/b",
            "ssh://git@h:22/a",
            "file:///srv/a",
            "/srv/a",
            "git://h/a",
        ] {
            assert!(
                Source::new(good, Credentials::None, LocalGit::Allowed).is_ok(),
                "{good}"
            );
        }
        for local in ["file:///srv/a", "/srv/a"] {
            let refused = Source::new(local, Credentials::None, LocalGit::Refused);
            assert!(matches!(refused, Err(SourceError::Local)), "{local}");
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
