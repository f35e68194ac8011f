//! A figure as it is printed.

use jiff::Zoned;
use serde::Serialize;
use std::time::Duration;

/// One figure of a bench.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    figure: f64,
    unit: &'static str,
    reference: Option<f64>,
    ratio: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    machine: String,
    date: String,
}

impl Figure {
    /// A figure without a reference.
    #[must_use]
    pub fn new(bench: &'static str, figure: f64, unit: &'static str) -> Self {
        Self {
            bench,
            figure: round(figure),
            unit,
            reference: None,
            ratio: None,
            p50_ms: None,
            p99_ms: None,
            machine: machine(),
            date: Zoned::now().date().to_string(),
        }
    }

    /// Sets the reference of the same run, in the same unit.
    #[must_use]
    pub fn beside(mut self, reference: f64) -> Self {
        self.reference = Some(round(reference));
        self.ratio = (reference > 0.0).then(|| round(self.figure / reference));
        self
    }

    /// Sets the middle and the slow end, in milliseconds.
    #[must_use]
    pub fn spread(mut self, p50_ms: f64, p99_ms: f64) -> Self {
        (self.p50_ms, self.p99_ms) = (Some(round(p50_ms)), Some(round(p99_ms)));
        self
    }
}

/// The value below which a share of the times lies, in milliseconds; sorts them.
pub fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let place = (times.len() as f64 * share).ceil() as usize;
    times.get(place.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

/// Three decimals: more would only be noise.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", model.trim(), std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!((percentile(&mut times, 0.5), percentile(&mut times, 0.99)), (50.0, 99.0));
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }
}
