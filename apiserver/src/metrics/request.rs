//! What is counted by request: its labels, made once, and the counting itself.

use std::time::Duration;

use http::StatusCode;
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry as Series};

use super::{Metrics, counters, gauges, histograms};
use crate::endpoints::Route;
use crate::registry::Registry;
use crate::request::RequestInfo;

const COMPONENT: &str = "apiserver";

/// Subresources that have a label of their own.
const SUBRESOURCES: [&str; 12] = [
    "status",
    "scale",
    "finalize",
    "log",
    "token",
    "eviction",
    "binding",
    "approval",
    "exec",
    "attach",
    "portforward",
    "proxy",
];

/// Upstream's, thinned, with two below: most of our requests would all be in its first.
const SECONDS: [f64; 17] = [
    0.0005, 0.002, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0,
];
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The labels of everything that is told by request.
const REQUEST: [&str; 8] = [
    "verb",
    "dry_run",
    "group",
    "version",
    "resource",
    "subresource",
    "scope",
    "component",
];

/// What is counted by request.
pub(super) struct Requests {
    requests: IntCounterVec,
    durations: HistogramVec,
    sizes: HistogramVec,
    terminations: IntCounterVec,
    long_running: IntGaugeVec,
    pub(super) in_flight: IntGaugeVec,
    watch_events: IntCounterVec,
}

impl Requests {
    pub(super) fn new(series: &Series) -> Self {
        let with_code = {
            let mut labels = REQUEST.to_vec();
            labels.push("code");
            labels
        };
        let no_dry_run: Vec<&str> = REQUEST.into_iter().filter(|l| *l != "dry_run").collect();
        let counters = |name, help, labels: &[&str]| counters(series, name, help, labels);
        let gauges = |name, help, labels: &[&str]| gauges(series, name, help, labels);
        let times = |name, help, labels: &[&str], buckets: &[f64]| histograms(series, name, help, labels, buckets);
        Self {
            requests: counters(
                "apiserver_request_total",
                "Requests, by how they were answered.",
                &with_code,
            ),
            durations: times(
                "apiserver_request_duration_seconds",
                "How long requests took that do not stream.",
                &REQUEST,
                &SECONDS,
            ),
            sizes: times(
                "apiserver_response_sizes",
                "Bytes of answers to get and list.",
                &no_dry_run,
                &SIZES,
            ),
            terminations: counters(
                "apiserver_request_terminations_total",
                "Requests that were refused by overload or ended by a panic or a time limit.",
                &["verb", "code"],
            ),
            long_running: gauges("apiserver_longrunning_requests", "Streams that are open.", &no_dry_run),
            in_flight: gauges(
                "apiserver_current_inflight_requests",
                "Requests being worked on.",
                &["request_kind"],
            ),
            watch_events: counters(
                "apiserver_watch_events_total",
                "Events sent to watchers.",
                &["group", "version", "resource"],
            ),
        }
    }
}

/// The labels of a request. Owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'a> {
    verb: &'static str,
    dry_run: &'static str,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'static str,
    scope: &'static str,
}

/// An open stream: counted until dropped.
#[derive(Debug)]
pub struct LongRunning {
    gauge: IntGauge,
    events: Option<IntCounter>,
}

impl<'a> Labels<'a> {
    /// The labels of a request. A resource that the table does not have is folded away.
    pub fn of(info: &'a RequestInfo, registry: &Registry) -> Self {
        let nothing = Self {
            verb: info.metric_verb(),
            dry_run: "",
            group: "",
            version: "",
            resource: "",
            subresource: "",
            scope: info.scope(),
        };
        let Some(path) = info.object() else {
            return Self {
                subresource: folded_path(&info.route),
                ..nothing
            };
        };
        if registry.find(&path.group, &path.version, &path.plural).is_none() {
            return Self {
                subresource: "unknown",
                ..nothing
            };
        }
        let subresource = path.subresource.as_deref().map_or("", |given| {
            SUBRESOURCES
                .into_iter()
                .find(|known| *known == given)
                .unwrap_or("unknown")
        });
        Self {
            dry_run: info.dry_run(),
            group: &path.group,
            version: &path.version,
            resource: &path.plural,
            subresource,
            ..nothing
        }
    }

    const fn without_dry_run(&self) -> [&'a str; 7] {
        [
            self.verb,
            self.group,
            self.version,
            self.resource,
            self.subresource,
            self.scope,
            COMPONENT,
        ]
    }
}

