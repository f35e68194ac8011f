//! Meters: one set a layer, readable by Prometheus, by `storewide status` and by the first page.

use model::Layer;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;

/// Bounds of the latency histograms, seconds: from a tenth of a millisecond to half a minute.
const BUCKETS: [f64; 17] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Shortest time that a rate is taken over.
const RATE_OVER: Duration = Duration::from_secs(1);

/// All meters of a process.
#[derive(Clone)]
pub struct Telemetry {
    registry: Registry,
    records: IntCounterVec,
    errors: IntCounterVec,
    lag: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    latency: HistogramVec,
    levels: IntGaugeVec,
    layers: Arc<Mutex<Vec<Arc<Shown>>>>,
}

/// What `status` shows of a layer.
struct Shown {
    layer: Layer,
    records: AtomicU64,
    errors: AtomicU64,
    lag: AtomicU64,
    lag_unit: Mutex<LagUnit>,
    position: Mutex<String>,
    last_error: Mutex<Option<String>>,
    since: Mutex<(Instant, u64, f64)>,
}

/// What a lag counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LagUnit {
    /// Records.
    #[default]
    Records,
    /// Bytes of a log whose records cannot be counted before they are read.
    Bytes,
}

/// A layer as `status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerStatus {
    /// The layer.
    pub layer: Layer,
    /// Records, commands or requests handled since the start.
    pub records: u64,
    /// Handled a second, over the last seconds.
    pub rate: f64,
    /// What is not handled yet.
    pub lag: u64,
    /// What the lag counts.
    #[serde(default)]
    pub lag_unit: LagUnit,
    /// How far it has come, in the layer's own terms.
    pub position: String,
    /// Failures since the start.
    pub errors: u64,
    /// The last failure.
    pub last_error: Option<String>,
}

impl Default for Telemetry {
    #[expect(clippy::expect_used, reason = "names are constants and registered once, in a registry of our own")]
    fn default() -> Self {
        let registry = Registry::new();
        let records = IntCounterVec::new(Opts::new("storewide_records_total", "Records handled"), &["layer", "kind"]);
        let errors = IntCounterVec::new(Opts::new("storewide_errors_total", "Failures"), &["layer", "kind"]);
        let lag = IntGaugeVec::new(Opts::new("storewide_lag_records", "Records not handled yet"), &["layer"]);
        let lag_bytes = IntGaugeVec::new(Opts::new("storewide_lag_bytes", "Bytes of log not read yet"), &["layer"]);
        let latency = HistogramVec::new(
            HistogramOpts::new("storewide_latency_seconds", "Time taken").buckets(BUCKETS.to_vec()),
            &["layer", "kind"],
        );
        let levels =
            IntGaugeVec::new(Opts::new("storewide_level", "What there is of something now"), &["layer", "kind"]);
        let levels = levels.expect("valid name");
        registry.register(Box::new(levels.clone())).expect("registered once");
        let (records, errors) = (records.expect("valid name"), errors.expect("valid name"));
        let (lag, latency) = (lag.expect("valid name"), latency.expect("valid name"));
        let lag_bytes = lag_bytes.expect("valid name");
        registry.register(Box::new(records.clone())).expect("registered once");
        registry.register(Box::new(errors.clone())).expect("registered once");
        registry.register(Box::new(lag.clone())).expect("registered once");
        registry.register(Box::new(lag_bytes.clone())).expect("registered once");
        registry.register(Box::new(latency.clone())).expect("registered once");
        Self { registry, records, errors, lag, lag_bytes, latency, levels, layers: Arc::default() }
    }
}

impl Telemetry {
    /// The meter of a layer; the same one at every call.
    #[must_use]
    pub fn meter(&self, layer: Layer) -> Meter {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = layers.iter().find(|shown| shown.layer == layer).cloned().unwrap_or_else(|| {
            let shown = Arc::new(Shown {
                layer,
                records: AtomicU64::new(0),
                errors: AtomicU64::new(0),
                lag: AtomicU64::new(0),
                lag_unit: Mutex::default(),
                position: Mutex::default(),
                last_error: Mutex::default(),
                since: Mutex::new((Instant::now(), 0, 0.0)),
            });
            layers.push(Arc::clone(&shown));
            shown
        });
        Meter { telemetry: self.clone(), shown }
    }

