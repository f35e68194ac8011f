//! How often a key may ask, at all of the layer's doors together: what takes from its bucket before a request passes, and says in every
//! answer how much is left.

use crate::config::Config;
use crate::rate::{Buckets, Verdict};
use crate::{error, metrics};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use runtime::Meter;
use runtime::auth::{Principal, Rate};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The buckets of all keys. Cheap to clone; all clones share them.
#[derive(Clone)]
pub(crate) struct Tap {
    inner: Arc<Inner>,
}

struct Inner {
    buckets: Buckets,
    opened: Instant,
    /// Of a key that has no rate of its own.
    usual: Rate,
    meter: Meter,
}

impl Tap {
    pub(crate) fn new(config: &Config, meter: Meter) -> Self {
        let usual = Rate { per_s: config.requests_per_s, burst: config.burst };
        Self { inner: Arc::new(Inner { buckets: Buckets::default(), opened: Instant::now(), usual, meter }) }
    }

    /// Takes from the bucket of a key.
    pub(crate) fn charge(&self, principal: &Principal, cost: u64) -> (Rate, Verdict) {
        let Inner { buckets, opened, usual, .. } = &*self.inner;
        let rate = principal.rate.unwrap_or(*usual);
        (rate, buckets.take(principal.id, opened.elapsed(), cost, rate))
    }
}

/// Lets a request pass while its key has not asked too often.
pub(crate) async fn turn(State(tap): State<Tap>, request: Request, next: Next) -> Response {
    let Some(principal) = request.extensions().get::<Principal>() else { return next.run(request).await };
    let (rate, verdict) = tap.charge(principal, 1);
    let mut response = if verdict.wait.is_zero() {
        next.run(request).await
    } else {
        tap.inner.meter.count(metrics::LIMITED, 1);
        error::limited(verdict.wait).into_response()
    };
    // As the IETF's draft of these headers has it: q, what may come at once; w, the seconds that bring so much; r, what is left now;
    // t, the seconds until all is there again.
    let policy = format!("\"key\";q={};w={}", rate.burst, rate.burst.div_ceil(rate.per_s.max(1)));
    let left = format!("\"key\";r={};t={}", verdict.left, whole_seconds(verdict.full_in));
    for (name, text) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Seconds, rounded up.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