/// A path that is no object, without what a client can make up.
const fn folded_path(route: &Route) -> &'static str {
    match route {
        Route::Health(_) => "/healthz",
        Route::Metrics => "/metrics",
        Route::Version => "/version",
        Route::LegacyVersions => "/api",
        Route::Groups | Route::Group(_) | Route::Resources { .. } => "/apis",
        Route::OpenApiV2 => "/openapi/v2",
        Route::OpenApiV3(_) => "/openapi/v3",
        _ => "unknown",
    }
}

impl Metrics {
    /// A request has been answered.
    pub fn answered(&self, labels: &Labels<'_>, code: StatusCode) {
        let l = labels;
        let values = [
            l.verb,
            l.dry_run,
            l.group,
            l.version,
            l.resource,
            l.subresource,
            l.scope,
            COMPONENT,
            code.as_str(),
        ];
        self.requests.requests.with_label_values(&values).inc();
    }

    /// How long an answer took that is no stream, and how large it is where that is known.
    pub fn took(&self, labels: &Labels<'_>, time: Duration, bytes: Option<u64>) {
        let l = labels;
        let values = [
            l.verb,
            l.dry_run,
            l.group,
            l.version,
            l.resource,
            l.subresource,
            l.scope,
            COMPONENT,
        ];
        self.requests
            .durations
            .with_label_values(&values)
            .observe(time.as_secs_f64());
        if let Some(bytes) = bytes.filter(|_| matches!(l.verb, "GET" | "LIST")) {
            #[allow(clippy::cast_precision_loss, reason = "a size in a histogram need not be exact")]
            self.requests
                .sizes
                .with_label_values(&l.without_dry_run())
                .observe(bytes as f64);
        }
    }

    /// A request was not let in, panicked, or took too long.
    pub fn terminated(&self, labels: &Labels<'_>, code: StatusCode) {
        self.requests
            .terminations
            .with_label_values(&[labels.verb, code.as_str()])
            .inc();
    }

    /// A stream has begun.
    pub fn long_running(&self, labels: &Labels<'_>) -> LongRunning {
        let gauge = self.requests.long_running.with_label_values(&labels.without_dry_run());
        gauge.inc();
        let of = [labels.group, labels.version, labels.resource];
        let events = (labels.verb == "WATCH").then(|| self.requests.watch_events.with_label_values(&of));
        LongRunning { gauge, events }
    }
}

impl LongRunning {
    /// A piece of the stream has been sent. An event of a watch is a line.
    pub fn sent(&self, piece: &[u8]) {
        if let Some(events) = &self.events {
            events.inc_by(memchr::memchr_iter(b'\n', piece).count() as u64);
        }
    }
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::metrics::Scraped;

    fn info(method: &str, uri: &str) -> RequestInfo {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        RequestInfo::of(&request.into_parts().0)
    }

    #[test]
    fn what_a_client_makes_up_does_not_become_a_label() {
        let (registry, metrics) = (Registry::new(), Metrics::new());
        for n in 0..50 {
            for uri in [
                format!("/apis/g{n}/v1/things"),
                format!("/api/v1/namespaces/n{n}/configmaps/c{n}/sub{n}"),
                format!("/what/ever/{n}"),
                format!("/livez/x{n}"),
            ] {
                let info = info("GET", &uri);
                metrics.answered(&Labels::of(&info, &registry), StatusCode::NOT_FOUND);
            }
        }
        let text = metrics.text(&Scraped::default());
        let series = text
            .lines()
            .filter(|l| l.starts_with("apiserver_request_total{"))
            .count();
        assert_eq!(series, 4, "{text}");
    }

    #[test]
    fn an_event_of_a_watch_is_a_line() {
        let (registry, metrics) = (Registry::new(), Metrics::new());
        let info = info("GET", "/api/v1/configmaps?watch=1");
        let stream = metrics.long_running(&Labels::of(&info, &registry));
        stream.sent(b"{}\n{}\n");
        let labels = "{group=\"\",resource=\"configmaps\",version=\"v1\"}";
        assert!(
            metrics
                .text(&Scraped::default())
                .contains(&format!("apiserver_watch_events_total{labels} 2"))
        );
        drop(stream);
        let text = metrics.text(&Scraped::default());
        assert!(
            text.lines()
                .any(|l| l.starts_with("apiserver_longrunning_requests{") && l.ends_with(" 0"))
        );
    }
}
