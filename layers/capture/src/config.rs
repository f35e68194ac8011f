//! Configuration of capture: section `capture`.

use crate::CaptureError;
use serde::Deserialize;

/// How changes are captured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the replication slot; one a deployment. Lower case letters, digits and `_`.
    pub slot: String,
    /// Name of the publication; created, and completed, by capture.
    pub publication: String,
    /// Schema of the captured tables.
    pub schema: String,
    /// Captured tables.
    pub tables: Vec<String>,
    /// Most changes in one write to the bus.
    pub batch_records: usize,
    /// Most bytes in one write to the bus, about.
    pub batch_bytes: usize,
    /// Seconds between heartbeats. Each moves the log on, and looks at the slot and the publication.
    pub heartbeat_s: u64,
    /// How often an hour the store may be read as a whole again, for whatever reason, before capture waits.
    pub resnapshots_per_hour: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slot: "storewide".to_owned(),
            publication: "storewide".to_owned(),
            schema: "crm".to_owned(),
            tables: model::topic::CRM_TABLES.map(str::to_owned).to_vec(),
            batch_records: 4096,
            batch_bytes: 4 * 1024 * 1024,
            heartbeat_s: 10,
            resnapshots_per_hour: 3,
        }
    }
}

impl Config {
    /// Checks what PostgreSQL would refuse, or would take for something else: names go into replication commands as they are.
    pub(crate) fn check(&self) -> Result<(), CaptureError> {
        let plain = |name: &str| {
            let bytes = name.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_')
        };
        for (key, name) in [("slot", &self.slot), ("publication", &self.publication), ("schema", &self.schema)] {
            if !plain(name) {
                return Err(CaptureError::Config(format!(
                    "{key} `{name}` must be 1 to 63 lower case letters, digits or `_`"
                )));
            }
        }
        if let Some(table) = self.tables.iter().find(|table| !plain(table)) {
            return Err(CaptureError::Config(format!(
                "table `{table}` must be 1 to 63 lower case letters, digits or `_`"
            )));
        }
        if self.tables.is_empty() || self.batch_records == 0 || self.batch_bytes == 0 || self.heartbeat_s == 0 {
            return Err(CaptureError::Config(
                "tables, batch_records, batch_bytes and heartbeat_s must not be empty or 0".to_owned(),
            ));
        }
        Ok(())
    }
}
