//! Visits: events of one trace that lie close together.
//!
//! Two events belong to one visit when a chain of events joins them in which no pause is longer than the gap. That depends on the
//! set of events only, so intervals can be kept instead of events, and late ones may join two visits into one.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Namespace of visit ids.
const IDS: Uuid = Uuid::from_u128(0x5b1e_7a3c_90d4_4f0e_8b52_6d1f_2c3a_4e10);

/// One visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Last event.
    pub end: i64,
    /// Events in it.
    pub events: u64,
    /// Product views in it.
    pub views: u64,
}

/// The visits of a trace, by start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Visits {
    by_start: BTreeMap<i64, Visit>,
    /// Starts whose visit changed or went since the last time they were taken; empty between steps. A trace that leaves in the
    /// middle of a step takes them along: what its former owner did not say any more, the new one says.
    touched: BTreeSet<i64>,
}

impl Visits {
    /// Takes in an event or a whole visit.
    pub fn add(&mut self, start: i64, visit: Visit, gap: i64) {
        let (mut start, mut visit) = (start, visit);
        // Visits lie more than a gap apart, so those that meet the new one stand side by side, the last of them first.
        while let Some((&other, &met)) = self.by_start.range(..=visit.end.saturating_add(gap)).next_back() {
            if met.end.saturating_add(gap) < start {
                break;
            }
            self.by_start.remove(&other);
            self.touched.insert(other);
            start = start.min(other);
            visit = Visit {
                end: visit.end.max(met.end),
                events: visit.events + met.events,
                views: visit.views + met.views,
            };
        }
        self.touched.insert(start);
        self.by_start.insert(start, visit);
    }

    /// Unites with the visits of another state of the trace. All are reported again: they have a new owner.
    pub fn merge(&mut self, other: Self, gap: i64) {
        for (start, visit) in other.by_start {
            // Its former owner may have told of it: if it becomes part of an earlier one, that must be told too.
            self.touched.insert(start);
            self.add(start, visit, gap);
        }
        self.touched.extend(other.touched);
        self.touched.extend(self.by_start.keys());
    }

    /// Each visit as visits of its own, with what is to be told; the pieces of a state.
    pub fn one_by_one(self) -> impl Iterator<Item = Self> {
        let told = Self { by_start: BTreeMap::new(), touched: self.touched };
        let each = |(start, visit)| Self { by_start: BTreeMap::from([(start, visit)]), touched: BTreeSet::new() };
        std::iter::once(told).chain(self.by_start.into_iter().map(each))
    }

    /// Puts visits of the same state back together.
    pub fn append(&mut self, other: Self) {
        self.by_start.extend(other.by_start);
        self.touched.extend(other.touched);
    }

    /// What changed: the visit by its start, none when it is part of another now.
    pub fn take_touched(&mut self) -> Vec<(i64, Option<Visit>)> {
        let touched = std::mem::take(&mut self.touched).into_iter();
        touched.map(|start| (start, self.by_start.get(&start).copied())).collect()
    }

    /// Forgets visits that ended before a time; no event can join them any more.
    pub fn forget_before(&mut self, horizon: i64) {
        while let Some(first) = self.by_start.first_entry() {
            if first.get().end >= horizon {
                break;
            }
            first.remove();
        }
    }

    /// Stable id of a visit.
    pub fn id(trace: &str, start: i64) -> Uuid {
        Uuid::new_v5(&IDS, format!("{trace}|{start}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(times: &[i64], gap: i64) -> Vec<(i64, i64, u64)> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let mut visits: Vec<(i64, i64, u64)> = Vec::new();
        for at in sorted {
            match visits.last_mut() {
                Some(last) if at - last.1 <= gap => *last = (last.0, at, last.2 + 1),
                _ => visits.push((at, at, 1)),
            }
        }
        visits
    }

    proptest! {
        #[test]
        fn any_order_and_any_split_gives_the_visits_of_the_sorted_events(
            times in prop::collection::vec(0_i64..500, 0..60), gap in 1_i64..40, split in 0_usize..60,
        ) {
            let (left, right) = times.split_at(split.min(times.len()));
            let build = |times: &[i64]| {
                let mut visits = Visits::default();
                times.iter().for_each(|at| visits.add(*at, Visit { end: *at, events: 1, views: 0 }, gap));
                visits
            };
            let mut merged = build(left);
            merged.merge(build(right), gap);
            let told: BTreeSet<i64> = merged.take_touched().into_iter().map(|(start, _)| start).collect();
            let starts = [left, right].map(|times| naive(times, gap).into_iter().map(|visit| visit.0).collect::<BTreeSet<i64>>());
            prop_assert!(starts.iter().all(|starts| starts.is_subset(&told)), "{told:?} lacks some of {starts:?}");
            let got: Vec<_> = merged.by_start.iter().map(|(start, visit)| (*start, visit.end, visit.events)).collect();
            prop_assert_eq!(got, naive(&times, gap));
        }
    }
}
