//! Playbooks: what to recommend when an intent fires, and inside which limits. YAML in `contracts/playbooks/`.

use crate::{ContractError, Source, Span, check_name, parse, read_folder};
use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The playbooks that come with the program.
const EMBEDDED: [(&str, &str); 1] =
    [("contracts/playbooks/cart_reminder.yaml", include_str!("../../../contracts/playbooks/cart_reminder.yaml"))];

/// Purposes that a consent can be given for.
const PURPOSES: [&str; 4] = ["marketing", "personalisation", "analytics", "ads_sharing"];
/// Channels that a consent can be given for.
const CHANNELS: [&str; 7] = ["email", "sms", "push", "phone", "post", "ads", "web"];
/// Longest frequency and outcome window, seconds: 366 days.
const WINDOW_SECONDS_MAX: i64 = 366 * 86_400;

/// Turns one intent into one recommendation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// Its name, in snake_case; an intent is answered once by each name, whatever the version.
    pub name: String,
    /// Its version, from 1; raised by whoever changes it.
    pub version: u32,
    /// What it does, for people.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// The intent that it answers.
    pub intent: String,
    /// How old the intent may be, at most 366 days; an older one, found after an outage, is left unanswered.
    pub answer_within: Span,
    /// Channel of the contact.
    pub channel: String,
    /// Purpose of the contact; the member must have consented to it on the channel.
    pub purpose: String,
    /// Limits.
    pub guardrails: Guardrails,
    /// What to do.
    pub action: Action,
    /// What counts as success.
    pub outcome: Outcome,
}

/// The limits of a playbook. Those of the member's status and consent always hold and have no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrails {
    /// How often a member may be contacted on the channel.
    pub frequency_cap: FrequencyCap,
    /// When a member must be left alone; never, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
}

/// At most `max` contacts in any `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// Most contacts of a member on the channel, by any playbook; at least 1.
    pub max: u32,
    /// The window, at most 366 days.
    pub window: Span,
}

/// Hours of the member's day, from `from` until just before `to`; over midnight when `from` is later than `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// First quiet minute, `HH:MM`.
    #[serde(with = "clock_time")]
    pub from: Time,
    /// First minute that is no longer quiet, `HH:MM`.
    #[serde(with = "clock_time")]
    pub to: Time,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// How it is done.
    #[serde(rename = "type")]
    pub kind: ActionKind,
    /// Passed on to the receiver as they stand.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// How an action is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// A signed webhook (Standard Webhooks).
    Webhook,
}

/// What counts as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// What is looked for.
    pub kind: OutcomeKind,
    /// For how long after the delivery, at most 366 days.
    pub window: Span,
}

/// What is looked for after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// An order of the member, on any channel.
    Purchase,
}

/// All playbooks of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Playbooks {
    by_name: BTreeMap<String, Playbook>,
}

impl Playbooks {
    /// The playbooks that come with the program.
    ///
    /// # Panics
    /// Never: a test reads them.
    #[must_use]
    #[expect(clippy::expect_used, reason = "they are part of the program, and a test reads them")]
    pub fn embedded() -> Self {
        let sources = EMBEDDED.map(|(file, text)| Source::embedded(file, text));
        Self::read(&sources).expect("the shipped playbooks are valid")
    }

    /// Reads the playbooks of a folder of contracts, the one that [`crate::Definitions::load`] reads too: the files of its
    /// folder `playbooks`, as in `contracts/`. Where that folder is missing, there are no playbooks, and no intent is answered.
    ///
    /// # Errors
    /// When `dir` is no folder, or a file cannot be read, is no valid playbook, or names a playbook that another file names too;
    /// the error names the file and the field.
    pub fn load(dir: &Path) -> Result<Self, ContractError> {
        Self::read(&read_folder(dir, "playbooks")?)
    }

    /// Reads playbooks from texts.
    ///
    /// # Errors
    /// As [`Playbooks::load`].
    pub fn read(sources: &[Source]) -> Result<Self, ContractError> {
        let mut by_name = BTreeMap::new();
        for source in sources {
            let playbook: Playbook = parse(source)?;
            playbook.check(&source.file)?;
            if let Some(other) = by_name.insert(playbook.name.clone(), playbook) {
                let reason = format!("another file has a playbook `{}` too; rename one", other.name);
                return Err(ContractError::invalid(&source.file, "name", reason));
            }
        }
        Ok(Self { by_name })
    }

    /// All playbooks, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Playbook> {
        self.by_name.values()
    }

    /// The playbooks that answer an intent, by name.
    pub fn answering<'a>(&'a self, intent: &'a str) -> impl Iterator<Item = &'a Playbook> {
        self.iter().filter(move |playbook| playbook.intent == intent)
    }
}

