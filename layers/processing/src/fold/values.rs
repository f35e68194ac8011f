//! Values of features at a time, and the next time at which they change without a signal.

use super::past::Past;
use super::person::{Member, Order, Person};
use super::plan::{Column, MEMBER_DAYS_MAX, Of, Plan};
use contract::features::Measure;
use contract::{Input, Inputs};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

const DAY: i64 = 86_400_000_000;

/// What rules and features are at one time.
#[derive(Debug, PartialEq)]
pub struct Values {
    /// One for each column; then for how many days the person has been a member, if a rule reads it.
    pub values: Vec<Option<i64>>,
    /// When a value changes by time alone.
    pub next: Option<i64>,
}

/// An order less what was returned of it.
struct Sale<'a> {
    placed_at: i64,
    units: i64,
    net_minor: i64,
    currency: &'a str,
}

/// Keeps the earliest time.
fn sooner(next: &mut Option<i64>, at: i64) {
    *next = Some(next.map_or(at, |next| next.min(at)));
}

impl Values {
    /// Evaluates all columns.
    pub fn of(person: &Person, plan: &Plan, now: i64) -> Self {
        let (sales, mut next) = (Sales::of(person), None);
        let mut values: Vec<Option<i64>> = Vec::with_capacity(plan.columns.len() + 1);
        for column in &plan.columns {
            values.push(match &column.of {
                Of::Orders => of_orders(column, &sales, now, &mut next),
                Of::Events(name) => of_events(column, name, person, now, &mut next),
            });
        }
        if plan.reads_member_days {
            values.push(person.member().map(|member| days_since(member.enrolled_at, MEMBER_DAYS_MAX, now, &mut next)));
        }
        Self { values, next }
    }
}

/// All sales of a person.
struct Sales<'a> {
    single: Vec<Sale<'a>>,
    /// Those of which only sums are kept; they are older than any window.
    past: Vec<&'a Past>,
}

impl<'a> Sales<'a> {
    fn of(person: &'a Person) -> Self {
        Self { single: single(person), past: person.traces.values().filter_map(|trace| trace.past.as_ref()).collect() }
    }

    fn first(&self) -> Option<i64> {
        let past = self.past.iter().filter_map(|past| past.span).map(|(first, _)| first);
        self.single.iter().map(|sale| sale.placed_at).chain(past).min()
    }

    fn last(&self) -> Option<i64> {
        let past = self.past.iter().filter_map(|past| past.span).map(|(_, last)| last);
        self.single.iter().map(|sale| sale.placed_at).chain(past).max()
    }
}

fn single(person: &Person) -> Vec<Sale<'_>> {
    let mut returned: BTreeMap<&Uuid, (i64, i64)> = BTreeMap::new();
    for taken in person.traces.values().flat_map(|trace| trace.returns.values()).filter_map(|taken| taken.fact.as_ref())
    {
        if taken.counts {
            let sum = returned.entry(&taken.order).or_default();
            *sum = (sum.0.saturating_add(taken.units), sum.1.saturating_add(taken.net_minor));
        }
    }
    let orders = person.traces.values().flat_map(|trace| &trace.orders);
    let counting = orders.filter_map(|(id, order)| Some((id, order.fact.as_ref().filter(|order| order.counts)?)));
    let sale = |(id, order)| {
        let (id, order): (&Uuid, &Order) = (id, order);
        let back = returned.get(id).copied().unwrap_or_default();
        Sale {
            placed_at: order.placed_at,
            units: order.units.saturating_sub(back.0),
            net_minor: order.net_minor.saturating_sub(back.1),
            currency: &order.currency,
        }
    };
    counting.map(sale).collect()
}

fn days_since(at: i64, days_max: i64, now: i64, next: &mut Option<i64>) -> i64 {
    let days = (now.saturating_sub(at)).div_euclid(DAY).max(0);
    if days < days_max {
        sooner(next, at.saturating_add((days + 1) * DAY));
    }
    days.min(days_max)
}

