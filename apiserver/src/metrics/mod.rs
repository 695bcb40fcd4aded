//! Metrics, by upstream's names so that its dashboards and alerts read them. Counting is a lookup by label values and an
//! atomic addition, well under a microsecond; what is merely a state (objects stored, requests in flight) is asked for
//! when somebody scrapes.
//!
//! The number of series is bounded: every label value comes from a fixed set or from the table of kinds. What a client
//! makes up (paths, methods, subresources) is folded into one value.

mod request;
mod store;

use std::sync::Arc;

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::audit::policy::Level;

use request::Requests;
pub use request::{Labels, LongRunning};
pub use store::Measured;

/// Of the store. Embedded, it answers within microseconds.
const STORE_SECONDS: [f64; 14] = [
    0.0001, 0.0005, 0.002, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0, 5.0, 20.0, 60.0,
];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    storage_objects: IntGaugeVec,
    store: HistogramVec,
    failed_snapshots: IntGauge,
    authentications: IntCounterVec,
    authorizations: IntCounterVec,
    audit_events: IntCounter,
    audit_levels: IntCounterVec,
    audit_errors: IntCounterVec,
    connections: IntGauge,
    revision: IntGauge,
}

/// What is asked for at a scrape.
#[derive(Clone, Debug, Default)]
pub struct Scraped {
    /// Requests that read, and that write, being worked on.
    pub in_flight: (usize, usize),
    /// Objects, by `jobs.breakbulk.dev`.
    pub objects: Vec<(String, usize)>,
    /// The revision up to which the caches are filled.
    pub revision: u64,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        register(&registry, ProcessCollector::for_self());
        let counters = |name, help, labels: &[&str]| counters(&registry, name, help, labels);
        let gauges = |name, help, labels: &[&str]| gauges(&registry, name, help, labels);
        let times = |name, help, labels: &[&str], buckets: &[f64]| histograms(&registry, name, help, labels, buckets);
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help));
        Arc::new(Self {
            requests: Requests::new(&registry),
            storage_objects: gauges("apiserver_storage_objects", "Objects stored.", &["resource"]),
            store: times(
                "etcd_request_duration_seconds",
                "How long the store took, whichever it is.",
                &["operation"],
                &STORE_SECONDS,
            ),
            failed_snapshots: gauge(
                "breakbulk_apiserver_store_failed_snapshots",
                "Snapshots of the store's log that failed since the last one that was written.",
            ),
            authentications: counters(
                "authentication_attempts",
                "Requests by whether it is known whose.",
                &["result"],
            ),
            authorizations: counters(
                "authorization_attempts_total",
                "Requests by whether they may.",
                &["result"],
            ),
            audit_events: registered(
                &registry,
                IntCounter::new("apiserver_audit_event_total", "Events for the audit log."),
            ),
            audit_levels: counters(
                "apiserver_audit_level_total",
                "Events for the audit log, by level.",
                &["level"],
            ),
            audit_errors: counters(
                "apiserver_audit_error_total",
                "Events that did not get into the audit log.",
                &["plugin"],
            ),
            connections: gauge("breakbulk_apiserver_connections", "Connections that are open."),
            revision: gauge(
                "breakbulk_apiserver_revision",
                "The revision up to which the caches are filled.",
            ),
            registry,
        })
    }

    /// Everything as Prometheus reads it.
    pub fn text(&self, scraped: &Scraped) -> String {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.requests
            .in_flight
            .with_label_values(&["readOnly"])
            .set(number(scraped.in_flight.0));
        self.requests
            .in_flight
            .with_label_values(&["mutating"])
            .set(number(scraped.in_flight.1));
        self.storage_objects.reset();
        for (resource, count) in &scraped.objects {
            self.storage_objects
                .with_label_values(&[resource.as_str()])
                .set(number(*count));
        }
        self.revision.set(i64::try_from(scraped.revision).unwrap_or(i64::MAX));
        let encoded = TextEncoder::new().encode_to_string(&self.registry.gather());
        encoded.unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics cannot be written");
            String::new()
        })
    }

    /// Whether it is known whose a request is: `success` or `failure`.
    pub fn authenticated(&self, result: &str) {
        self.authentications.with_label_values(&[result]).inc();
    }

    /// Whether a request may: `allowed` or `denied`.
    pub fn authorized(&self, result: &str) {
        self.authorizations.with_label_values(&[result]).inc();
    }

    /// An event goes to the audit log.
    pub(crate) fn audit_event(&self, level: Level) {
        self.audit_events.inc();
        let level = match level {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        };
        self.audit_levels.with_label_values(&[level]).inc();
    }

    /// An event did not get there.
    pub(crate) fn audit_dropped(&self) {
        self.audit_errors.with_label_values(&["log"]).inc();
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> &IntGauge {
        &self.connections
    }
}

fn register(registry: &Registry, collector: impl prometheus::core::Collector + 'static) {
    let added = registry.register(Box::new(collector));
    added.expect("every name is registered once, above");
}

fn registered<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("names and labels are constants in this file, and valid");
    register(registry, made.clone());
    made
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, labels))
}