    /// All layers that have a meter, in the order of a signal.
    #[must_use]
    pub fn status(&self) -> Vec<LayerStatus> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        layers.sort_by_key(|shown| shown.layer);
        layers.iter().map(|shown| shown.status()).collect()
    }

    /// Takes the rates anew. To be called about once a second, so that a rate tells the last seconds however seldom it is read.
    pub fn tick(&self) {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for shown in layers {
            shown.measure();
        }
    }

    /// All meters in Prometheus' text format.
    #[must_use]
    pub fn prometheus(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Shown {
    /// Handled a second since the last measure that is at least [`RATE_OVER`] old.
    fn measure(&self) -> f64 {
        let records = self.records.load(Ordering::Relaxed);
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = since.0.elapsed();
        if elapsed >= RATE_OVER {
            let rate = records.saturating_sub(since.1) as f64 / elapsed.as_secs_f64();
            *since = (Instant::now(), records, rate);
        }
        since.2
    }

    fn status(&self) -> LayerStatus {
        let rate = self.measure();
        LayerStatus {
            layer: self.layer,
            records: self.records.load(Ordering::Relaxed),
            rate,
            lag: self.lag.load(Ordering::Relaxed),
            lag_unit: *self.lag_unit.lock().unwrap_or_else(PoisonError::into_inner),
            position: self.position.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            errors: self.errors.load(Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// The meter of one layer. `kind` is a constant of the layer's `metrics.rs`, never a value from outside.
#[derive(Clone)]
pub struct Meter {
    telemetry: Telemetry,
    shown: Arc<Shown>,
}

impl Meter {
    /// Counts records handled; they make the layer's rate.
    pub fn handled(&self, kind: &'static str, count: u64) {
        self.telemetry.records.with_label_values(&[self.shown.layer.name(), kind]).inc_by(count);
        self.shown.records.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts something that is no record of its own, such as a repeat that was dropped.
    pub fn count(&self, kind: &'static str, count: u64) {
        self.telemetry.records.with_label_values(&[self.shown.layer.name(), kind]).inc_by(count);
    }

    /// Counts a failure and keeps its text for `status`. The text must hold no personal data.
    pub fn failed(&self, kind: &'static str, error: &str) {
        self.telemetry.errors.with_label_values(&[self.shown.layer.name(), kind]).inc();
        self.shown.errors.fetch_add(1, Ordering::Relaxed);
        *self.shown.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }

    /// Sets the number of records not handled yet.
    pub fn lag(&self, records: u64) {
        self.telemetry
            .lag
            .with_label_values(&[self.shown.layer.name()])
            .set(i64::try_from(records).unwrap_or(i64::MAX));
        self.shown.lag.store(records, Ordering::Relaxed);
    }

    /// Sets the bytes of a log that are not read yet.
    pub fn lag_bytes(&self, bytes: u64) {
        let value = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.telemetry.lag_bytes.with_label_values(&[self.shown.layer.name()]).set(value);
        self.shown.lag.store(bytes, Ordering::Relaxed);
        *self.shown.lag_unit.lock().unwrap_or_else(PoisonError::into_inner) = LagUnit::Bytes;
    }

    /// Sets how much there is of something now, such as entries that wait for a person.
    pub fn level(&self, kind: &'static str, level: u64) {
        let level = i64::try_from(level).unwrap_or(i64::MAX);
        self.telemetry.levels.with_label_values(&[self.shown.layer.name(), kind]).set(level);
    }

    /// Sets how far the layer has come, in its own terms.
    pub fn position(&self, position: impl Into<String>) {
        *self.shown.position.lock().unwrap_or_else(PoisonError::into_inner) = position.into();
    }

    /// Observes how long something took.
    pub fn took(&self, kind: &'static str, time: Duration) {
        self.telemetry.latency.with_label_values(&[self.shown.layer.name(), kind]).observe(time.as_secs_f64());
    }
}

/// What is logged unless `RUST_LOG` says otherwise: engines and pools only when something is wrong with them.
const LOGGED: &str = "info,fjall=warn,lsm_tree=warn,tokio_postgres=warn,deadpool=error";

/// Starts logging to standard error: text for people, JSON when `json`. `RUST_LOG` filters; the default is `info`.
pub fn start_logging(json: bool) {
    let logs = tracing_subscriber::fmt().with_env_filter(logged()).with_writer(std::io::stderr);
    let started = if json { logs.json().try_init() } else { logs.try_init() };
    if started.is_err() {
        tracing::debug!("logging was already started");
    }
}

/// Starts logging to a file, and leaves standard error to whoever talks to people: only warnings go there too.
pub fn start_logging_to(file: std::fs::File) {
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let whole = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(file)).with_filter(logged());
    let warnings = EnvFilter::new("warn,deadpool=error");
    let warnings = tracing_subscriber::fmt::layer().without_time().with_writer(std::io::stderr).with_filter(warnings);
    if tracing_subscriber::registry().with(whole).with(warnings).try_init().is_err() {
        tracing::debug!("logging was already started");
    }
}

/// What is logged at no level, whatever is asked for: at `debug` the driver writes the parameters of statements, which are personal.
const SILENT: &str = "tokio_postgres::query=warn";

fn logged() -> EnvFilter {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    SILENT.parse().map_or_else(|_| EnvFilter::new(LOGGED), |silent| asked.add_directive(silent))
}
