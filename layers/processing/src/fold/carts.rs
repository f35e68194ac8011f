//! Intents of the kind "begun and not finished": carts that were left.
//!
//! A cart begins with a product put in and goes on until nothing happens for `after` (then it was left), until an order of the
//! same person on any channel (then it was bought), or until nothing is in it. Which carts were left depends on the set of acts and
//! orders only; so what fired before, and is not in that set any more, is taken back.

use super::person::{Act, Fired, Person};
use contract::intents::Intent;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Namespace of intent ids.
const IDS: Uuid = Uuid::from_u128(0x0d6f_21c4_3f58_4b0a_9a7e_51c2_8e6d_7b93);

/// A cart that was left.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    /// Stable id.
    pub id: Uuid,
    /// Trace of its last act.
    pub trace: String,
    /// Time of its last act.
    pub at: i64,
    /// What is in it.
    pub detail: Map<String, Value>,
}

/// All carts of one intent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Carts {
    /// Those that were left.
    pub left: Vec<Left>,
    /// When the open one will have been left.
    pub due: Option<i64>,
}

#[derive(Default)]
struct Items {
    quantities: BTreeMap<String, i64>,
    prices: BTreeMap<String, (i64, String)>,
}

impl Items {
    fn put(&mut self, act: &Act) {
        let code = act.product.clone().unwrap_or_default();
        *self.quantities.entry(code.clone()).or_default() += act.quantity;
        if let Some(price) = &act.price {
            self.prices.insert(code, price.clone());
        }
    }

    fn take(&mut self, act: &Act) {
        let code = act.product.clone().unwrap_or_default();
        if let Some(quantity) = self.quantities.get_mut(&code) {
            *quantity -= act.quantity;
            if *quantity <= 0 {
                self.quantities.remove(&code);
            }
        }
    }

    /// Codes and quantities, and the value where every price is known in one currency.
    fn detail(&self) -> Map<String, Value> {
        let products = self.quantities.iter().map(|(code, quantity)| {
            let item = [
                ("product_code".to_owned(), Value::from(code.as_str())),
                ("quantity".to_owned(), Value::from(*quantity)),
            ];
            Value::Object(item.into_iter().collect())
        });
        let mut detail = Map::from_iter([("products".to_owned(), Value::Array(products.collect()))]);
        let mut currencies: Vec<&str> = self.prices.values().map(|(_, currency)| currency.as_str()).collect();
        currencies.dedup();
        let value = self
            .quantities
            .iter()
            .try_fold(0_i64, |sum, (code, quantity)| sum.checked_add(self.prices.get(code)?.0.checked_mul(*quantity)?));
        if let ([currency], Some(value)) = (currencies.as_slice(), value) {
            detail.insert("value_minor".to_owned(), Value::from(value));
            detail.insert("currency".to_owned(), Value::from(*currency));
        }
        detail
    }
}

/// A walk through a person's acts and orders by time.
struct Walk<'a> {
    intent: &'a Intent,
    now: i64,
    items: Items,
    last: Option<(i64, &'a str)>,
    carts: Carts,
}

impl<'a> Walk<'a> {
    fn due(&self, at: i64) -> i64 {
        at.saturating_add(self.intent.after.as_micros())
    }

    /// What comes next happens at `at`: was the cart left before?
    fn until(&mut self, at: i64) {
        // What is dated in the future has not happened yet; a moment is over when it has come.
        let at = at.min(self.now.saturating_add(1));
        if let Some((last, trace)) = self.last
            && at > self.due(last)
        {
            let name = format!("{}|{trace}|{last}", self.intent.name);
            let (id, detail) = (Uuid::new_v5(&IDS, name.as_bytes()), self.items.detail());
            self.carts.left.push(Left { id, trace: trace.to_owned(), at: last, detail });
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.items = Items::default();
        self.last = None;
    }

    fn act(&mut self, trace: &'a str, act: &Act) {
        self.until(act.at);
        if self.intent.starts_with.contains(&act.name) {
            self.items.put(act);
        } else if self.intent.undone_by.contains(&act.name) {
            self.items.take(act);
        } else if !self.intent.kept_alive_by.contains(&act.name) {
            return;
        }
        self.last = (!self.items.quantities.is_empty()).then_some((act.at, trace));
    }
}

impl Carts {
    /// The carts of a person at a time.
    pub fn of(person: &Person, intent: &Intent, now: i64) -> Self {
        let mut acts: Vec<(&Act, &str)> = Vec::new();
        for (trace, known) in &person.traces {
            acts.extend(known.acts.iter().map(|act| (act, trace.as_str())));
        }
        if acts.is_empty() {
            return Self::default();
        }
        acts.sort_unstable();
        let orders =
            person.traces.values().flat_map(|trace| trace.orders.values()).filter_map(|order| order.fact.as_ref());
        let mut orders: Vec<i64> = orders.filter(|order| order.counts).map(|order| order.placed_at).collect();
        orders.sort_unstable();
        let mut orders = orders.into_iter().peekable();
        let mut walk = Walk { intent, now, items: Items::default(), last: None, carts: Self::default() };
        for (act, trace) in acts {
            while let Some(placed_at) = orders.next_if(|placed_at| *placed_at < act.at) {
                walk.until(placed_at);
                walk.clear();
            }
            walk.act(trace, act);
        }
        for placed_at in orders {
            walk.until(placed_at);
            walk.clear();
        }
        walk.until(i64::MAX);
        walk.carts.due = walk.last.map(|(last, _)| walk.due(last));
        walk.carts
    }
}

/// What fired and what is taken back, at a time. What fired for a former owner of the trace is said again, of this one.
pub fn fire(
    whose: &str,
    person: &mut Person,
    intent: &Intent,
    now: i64,
    horizon: i64,
) -> (Vec<(Uuid, Fired)>, Option<i64>) {
    let Carts { left, due } = Carts::of(person, intent, now);
    let mut changed = Vec::new();
    let now_left: Vec<Uuid> = left.iter().map(|cart| cart.id).collect();
    for cart in left {
        let Some(trace) = person.traces.get_mut(&cart.trace) else { continue };
        let fired_at = cart.at.saturating_add(intent.after.as_micros());
        let detail = Value::Object(cart.detail).to_string();
        let fired = Fired {
            intent: intent.name.clone(),
            person: whose.to_owned(),
            at: cart.at,
            fired_at,
            retracted: false,
            detail,
        };
        if trace.fired.get(&cart.id) != Some(&fired) {
            trace.fired.insert(cart.id, fired.clone());
            changed.push((cart.id, fired));
        }
    }
    for trace in person.traces.values_mut() {
        for (id, fired) in &mut trace.fired {
            let of_it = fired.intent == intent.name && fired.at >= horizon;
            if of_it && !fired.retracted && !now_left.contains(id) {
                fired.retracted = true;
                fired.person = whose.to_owned();
                changed.push((*id, fired.clone()));
            }
        }
    }
    (changed, due)
}

#[cfg(test)]
mod tests {
    use super::super::person::{Order, Trace, Versioned};
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn intent() -> Intent {
        contract::Definitions::embedded().intents.remove(0)
    }

