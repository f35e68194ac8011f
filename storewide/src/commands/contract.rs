//! `contract`: whether definitions are sound, without a server.

use super::output::print;
use crate::cli::{Contract, ContractAction};
use ::contract::playbooks::Playbooks;
use ::contract::sources::Sources;
use ::contract::{Definitions, events::Registry};
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

/// Runs `contract`.
///
/// # Errors
/// Naming the file, the field and the place of the first fault.
pub fn contract(options: &Contract) -> Result<ExitCode> {
    let ContractAction::Check { dir, json } = &options.action;
    let (events, definitions, playbooks, sources) = match dir {
        Some(dir) => {
            (Registry::load(&dir.join("events"))?, Definitions::load(dir)?, Playbooks::load(dir)?, Sources::load(dir)?)
        }
        None => (Registry::embedded(), Definitions::embedded(), Playbooks::embedded(), Sources::embedded()),
    };
    let counts = [
        ("events", events.iter().count()),
        ("features", definitions.features.len()),
        ("tags", definitions.tags.len()),
        ("cohorts", definitions.cohorts.len()),
        ("intents", definitions.intents.len()),
        ("playbooks", playbooks.iter().count()),
        ("sources", sources.iter().count()),
    ];
    if *json {
        print(&json!(counts.iter().copied().collect::<std::collections::BTreeMap<_, _>>()).to_string())?;
    } else {
        let text: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        print(&format!("sound: {}", text.join(", ")))?;
    }
    Ok(ExitCode::SUCCESS)
}
