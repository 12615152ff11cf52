//! What the service measures, for Prometheus.
//!
//! The recorder belongs to the service and is handed around; none is installed for the process.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use model::UnixMillis;
use wal::{Commit, LogObserver};

use crate::routes::SEND;

const EVENTS: &str = "minutelog_ingest_events_total";
const EVENT_BYTES: &str = "minutelog_ingest_event_bytes_total";
const REPEATS: &str = "minutelog_ingest_repeats_total";
const REQUESTS: &str = "minutelog_ingest_requests_total";
const REQUEST_SECONDS: &str = "minutelog_ingest_request_duration_seconds";
const REQUEST_BYTES: &str = "minutelog_ingest_request_bytes";
const COMMIT_SECONDS: &str = "minutelog_ingest_commit_duration_seconds";
const COMMIT_EVENTS: &str = "minutelog_ingest_commit_events";
const LOG_BYTES: &str = "minutelog_ingest_log_bytes";
const LOG_MAX_BYTES: &str = "minutelog_ingest_log_max_bytes";
const CONNECTIONS: &str = "minutelog_ingest_open_connections";
const EVICTED: &str = "minutelog_ingest_evicted_connections_total";
const HANDSHAKES_FAILED: &str = "minutelog_ingest_tls_handshakes_failed_total";
const TLS_RELOADS: &str = "minutelog_ingest_tls_reloads_total";
const TLS_EXPIRES: &str = "minutelog_ingest_tls_certificate_expiry_timestamp_seconds";
const TLS_REFUSED: &str = "minutelog_ingest_tls_files_refused";
const RELOADS: &str = "minutelog_ingest_config_reloads_total";
const REFUSED: &str = "minutelog_ingest_config_refused";

const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];
const BYTES: &[f64] =
    &[256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];
const COUNTS: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5];

const METADATA: Metadata<'static> = Metadata::new("ingest", Level::INFO, Some("ingest"));

/// The metrics of one service.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Of single requests that were accepted: they are many, and looking a metric up takes longer
    /// than counting with it.
    sent: OnceLock<(Counter, Histogram)>,
    events: Counter,
    event_bytes: Counter,
    repeats: Counter,
    request_bytes: Histogram,
    commit_seconds: Histogram,
    commit_events: Histogram,
    log_bytes: Gauge,
    log_max_bytes: Gauge,
    connections: Gauge,
    evicted: Counter,
    handshakes_failed: Counter,
    tls_reloads: Counter,
    tls_expires: Gauge,
    tls_refused: Gauge,
    config_reloads: Counter,
    config_refused: Gauge,
}

