//! Orders in bulk. A trace with very many orders is a till's house card or a marketplace's account; kept one by one, they would make
//! its state grow without end, and every signal would go through all of them.

use super::person::{Order, Trace, Versioned};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Orders of one trace that are kept one by one. Beyond it, those that no window can hold any more become sums.
pub const ORDERS_MAX: usize = 5_000;

/// Sums over orders that were not cancelled, less what was returned of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// All orders placed before this time are in the sums. What is said of such an order from then on cannot be told from what the
    /// sums hold already: it is counted as past and changes nothing.
    pub until: i64,
    /// How many.
    pub count: i64,
    /// Units, in ten-thousandths.
    pub units: i64,
    /// Net amounts by currency.
    pub net_minor: BTreeMap<String, i64>,
    /// When the first and the last of them were placed.
    pub span: Option<(i64, i64)>,
}

impl Past {
    /// Unites with the sums of another piece of the same trace.
    pub fn merge(&mut self, other: &Self) {
        self.until = self.until.max(other.until);
        self.count = self.count.saturating_add(other.count);
        self.units = self.units.saturating_add(other.units);
        for (currency, net_minor) in &other.net_minor {
            self.add(0, *net_minor, currency);
        }
        self.see(other.span);
    }

    fn add(&mut self, units: i64, net_minor: i64, currency: &str) {
        self.units = self.units.saturating_add(units);
        let sum = self.net_minor.entry(currency.to_owned()).or_default();
        *sum = sum.saturating_add(net_minor);
    }

    fn see(&mut self, span: Option<(i64, i64)>) {
        let spans = self.span.into_iter().chain(span);
        self.span = spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    }
}

impl Trace {
    /// Whether an order belongs to the sums.
    pub fn is_past(&self, placed_at: i64) -> bool {
        self.past.as_ref().is_some_and(|past| placed_at < past.until)
    }

    /// After a merge: lets go of orders that the other state may have in its sums. Says how many.
    pub fn drop_past(&mut self) -> u64 {
        let (Some(past), all) = (&self.past, self.orders.len()) else { return 0 };
        self.orders.retain(|_, order| order.fact.as_ref().is_none_or(|order| order.placed_at >= past.until));
        (all - self.orders.len()) as u64
    }

    /// Makes sums of the oldest orders when there are too many, as far as they were placed before a time.
    pub fn sum_up(&mut self, before: i64) {
        if self.orders.len() <= ORDERS_MAX {
            return;
        }
        let placed = self.orders.values().filter_map(|order| order.fact.as_ref()).map(|order| order.placed_at);
        let mut times: Vec<i64> = placed.filter(|placed_at| *placed_at < before).collect();
        times.sort_unstable();
        // A quarter more than need be, so that this is rare.
        let surplus = self.orders.len() - ORDERS_MAX / 4 * 3;
        let until = times.get(surplus).copied().unwrap_or(before);
        let mut past = self.past.take().unwrap_or_default();
        past.until = past.until.max(until);
        let is_old = |order: &Versioned<Order>| order.fact.as_ref().is_some_and(|order| order.placed_at < until);
        let (old, kept): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.orders).into_iter().partition(|(_, order)| is_old(order));
        self.orders = kept;
        let counting = |id: &Uuid| old.get(id).and_then(|order| order.fact.as_ref()).filter(|order| order.counts);
        for order in old.keys().filter_map(counting) {
            past.count = past.count.saturating_add(1);
            past.add(order.units, order.net_minor, &order.currency);
            past.see(Some((order.placed_at, order.placed_at)));
        }
        self.returns.retain(|_, taken| {
            let Some(taken) = taken.fact.as_ref().filter(|taken| old.contains_key(&taken.order)) else { return true };
            if let (true, Some(order)) = (taken.counts, counting(&taken.order)) {
                past.add(-taken.units, -taken.net_minor, &order.currency);
            }
            false
        });
        self.past = Some(past);
    }
}
