//! The section `[processing]`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How signals are processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessingConfig {
    /// Most records in one atomic step. Default 4,000.
    pub batch_records: usize,
    /// People kept decoded in memory. Default 20,000.
    pub people_cached: usize,
    /// A visit ends after so many seconds without an event. Default 1,800.
    pub session_gap_seconds: u32,
    /// Events that happened longer than so many seconds before their receipt are late: counted in features, but they open no visit
    /// and no intent. Default 604,800 (seven days).
    pub allowed_lateness_seconds: u32,
    /// Changes to intents of the contract, by name.
    pub intents: BTreeMap<String, IntentConfig>,
}

/// What a deployment changes in an intent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntentConfig {
    /// How long nothing must have happened, in seconds, instead of the contract's `after`.
    pub after_seconds: Option<u32>,
}

impl Default for ProcessingConfig {
    fn default() -> Self {
        Self {
            batch_records: 4_000,
            people_cached: 20_000,
            session_gap_seconds: 1_800,
            allowed_lateness_seconds: 604_800,
            intents: BTreeMap::new(),
        }
    }
}

impl ProcessingConfig {
    /// Checks the values, and that what they change is defined.
    ///
    /// # Errors
    /// Naming the key.
    pub fn validate(&self, definitions: &contract::Definitions) -> Result<(), crate::ProcessingError> {
        let fail = |reason: &str| Err(crate::ProcessingError::Config(reason.to_owned()));
        if !(1..=100_000).contains(&self.batch_records) {
            return fail("processing.batch_records is between 1 and 100000");
        }
        if self.people_cached == 0 {
            return fail("processing.people_cached is at least 1");
        }
        if !(1..=86_400).contains(&self.session_gap_seconds) {
            return fail("processing.session_gap_seconds is between 1 and 86400");
        }
        if self.allowed_lateness_seconds < 60 {
            return fail("processing.allowed_lateness_seconds is at least 60");
        }
        if self
            .intents
            .values()
            .any(|intent| intent.after_seconds.is_some_and(|seconds| !(1..=86_400).contains(&seconds)))
        {
            return fail("processing.intents.<name>.after_seconds is between 1 and 86400");
        }
        let known = |name: &String| definitions.intents.iter().any(|intent| intent.name == *name);
        if let Some(name) = self.intents.keys().find(|name| !known(name)) {
            return fail(&format!("processing.intents.{name}: no contract defines this intent"));
        }
        Ok(())
    }
}