/// One connection, counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Metrics {
    /// All metrics, at zero.
    pub(crate) fn new() -> Self {
        let recorder = recorder();
        describe(&recorder);
        let counter = |name| recorder.register_counter(&Key::from_static_name(name), &METADATA);
        let histogram = |name| recorder.register_histogram(&Key::from_static_name(name), &METADATA);
        let gauge = |name| recorder.register_gauge(&Key::from_static_name(name), &METADATA);
        Self {
            handle: recorder.handle(),
            sent: OnceLock::new(),
            events: counter(EVENTS),
            event_bytes: counter(EVENT_BYTES),
            repeats: counter(REPEATS),
            request_bytes: histogram(REQUEST_BYTES),
            commit_seconds: histogram(COMMIT_SECONDS),
            commit_events: histogram(COMMIT_EVENTS),
            log_bytes: gauge(LOG_BYTES),
            log_max_bytes: gauge(LOG_MAX_BYTES),
            connections: gauge(CONNECTIONS),
            evicted: counter(EVICTED),
            handshakes_failed: counter(HANDSHAKES_FAILED),
            tls_reloads: counter(TLS_RELOADS),
            tls_expires: gauge(TLS_EXPIRES),
            tls_refused: gauge(TLS_REFUSED),
            config_reloads: counter(RELOADS),
            config_refused: gauge(REFUSED),
            recorder,
        }
    }

    /// A request was answered.
    pub(crate) fn request(&self, route: &'static str, status: StatusCode, took: Duration) {
        let note = |(requests, seconds): &(Counter, Histogram)| {
            requests.increment(1);
            seconds.record(took.as_secs_f64());
        };
        if route == SEND && status == StatusCode::OK {
            note(self.sent.get_or_init(|| self.requests(route, status)));
        } else {
            note(&self.requests(route, status));
        }
    }

    fn requests(&self, route: &'static str, status: StatusCode) -> (Counter, Histogram) {
        let label = Label::from_static_parts("route", route);
        let labels = vec![label.clone(), Label::new("status", status.as_str().to_owned())];
        let requests =
            self.recorder.register_counter(&Key::from_parts(REQUESTS, labels), &METADATA);
        let key = Key::from_parts(REQUEST_SECONDS, vec![label]);
        (requests, self.recorder.register_histogram(&key, &METADATA))
    }

    /// A body was read whole; its size after decompression.
    pub(crate) fn request_bytes(&self, bytes: usize) {
        self.request_bytes.record(float(u64::try_from(bytes).unwrap_or(u64::MAX)));
    }

    /// Events were acknowledged; the bytes of their payloads.
    pub(crate) fn accepted(&self, events: u32, payload_bytes: u64) {
        self.events.increment(u64::from(events));
        self.event_bytes.increment(payload_bytes);
    }

    /// Events came again under their key and got the first answer.
    pub(crate) fn repeated(&self, events: u32) {
        self.repeats.increment(u64::from(events));
    }

    /// The log may have so many bytes.
    pub(crate) fn log_may_have(&self, bytes: u64) {
        self.log_max_bytes.set(float(bytes));
    }

    /// A client connected.
    pub(crate) fn connected(&self) -> OpenConnection {
        self.connections.increment(1.0);
        OpenConnection(self.connections.clone())
    }

    /// An idle connection was closed to make room for another one.
    pub(crate) fn evicted(&self) {
        self.evicted.increment(1);
    }

    /// Rules of another configuration hold.
    pub(crate) fn config_reloaded(&self) {
        self.config_reloads.increment(1);
        self.config_refused.set(0.0);
    }

    /// Another configuration was read, and can't be used.
    pub(crate) fn config_refused(&self) {
        self.config_refused.set(1.0);
    }

    /// A client did not get through the TLS handshake.
    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.increment(1);
    }

    /// New connections are served with changed TLS files.
    pub(crate) fn tls_reloaded(&self) {
        self.tls_reloads.increment(1);
        self.tls_files_refused(false);
    }

    /// Until when the certificate that is served is good.
    pub(crate) fn tls_expires(&self, at: UnixMillis) {
        self.tls_expires.set(float(at.as_seconds()));
    }

    /// Whether the TLS files are others than those that are served, and can't be used.
    pub(crate) fn tls_files_refused(&self, refused: bool) {
        self.tls_refused.set(if refused { 1.0 } else { 0.0 });
    }

    /// Empties the buffers in which histograms wait; to be called every few seconds.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The metrics in Prometheus's text format.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }
}

impl LogObserver for Metrics {
    fn committed(&self, commit: &Commit) {
        self.commit_seconds.record(commit.duration.as_secs_f64());
        self.commit_events.record(float(commit.events));
    }

    fn log_bytes(&self, bytes: u64) {
        self.log_bytes.set(float(bytes));
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn recorder() -> PrometheusRecorder {
    let buckets = [
        (REQUEST_SECONDS, SECONDS),
        (COMMIT_SECONDS, SECONDS),
        (REQUEST_BYTES, BYTES),
        (COMMIT_EVENTS, COUNTS),
    ];
    let mut builder = PrometheusBuilder::new();
    for (name, values) in buckets {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), values)
            .expect("no list of buckets is empty");
    }
    builder.build_recorder()
}

