//! Intents: sequences and absences in time that are worth acting on.

use crate::{ContractError, Source, Span, check_name, parse};
use serde::Deserialize;

/// Something begun and not finished: fires when, after `starts_with`, nothing of `kept_alive_by` and no order happened for `after`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Its name.
    pub name: String,
    /// Version of the definition, from 1.
    pub version: u32,
    /// What it means, for people.
    pub description: String,
    /// Events that put a product in.
    pub starts_with: Vec<String>,
    /// Events that take a product out again; when nothing is left, nothing fires.
    #[serde(default)]
    pub undone_by: Vec<String>,
    /// Other events that show that the person is still at it.
    #[serde(default)]
    pub kept_alive_by: Vec<String>,
    /// How long nothing must have happened. An order on any channel within that time cancels.
    pub after: Span,
}

impl Intent {
    /// Reads and checks an intent.
    ///
    /// # Errors
    /// Naming the file and the field.
    pub fn read(source: &Source) -> Result<Self, ContractError> {
        let intent: Self = parse(source)?;
        let fail = |field: &str, reason: &str| Err(ContractError::invalid(&source.file, field, reason));
        check_name(&source.file, "name", &intent.name)?;
        if intent.version == 0 {
            return fail("version", "versions start at 1");
        }
        if intent.starts_with.is_empty() {
            return fail("starts_with", "name at least one event");
        }
        let all = [&intent.starts_with, &intent.undone_by, &intent.kept_alive_by];
        let mut names: Vec<&String> = all.into_iter().flatten().collect();
        if names.len() > 32 {
            return fail("starts_with", "at most 32 events in all lists together");
        }
        names.sort();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return fail("starts_with", "an event stands in more than one place");
        }
        if intent.after > Span::seconds(86_400) {
            return fail("after", "at most 24h");
        }
        Ok(intent)
    }
}
