//! What a repository's Secret gives git: through the environment and private files that live as long as the call,
//! never in an argument or an address, and taken out of whatever git complains.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use breakbulk_schemas::GitRepository;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use tempfile::TempDir;

use crate::runtime::{ApiError, Key};
use crate::world::World;

/// Answers git's questions from the environment of the call.
const ASKPASS: &str = "#!/bin/sh\ncase \"$1\" in Username*) printf '%s\\n' \"$BULK_GIT_USERNAME\";; *) printf '%s\\n' \"$BULK_GIT_PASSWORD\";; esac\n";

/// Credentials for one look.
#[derive(Default)]
pub(super) struct Credentials {
    environment: Vec<(&'static str, String)>,
    secrets: Vec<String>,
    /// Holds the files that the environment speaks of.
    _files: Option<TempDir>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// What to set for the call.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// A text without the secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets
            .iter()
            .filter(|secret| secret.len() >= 3)
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// The credentials of a repository. The inner error is for people: the Secret is not there, or not usable.
pub(super) async fn of(
    world: &World,
    repository: &GitRepository,
    data_dir: &Path,
) -> Result<Result<Credentials, String>, ApiError> {
    let Some(reference) = &repository.spec.secret_ref else {
        return Ok(Ok(Credentials::default()));
    };
    let Some(secret) = world
        .secrets
        .fetch(&Key::of(repository).sibling(&reference.name))
        .await?
    else {
        return Ok(Err(format!("there is no secret `{}`", reference.name)));
    };
    let built = build(&secret, data_dir);
    Ok(built.unwrap_or_else(|error| Err(format!("cannot use the secret `{}`: {error}", secret.name_any()))))
}

fn build(secret: &Secret, data_dir: &Path) -> std::io::Result<Result<Credentials, String>> {
    let value = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key))?;
        String::from_utf8(bytes.0.clone())
            .ok()
            .map(|text| text.trim_end_matches('\n').to_owned())
    };
    let files = || {
        std::fs::create_dir_all(data_dir)?;
        tempfile::Builder::new().prefix("credentials-").tempdir_in(data_dir)
    };
    if let Some(key) = value("ssh-privatekey") {
        let Some(hosts) = value("known_hosts") else {
            return Ok(Err("`ssh-privatekey` needs `known_hosts` beside it".to_owned()));
        };
        let files = files()?;
        private(&files.path().join("key"), &format!("{key}\n"), 0o600)?;
        private(&files.path().join("known_hosts"), &format!("{hosts}\n"), 0o600)?;
        let command = format!(
            "ssh -F /dev/null -i '{0}/key' -o IdentitiesOnly=yes -o UserKnownHostsFile='{0}/known_hosts' -o StrictHostKeyChecking=yes -o BatchMode=yes",
            files.path().display()
        );
        return Ok(Ok(Credentials {
            environment: vec![("GIT_SSH_COMMAND", command)],
            secrets: vec![key],
            _files: Some(files),
        }));
    }
    let Some(password) = value("password") else {
        return Ok(Err("it has neither `password` nor `ssh-privatekey`".to_owned()));
    };
    let files = files()?;
    let askpass = files.path().join("askpass");
    private(&askpass, ASKPASS, 0o700)?;
    let environment = vec![
        ("GIT_ASKPASS", askpass.display().to_string()),
        (
            "BULK_GIT_USERNAME",
            value("username").unwrap_or_else(|| "git".to_owned()),
        ),
        ("BULK_GIT_PASSWORD", password.clone()),
    ];
    Ok(Ok(Credentials {
        environment,
        secrets: vec![password],
        _files: Some(files),
    }))
}

fn private(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_password_is_in_the_environment_alone_and_taken_out_of_complaints() {
        let dir = tempfile::tempdir().unwrap();
        let data = BTreeMap::from([("password".to_owned(), ByteString(b"hunter2\n".to_vec()))]);
        let secret = Secret {
            data: Some(data),
            ..Secret::default()
        };
        let credentials = build(&secret, dir.path()).unwrap().unwrap();
        assert!(
            credentials
                .environment()
                .any(|(name, value)| (name, value) == ("BULK_GIT_PASSWORD", "hunter2"))
        );
        assert_eq!(credentials.redact("fatal: hunter2 is wrong"), "fatal: *** is wrong");
        assert!(!format!("{credentials:?}").contains("hunter2"));
        let askpass = credentials
            .environment()
            .find(|(name, _)| *name == "GIT_ASKPASS")
            .unwrap()
            .1
            .to_owned();
        assert!(!std::fs::read_to_string(&askpass).unwrap().contains("hunter2"));
        drop(credentials);
        assert!(!Path::new(&askpass).exists());
    }
}
