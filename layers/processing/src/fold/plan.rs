//! Definitions made ready: which events are counted how finely, which columns there are, which rules read what.

use crate::config::ProcessingConfig;
use contract::features::{Measure, Subject, Window};
use contract::intents::Intent;
use contract::{Definitions, Expression, MEMBER_INPUTS, Span};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Name under which all events are counted.
pub const ANY: &str = "*";
/// Days that a rule can count since a member joined.
pub const MEMBER_DAYS_MAX: i64 = 3_650;

/// Definitions made ready. Cheap to share.
#[derive(Debug)]
pub struct Plan {
    /// Columns, in the order of the values.
    pub columns: Vec<Column>,
    /// Place of each column by name.
    pub places: HashMap<String, usize>,
    /// Granularities in seconds at which events are counted, by name; [`ANY`] for all.
    pub counted: HashMap<String, Vec<i64>>,
    /// How long the panes of a counted event and granularity matter, in microseconds.
    pub kept: HashMap<(String, i64), i64>,
    /// Longest window of orders, microseconds.
    pub orders_kept: i64,
    /// Tags.
    pub tags: Vec<Rule>,
    /// Cohorts.
    pub cohorts: Vec<Rule>,
    /// Intents.
    pub intents: Vec<Intent>,
    /// Events that intents look at.
    pub acts: BTreeSet<String>,
    /// Whether a rule reads for how long somebody has been a member.
    pub reads_member_days: bool,
    /// Changes with the definitions.
    pub fingerprint: u64,
    /// Longest pause within a visit, microseconds.
    pub gap: i64,
    /// Lateness allowed, microseconds.
    pub lateness: i64,
}

/// One feature value.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Orders, or the name that events are counted under.
    pub of: Of,
    /// What it measures.
    pub measure: Measure,
    /// Length of the window, none for ever.
    pub window: Option<Span>,
    /// Seconds of a pane; events only.
    pub granularity: i64,
    /// Currency of amounts.
    pub currency: String,
    /// Cap of days.
    pub days_max: i64,
}

/// What a column looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Orders.
    Orders,
    /// Events counted under a name.
    Events(String),
}

/// A tag or a cohort.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// When it holds.
    pub when: Expression,
}

impl Plan {
    /// Makes definitions ready.
    pub fn new(definitions: &Definitions, config: &ProcessingConfig) -> Arc<Self> {
        let columns: Vec<Column> = definitions.features.iter().flat_map(columns_of).collect();
        let (mut counted, mut kept) = (HashMap::<String, Vec<i64>>::new(), HashMap::new());
        for column in &columns {
            let Of::Events(name) = &column.of else { continue };
            let granularities = counted.entry(name.clone()).or_default();
            if let Some(window) = column.window {
                let keep = kept.entry((name.clone(), column.granularity)).or_insert(0);
                *keep = window.as_micros().max(*keep);
                if !granularities.contains(&column.granularity) {
                    granularities.push(column.granularity);
                }
            }
        }
        let rule = |name: &String, when: &Expression| Rule { name: name.clone(), when: when.clone() };
        let tags: Vec<Rule> = definitions.tags.iter().map(|tag| rule(&tag.name, &tag.when)).collect();
        let cohorts: Vec<Rule> = definitions.cohorts.iter().map(|cohort| rule(&cohort.name, &cohort.when)).collect();
        let mut intents = definitions.intents.clone();
        for intent in &mut intents {
            if let Some(seconds) = config.intents.get(&intent.name).and_then(|change| change.after_seconds) {
                intent.after = Span::seconds(i64::from(seconds));
            }
        }
        let acts = intents
            .iter()
            .flat_map(|i| i.starts_with.iter().chain(&i.undone_by).chain(&i.kept_alive_by))
            .cloned()
            .collect();
        let of_orders = columns.iter().filter(|column| column.of == Of::Orders);
        let orders_kept = of_orders.filter_map(|column| column.window).map(Span::as_micros).max().unwrap_or(0);
        let days = MEMBER_INPUTS[3].to_owned();
        Arc::new(Self {
            places: columns.iter().enumerate().map(|(place, column)| (column.name.clone(), place)).collect(),
            reads_member_days: tags.iter().chain(&cohorts).any(|rule| rule.when.reads().contains(&days)),
            fingerprint: fingerprint(&columns, &tags, &cohorts, &intents),
            orders_kept,
            columns,
            counted,
            kept,
            tags,
            cohorts,
            intents,
            acts,
            gap: i64::from(config.session_gap_seconds) * 1_000_000,
            lateness: i64::from(config.allowed_lateness_seconds) * 1_000_000,
        })
    }
}

fn columns_of(feature: &contract::features::Feature) -> impl Iterator<Item = Column> + '_ {
    feature.columns().map(|(name, window)| {
        let window = if let Window::Last(span) = window { Some(span) } else { None };
        Column {
            name,
            of: match &feature.signal {
                Subject::Orders => Of::Orders,
                Subject::Event(event) => Of::Events(event.clone()),
                Subject::AnyEvent => Of::Events(ANY.to_owned()),
            },
            measure: feature.measure,
            window,
            granularity: window.map_or(0, |span| feature.granularity_of(span)),
            currency: feature.currency.clone().unwrap_or_default(),
            days_max: i64::from(feature.up_to_days.unwrap_or(365)),
        }
    })
}

/// FNV-1a over all that decides a value; never 0, which stands for "nothing said yet".
fn fingerprint(columns: &[Column], tags: &[Rule], cohorts: &[Rule], intents: &[Intent]) -> u64 {
    let columns = columns.iter().map(|column| format!("{column:?}"));
    let rules = tags.iter().chain(cohorts).map(|rule| format!("{}={}", rule.name, rule.when.source()));
    let intents = intents.iter().map(|intent| format!("{intent:?}"));
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in
        columns.chain([tags.len().to_string()]).chain(rules).chain(intents).collect::<Vec<_>>().join("\n").bytes()
    {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.max(1)
}