fn describe(recorder: &PrometheusRecorder) {
    let counter = |name: &'static str, unit, text: &'static str| {
        recorder.describe_counter(KeyName::from_const_str(name), unit, text.into());
    };
    let histogram = |name: &'static str, unit, text: &'static str| {
        recorder.describe_histogram(KeyName::from_const_str(name), unit, text.into());
    };
    let gauge = |name: &'static str, unit, text: &'static str| {
        recorder.describe_gauge(KeyName::from_const_str(name), unit, text.into());
    };
    counter(EVENTS, Some(Unit::Count), "Events acknowledged.");
    counter(EVENT_BYTES, Some(Unit::Bytes), "Bytes of the payloads acknowledged.");
    counter(REPEATS, Some(Unit::Count), "Events that came again under their key.");
    counter(REQUESTS, Some(Unit::Count), "Requests answered, by route and status.");
    histogram(REQUEST_SECONDS, Some(Unit::Seconds), "From a request's headers to its answer.");
    histogram(REQUEST_BYTES, Some(Unit::Bytes), "Bodies after decompression.");
    histogram(COMMIT_SECONDS, Some(Unit::Seconds), "Writing and syncing one commit of the log.");
    histogram(COMMIT_EVENTS, Some(Unit::Count), "Events in one commit of the log.");
    gauge(LOG_BYTES, Some(Unit::Bytes), "Bytes of the log on disk, all states together.");
    gauge(LOG_MAX_BYTES, Some(Unit::Bytes), "Bytes that the log may have: log.max_bytes.");
    gauge(CONNECTIONS, Some(Unit::Count), "Connections of clients that are open.");
    counter(EVICTED, Some(Unit::Count), "Idle connections closed to make room for others.");
    counter(HANDSHAKES_FAILED, Some(Unit::Count), "TLS handshakes that failed or took too long.");
    counter(TLS_RELOADS, Some(Unit::Count), "Changes of the TLS files that were taken up.");
    gauge(
        TLS_EXPIRES,
        Some(Unit::Seconds),
        "When the certificate that is served expires, in seconds since the epoch; 0 without TLS.",
    );
    counter(RELOADS, Some(Unit::Count), "Configurations that were taken up after SIGHUP.");
    gauge(REFUSED, None, "1 while the configuration that SIGHUP had read last can't be used.");
    gauge(TLS_REFUSED, None, "1 while the TLS files have changed and can't be used.");
}

#[expect(clippy::cast_precision_loss, reason = "a metric above 2^53 may lose its last digit")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_are_rendered_with_their_values() {
        let metrics = Metrics::new();
        metrics.request("/v1/send/s3", StatusCode::OK, Duration::from_millis(3));
        metrics.request_bytes(5);
        metrics.accepted(2, 9);
        metrics.log_bytes(17);
        metrics.log_may_have(1 << 30);
        let first = metrics.connected();
        let second = metrics.connected();
        drop(first);
        metrics.upkeep();
        let text = metrics.render();
        for line in [
            "# TYPE minutelog_ingest_events_total counter",
            "minutelog_ingest_events_total 2",
            "minutelog_ingest_event_bytes_total 9",
            "minutelog_ingest_requests_total{route=\"/v1/send/s3\",status=\"200\"} 1",
            "minutelog_ingest_request_duration_seconds_bucket{route=\"/v1/send/s3\",le=\"0.005\"} 1",
            "minutelog_ingest_request_bytes_sum 5",
            "minutelog_ingest_log_bytes 17",
            "minutelog_ingest_log_max_bytes 1073741824",
            "minutelog_ingest_open_connections 1",
            "# HELP minutelog_ingest_commit_events Events in one commit of the log.",
        ] {
            assert!(text.contains(line), "no `{line}` in\n{text}");
        }
        drop(second);
    }
}