impl Playbook {
    fn check(&self, file: &str) -> Result<(), ContractError> {
        let wrong = |field: &str, reason: &str| Err(ContractError::invalid(file, field, reason));
        check_name(file, "name", &self.name)?;
        check_name(file, "intent", &self.intent)?;
        for (field, text) in [("description", &self.description), ("owner", &self.owner)] {
            if text.trim().is_empty() || text.len() > 1_000 {
                return wrong(field, "say it in 1 to 1,000 bytes");
            }
        }
        if i32::try_from(self.version).is_err() || self.version == 0 {
            return wrong("version", "versions are whole numbers from 1");
        }
        one_of(file, "channel", &self.channel, &CHANNELS)?;
        one_of(file, "purpose", &self.purpose, &PURPOSES)?;
        let cap = self.guardrails.frequency_cap;
        if cap.max == 0 {
            return wrong("guardrails.frequency_cap.max", "0 would never contact anybody; remove the playbook instead");
        }
        for (field, window) in [
            ("answer_within", self.answer_within),
            ("guardrails.frequency_cap.window", cap.window),
            ("outcome.window", self.outcome.window),
        ] {
            if window.as_seconds() > WINDOW_SECONDS_MAX {
                return wrong(field, "a window has at most 366 days");
            }
        }
        if self.guardrails.quiet_hours.is_some_and(|quiet| quiet.from == quiet.to) {
            let reason =
                "`from` and `to` are the same time, which means never or always; leave quiet_hours out for never";
            return wrong("guardrails.quiet_hours", reason);
        }
        Ok(())
    }
}

fn one_of(file: &str, field: &str, value: &str, allowed: &[&str]) -> Result<(), ContractError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(ContractError::invalid(file, field, format!("`{value}` is none of {}", allowed.join(", "))))
}

/// Times of day as text: `HH:MM`.
mod clock_time {
    use jiff::civil::Time;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&time.strftime("%H:%M"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let text = String::deserialize(from)?;
        let well_formed = text.len() == 5;
        let time = well_formed.then(|| Time::strptime("%H:%M", &text).ok()).flatten();
        time.ok_or_else(|| {
            de::Error::custom(format!("`{text}` is not a time of day such as 21:00; write it in quotes"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CART: &str = EMBEDDED[0].1;

    fn error(change: impl Fn(&str) -> String) -> ContractError {
        Playbooks::read(&[Source::embedded("cart.yaml", &change(CART))]).unwrap_err()
    }

    #[test]
    fn the_shipped_playbooks_are_valid_and_are_those_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts");
        let embedded = Playbooks::embedded();
        assert_eq!(Playbooks::load(&folder).unwrap(), embedded);
        let cart = embedded.answering("cart_abandoned").next().unwrap();
        assert_eq!((cart.name.as_str(), cart.outcome.window.to_string().as_str()), ("cart_reminder", "7d"));
        assert_eq!(embedded.answering("unheard_of").count(), 0);
    }

    #[test]
    fn a_folder_of_contracts_is_given_and_not_that_of_the_playbooks() {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts");
        let found = |dir: &Path| Playbooks::load(dir).map(|playbooks| playbooks.iter().count());
        assert_eq!(found(&contracts).unwrap(), EMBEDDED.len());
        assert_eq!(found(&contracts.join("playbooks")).unwrap(), 0, "no folder `playbooks` in it");
        assert!(found(&contracts.join("nowhere")).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        for (from, to, named) in [
            ("name: cart_reminder", "name: Cart Reminder", "name"),
            ("version: 1", "version: 0", "version"),
            ("channel: email", "channel: pigeon", "channel"),
            ("purpose: marketing", "purpose: fun", "purpose"),
            ("max: 1", "max: 0", "guardrails.frequency_cap.max"),
            ("window: 24h", "window: soon", "guardrails.frequency_cap"),
            ("window: 24h", "window: 0h", "guardrails.frequency_cap"),
            ("window: 24h", "window: 9000h", "guardrails.frequency_cap.window"),
            ("from: \"21:00\"", "from: \"25:00\"", "guardrails.quiet_hours"),
            ("from: \"21:00\"", "from: \"08:00\"", "guardrails.quiet_hours"),
            ("window: 7d", "window: 367d", "outcome.window"),
            ("type: webhook", "type: telegram", "action.type"),
        ] {
            let error = error(|text| text.replacen(from, to, 1));
            let ContractError::Invalid { file, field, .. } = &error else { panic!("{error}") };
            assert_eq!((file.as_str(), field.as_str()), ("cart.yaml", named), "{to}: {error}");
        }
        assert!(error(|text| format!("{text}owned: crm\n")).to_string().contains("unknown field `owned`"));
        let sources = ["a.yaml", "b.yaml"].map(|file| Source::embedded(file, CART));
        assert!(Playbooks::read(&sources).unwrap_err().to_string().starts_with("b.yaml: name: another file"));
    }

    #[test]
    fn a_playbook_reads_back_as_it_was_written() {
        let cart = Playbooks::embedded().by_name.remove("cart_reminder").unwrap();
        let text = serde_yaml_ng::to_string(&cart).unwrap();
        assert_eq!(serde_yaml_ng::from_str::<Playbook>(&text).unwrap(), cart);
    }
}