fn of_orders(column: &Column, sales: &Sales<'_>, now: i64, next: &mut Option<i64>) -> Option<i64> {
    match column.measure {
        Measure::FirstAt => return sales.first(),
        Measure::LastAt => return sales.last(),
        Measure::DaysSinceLast => return Some(days_since(sales.last()?, column.days_max, now, next)),
        Measure::Count | Measure::Units | Measure::NetMinor => {}
    }
    let of_past = |past: &&Past| match column.measure {
        Measure::Units => past.units,
        Measure::NetMinor => past.net_minor.get(&column.currency).copied().unwrap_or(0),
        _ => past.count,
    };
    let past = sales.past.iter().filter(|_| column.window.is_none()).map(of_past);
    let mut sum = past.fold(0_i64, i64::saturating_add);
    for sale in &sales.single {
        if let Some(window) = column.window {
            let leaves = sale.placed_at.saturating_add(window.as_micros());
            if leaves <= now {
                continue;
            }
            sooner(next, leaves);
        }
        sum = sum.saturating_add(match column.measure {
            Measure::Units => sale.units,
            Measure::NetMinor if sale.currency == column.currency => sale.net_minor,
            Measure::NetMinor => 0,
            _ => 1,
        });
    }
    Some(sum)
}

fn of_events(column: &Column, name: &str, person: &Person, now: i64, next: &mut Option<i64>) -> Option<i64> {
    let counters = person.traces.values().filter_map(|trace| trace.counters.get(name));
    match (column.measure, column.window) {
        (Measure::FirstAt, _) => counters.map(|counter| counter.first).min(),
        (Measure::LastAt, _) => counters.map(|counter| counter.last).max(),
        (Measure::DaysSinceLast, _) => {
            let last = counters.map(|counter| counter.last).max()?;
            Some(days_since(last, column.days_max, now, next))
        }
        (_, None) => Some(counters.map(|counter| i64::try_from(counter.count).unwrap_or(i64::MAX)).sum()),
        (_, Some(window)) => {
            let pane_length = column.granularity * 1_000_000;
            let mut sum = 0;
            for panes in counters.filter_map(|counter| counter.panes.get(&column.granularity)) {
                // A pane counts until its end has left the window.
                let first = (now.saturating_sub(window.as_micros())).div_euclid(pane_length);
                let mut within = panes.range(first..).peekable();
                if let Some((pane, _)) = within.peek() {
                    sooner(next, ((*pane + 1) * pane_length).saturating_add(window.as_micros()));
                }
                sum += within.map(|(_, count)| i64::from(*count)).sum::<i64>();
            }
            Some(sum)
        }
    }
}

/// Values as records carry them: whole numbers, decimals as text, times as text; what has no value is left out.
pub fn features(plan: &Plan, values: &[Option<i64>]) -> Map<String, Value> {
    let told = plan.columns.iter().zip(values).filter_map(|(column, value)| {
        let value = (*value)?;
        let value = match column.measure {
            Measure::Units => Value::from(model::Decimal::new(value, 4).normalize().to_string()),
            Measure::FirstAt | Measure::LastAt => Value::from(crate::time(value).to_string()),
            Measure::Count | Measure::NetMinor | Measure::DaysSinceLast => Value::from(value),
        };
        Some((column.name.clone(), value))
    });
    told.collect()
}

/// What rules read: values and the member's row.
pub struct Known<'a> {
    /// The definitions.
    pub plan: &'a Plan,
    /// The values.
    pub values: &'a [Option<i64>],
    /// The member.
    pub member: Option<&'a Member>,
}

impl Inputs for Known<'_> {
    fn input(&self, name: &str) -> Input<'_> {
        if let Some(&place) = self.plan.places.get(name) {
            return match (self.values.get(place).copied().flatten(), self.plan.columns[place].measure) {
                (None, _) => Input::Absent,
                (Some(value), Measure::Units) => Input::Number(value as f64 / 10_000.0),
                (Some(value), Measure::FirstAt | Measure::LastAt) => Input::Int(value / 1_000_000),
                (Some(value), _) => Input::Int(value),
            };
        }
        match (name, self.member) {
            ("is_member", member) => Input::Bool(member.is_some()),
            ("member_status", member) => Input::Text(member.map_or("", |member| &member.status)),
            ("member_tier", member) => Input::Text(member.and_then(|member| member.tier.as_deref()).unwrap_or("")),
            ("member_days", Some(_)) => {
                self.values.get(self.plan.columns.len()).copied().flatten().map_or(Input::Absent, Input::Int)
            }
            _ => Input::Absent,
        }
    }
}
