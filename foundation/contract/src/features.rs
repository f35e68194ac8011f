//! Features: numbers that say what a person has done.

use crate::{ContractError, Source, Span, check_name, parse};
use serde::Deserialize;

/// What a feature looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Orders that are not cancelled, less what was returned of them.
    Orders,
    /// Behaviour events of one name.
    Event(String),
    /// All behaviour events.
    AnyEvent,
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once(':') {
            None if text == "order" => Ok(Self::Orders),
            Some(("event", "*")) => Ok(Self::AnyEvent),
            Some(("event", name)) if !name.is_empty() => Ok(Self::Event(name.to_owned())),
            _ => Err(serde::de::Error::custom(format!("`{text}` is no signal: write order, event:<name> or event:*"))),
        }
    }
}

/// What a feature measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many.
    Count,
    /// Units sold less units returned (orders only); a decimal text.
    Units,
    /// Net amount less what was returned, in minor units (orders only).
    NetMinor,
    /// When the first one was.
    FirstAt,
    /// When the last one was.
    LastAt,
    /// Whole days since the last one, up to `up_to_days`.
    DaysSinceLast,
}

impl Measure {
    /// Whether it is taken over windows.
    #[must_use]
    pub const fn is_windowed(self) -> bool {
        matches!(self, Self::Count | Self::Units | Self::NetMinor)
    }
}

/// Over which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Since the beginning.
    Lifetime,
    /// The last span.
    Last(Span),
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "lifetime" {
            return Ok(Self::Lifetime);
        }
        text.parse().map(Self::Last).map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lifetime => f.write_str("lifetime"),
            Self::Last(span) => span.fmt(f),
        }
    }
}

/// A feature, or a family of them: one for each window, named `<name>_<window>`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Version of the definition, from 1.
    pub version: u32,
    /// What it means, for people.
    pub description: String,
    /// What it looks at.
    pub signal: Subject,
    /// What it measures.
    pub measure: Measure,
    /// Over which times; none for measures without windows.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// How finely a window of events slides: an event counts for the window's length and up to this much longer. The window's 288th
    /// part, in whole minutes and at least one, when absent. Windows of orders are exact.
    #[serde(default)]
    pub granularity: Option<Span>,
    /// Currency that amounts are summed in; orders in other currencies do not count towards amounts.
    #[serde(default)]
    pub currency: Option<String>,
    /// `days_since_last` counts up to this many days; 365 when absent.
    #[serde(default)]
    pub up_to_days: Option<u32>,
}

impl Feature {
    /// Reads and checks a feature.
    ///
    /// # Errors
    /// Naming the file and the field.
    pub fn read(source: &Source) -> Result<Self, ContractError> {
        let feature: Self = parse(source)?;
        let fail = |field: &str, reason: &str| Err(ContractError::invalid(&source.file, field, reason));
        check_name(&source.file, "name", &feature.name)?;
        if feature.version == 0 {
            return fail("version", "versions start at 1");
        }
        if feature.measure.is_windowed() == feature.windows.is_empty() {
            return fail("windows", "counts and sums have windows, such as [24h, lifetime]; other measures have none");
        }
        if feature.windows.len() > 16 {
            return fail("windows", "at most 16");
        }
        let of_orders = feature.signal == Subject::Orders;
        if matches!(feature.measure, Measure::Units | Measure::NetMinor) && !of_orders {
            return fail("measure", "units and net_minor are measured on orders only");
        }
        if (feature.measure == Measure::NetMinor) != feature.currency.is_some() {
            return fail("currency", "net_minor has a currency, such as USD; other measures have none");
        }
        if let Some(code) = &feature.currency
            && let Err(error) = model::Currency::parse(code)
        {
            return fail("currency", &error.to_string());
        }
        if feature.granularity.is_some() && (of_orders || !feature.measure.is_windowed()) {
            return fail("granularity", "only windows of events have one; windows of orders are exact");
        }
        if feature.up_to_days.is_some() && feature.measure != Measure::DaysSinceLast {
            return fail("up_to_days", "only days_since_last has it");
        }
        if feature.up_to_days.is_some_and(|days| days == 0 || days > 3_650) {
            return fail("up_to_days", "between 1 and 3650");
        }
        Ok(feature)
    }

    /// Names of the values that it gives, with their windows.
    pub fn columns(&self) -> impl Iterator<Item = (String, Window)> + '_ {
        let plain = (!self.measure.is_windowed()).then(|| (self.name.clone(), Window::Lifetime));
        plain.into_iter().chain(self.windows.iter().map(|window| (format!("{}_{window}", self.name), *window)))
    }

    /// How finely a window of events slides, in seconds.
    #[must_use]
    pub fn granularity_of(&self, window: Span) -> i64 {
        self.granularity.map_or_else(|| (window.as_seconds() / 288 / 60 * 60).max(60), Span::as_seconds)
    }
}
