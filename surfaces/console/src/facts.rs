//! What the pages show; the binary knows where it comes from.

use async_trait::async_trait;
use model::Timestamp;
use runtime::LayerStatus;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whoever knows how the house is doing.
#[async_trait]
pub trait Facts: Send + Sync + 'static {
    /// The program.
    fn about(&self) -> About;

    /// The layers that run in this process.
    fn layers(&self) -> Vec<LayerStatus>;

    /// The newest decisions, newest first.
    ///
    /// # Errors
    /// When they cannot be read now; the text is shown to whoever has a key, so it must hold no personal data.
    async fn decisions(&self, limit: usize) -> Result<Vec<DecisionLine>, String>;

    /// How long signals take to be seen; `None` when nothing was measured yet.
    async fn freshness(&self) -> Option<Freshness>;

    /// The OpenAPI document of all doors, for `/docs`.
    fn openapi(&self) -> Value;
}

/// The program that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Version, such as `0.1.0`.
    pub version: String,
    /// When the process started.
    pub started_at: Timestamp,
}

/// A decision as a line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionLine {
    /// Whom it is about, as a person id (`m:<member id>` …). A pseudonym takes its place before it is shown.
    pub person: String,
    /// The intent that asked for it.
    pub intent: String,
    /// The playbook that answered.
    pub playbook: String,
    /// The channel of its action.
    pub channel: String,
    /// blocked, executing, executed, failed or retracted.
    pub status: String,
    /// The guardrail that denied it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// What came of it: `purchase` or `none`; `None` while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// When it was made.
    pub at: Timestamp,
}

/// Times from the receipt of a signal to its being served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Freshness {
    /// To the profile of one person.
    pub profile: Option<Quantiles>,
    /// To the tables that SQL reads.
    pub sql: Option<Quantiles>,
    /// Everything received before this moment is served.
    pub as_of: Option<Timestamp>,
}

/// The middle and the slow end of some times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of them are shorter, milliseconds.
    pub p50_ms: f64,
    /// One in a hundred is longer, milliseconds.
    pub p99_ms: f64,
}