    fn act(minute: i64, name: &str, product: &str) -> Act {
        let price = Some((250, "USD".to_owned()));
        Act { at: minute * MINUTE, name: name.to_owned(), product: Some(product.to_owned()), quantity: 1, price }
    }

    fn person(acts: &[Act], orders: &[i64]) -> Person {
        let mut web = Trace::default();
        acts.iter().for_each(|a| web.act(a.clone()));
        let mut till = Trace::default();
        for minute in orders {
            let order =
                Order { placed_at: minute * MINUTE, units: 1, net_minor: 1, currency: "USD".to_owned(), counts: true };
            till.orders.insert(
                Uuid::from_u128(minute.cast_unsigned().into()),
                Versioned { version: (1, 0), fact: Some(order) },
            );
        }
        Person { traces: BTreeMap::from([("a:1".to_owned(), web), ("m:1".to_owned(), till)]), ..Person::default() }
    }

    fn left(acts: &[Act], orders: &[i64], now: i64) -> Vec<i64> {
        Carts::of(&person(acts, orders), &intent(), now * MINUTE).left.iter().map(|cart| cart.at / MINUTE).collect()
    }

    #[test]
    fn a_cart_is_left_after_half_an_hour_of_nothing() {
        let acts = [act(0, "product_added", "x"), act(10, "cart_viewed", "")];
        assert_eq!(left(&acts, &[], 39), [] as [i64; 0]);
        assert_eq!(left(&acts, &[], 40), [10]);
        assert_eq!(Carts::of(&person(&acts, &[]), &intent(), 20 * MINUTE).due, Some(40 * MINUTE));
    }

    #[test]
    fn an_order_at_the_till_cancels_and_a_later_one_does_not() {
        let acts = [act(0, "product_added", "x")];
        assert_eq!(left(&acts, &[0], 60), [] as [i64; 0]);
        assert_eq!(left(&acts, &[30], 60), [] as [i64; 0]);
        assert_eq!(left(&acts, &[31], 60), [0]);
    }

    #[test]
    fn an_emptied_cart_is_not_left_and_a_second_cart_is_one_of_its_own() {
        let emptied = [act(0, "product_added", "x"), act(1, "product_removed", "x")];
        assert_eq!(left(&emptied, &[], 99), [] as [i64; 0]);
        let two = [act(0, "product_added", "x"), act(50, "product_added", "y")];
        assert_eq!(left(&two, &[], 99), [0, 50]);
    }

    #[test]
    fn what_late_data_disproves_is_taken_back_once() {
        let mut person = person(&[act(0, "product_added", "x"), act(1, "product_added", "x")], &[]);
        let (fired, _) = fire("m:1", &mut person, &intent(), 60 * MINUTE, 0);
        assert_eq!(fired.len(), 1);
        assert_eq!(
            fired[0].1.detail,
            r#"{"products":[{"product_code":"x","quantity":2}],"value_minor":500,"currency":"USD"}"#
        );
        assert!(fire("m:1", &mut person, &intent(), 61 * MINUTE, 0).0.is_empty());
        let order = Order { placed_at: 5 * MINUTE, units: 1, net_minor: 1, currency: "USD".to_owned(), counts: true };
        let till = person.traces.get_mut("m:1").unwrap();
        till.orders.insert(Uuid::from_u128(5), Versioned { version: (1, 0), fact: Some(order) });
        let (back, _) = fire("m:1", &mut person, &intent(), 62 * MINUTE, 0);
        assert_eq!((back.len(), back[0].0, back[0].1.retracted), (1, fired[0].0, true));
        assert!(fire("m:1", &mut person, &intent(), 63 * MINUTE, 0).0.is_empty());
    }
}
