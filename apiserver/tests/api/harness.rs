//! A server on a free port in a directory of its own, on either store.

use std::path::PathBuf;

use breakbulk_apiserver::{Config, StoreConfig, build};
use breakbulk_store::testing::EtcdServer;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Which store it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Embedded,
    Etcd,
}

/// A running server; [`TestServer::stop`] ends it.
pub(crate) struct TestServer {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) url: String,
    dir: TempDir,
    config: Config,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _etcd: Option<EtcdServer>,
}

impl TestServer {
    pub(crate) async fn start(on: On) -> Self {
        Self::start_with(on, |_| {}).await
    }

    /// One that is told something special.
    pub(crate) async fn start_with(on: On, special: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::embedded("127.0.0.1:0".parse().unwrap(), dir.path());
        let etcd = match on {
            On::Embedded => None,
            On::Etcd => {
                let etcd = EtcdServer::start().await.unwrap();
                config.store = StoreConfig::Etcd {
                    endpoints: vec![etcd.endpoint()],
                    tls: None,
                };
                Some(etcd)
            }
        };
        special(&mut config);
        let (url, shutdown, serving) = serve(&config).await;
        Self {
            kubeconfig: dir.path().join("kubeconfig"),
            url,
            dir,
            config,
            shutdown,
            serving,
            _etcd: etcd,
        }
    }

    /// The same server again, over the same files.
    pub(crate) async fn restart(&mut self) {
        self.shutdown.cancel();
        (&mut self.serving).await.unwrap();
        (self.url, self.shutdown, self.serving) = serve(&self.config).await;
    }

    /// Where its objects are: another server may keep its own there.
    pub(crate) fn store(&self) -> StoreConfig {
        self.config.store.clone()
    }

    /// Where its keys are: another server may take them, too.
    pub(crate) fn pki_dir(&self) -> PathBuf {
        self.config.pki_dir.clone()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap();
        drop(self.dir);
    }

    /// The administrator.
    pub(crate) async fn client(&self) -> kube::Client {
        client(&std::fs::read_to_string(&self.kubeconfig).unwrap()).await
    }

    /// How the administrator reaches it.
    pub(crate) async fn client_config(&self) -> kube::Config {
        client_config(&std::fs::read_to_string(&self.kubeconfig).unwrap()).await
    }

    /// The administrator, told at once when he is refused.
    pub(crate) async fn client_without_retries(&self) -> kube::Client {
        let mut config = client_config(&std::fs::read_to_string(&self.kubeconfig).unwrap()).await;
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    /// Somebody else.
    pub(crate) async fn client_of(&self, user: &str, groups: &[&str]) -> kube::Client {
        let groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        let authority = breakbulk_apiserver::pki::Authority::open(&self.config.pki_dir).unwrap();
        let credential = authority.client(user, &groups).unwrap();
        let text = breakbulk_apiserver::kubeconfig::text(&self.url, authority.certificate_pem(), user, &credential);
        client(&text).await
    }

    /// Whoever holds a bearer token.
    pub(crate) async fn client_with_token(&self, token: &str) -> kube::Client {
        self.client_as(&serde_json::json!({"token": token})).await
    }

    /// Nobody in particular.
    pub(crate) async fn client_without_credentials(&self) -> kube::Client {
        self.client_as(&serde_json::json!({})).await
    }

    async fn client_as(&self, user: &serde_json::Value) -> kube::Client {
        let authority = breakbulk_apiserver::pki::Authority::open(&self.config.pki_dir).unwrap();
        let credential = authority.client("nobody", &[]).unwrap();
        let text = breakbulk_apiserver::kubeconfig::text(&self.url, authority.certificate_pem(), "u", &credential);
        let mut kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        kubeconfig.auth_infos[0].auth_info = Some(serde_json::from_value(user.clone()).unwrap());
        connect(kubeconfig).await
    }
}

async fn serve(config: &Config) -> (String, CancellationToken, JoinHandle<()>) {
    let server = build(config.clone()).await.unwrap();
    let shutdown = CancellationToken::new();
    let url = server.url().to_owned();
    let serving = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { server.serve(shutdown).await.unwrap() }
    });
    (url, shutdown, serving)
}

async fn client(kubeconfig: &str) -> kube::Client {
    kube::Client::try_from(client_config(kubeconfig).await).unwrap()
}

async fn client_config(kubeconfig: &str) -> kube::Config {
    config_of(Kubeconfig::from_yaml(kubeconfig).unwrap()).await
}

async fn connect(kubeconfig: Kubeconfig) -> kube::Client {
    kube::Client::try_from(config_of(kubeconfig).await).unwrap()
}

async fn config_of(kubeconfig: Kubeconfig) -> kube::Config {
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap()
}

/// The Status of a refused request.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: kube::Result<T>) -> (u16, String, String) {
    match answer.unwrap_err() {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not a Status: {other}"),
    }
}
