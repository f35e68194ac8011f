//! Intents of the kind "begun and not finished": carts that were left.
//!
//! A cart begins with a product put in and goes on until nothing happens for `after` (then it was left), until an order of the
//! same person on any channel (then it was bought), or until nothing is in it. Which carts were left depends on the set of acts and
//! orders only; so what fired before, and is not in that set any more, is taken back. But acts are not kept for ever: of a cart that
//! may have begun before the oldest that is kept, nothing is said twice, and only an order takes it back.

use super::person::{Act, Fired, Person, Trace};
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
    /// Carts whose last act is not after this may lack their beginning: acts before them are not kept any more.
    pub unsure_until: Option<i64>,
    /// Orders that count, by time.
    orders: Vec<i64>,
}

#[derive(Default)]
struct Items {
    quantities: BTreeMap<String, i64>,
    prices: BTreeMap<String, (i64, String)>,
}

impl Items {
    fn put(&mut self, act: &Act) {
        if act.quantity <= 0 {
            return;
        }
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
                self.prices.remove(&code);
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
    left: Vec<Left>,
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
            self.left.push(Left { id, trace: trace.to_owned(), at: last, detail });
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
        if acts.is_empty() && person.traces.values().all(|trace| trace.fired.is_empty()) {
            return Self::default();
        }
        acts.sort_unstable();
        let orders =
            person.traces.values().flat_map(|trace| trace.orders.values()).filter_map(|order| order.fact.as_ref());
        let mut orders: Vec<i64> = orders.filter(|order| order.counts).map(|order| order.placed_at).collect();
        orders.sort_unstable();
        let gone = person.traces.values().filter_map(|trace| trace.acts_gone).max();
        let mut unsure_until = gone;
        let mut walk = Walk { intent, now, items: Items::default(), last: None, left: Vec::new() };
        let mut coming = orders.iter().copied().peekable();
        for (act, trace) in acts {
            // Acts that follow each other without a pause may be of one cart.
            unsure_until = unsure_until.map(|until| if act.at <= walk.due(until) { until.max(act.at) } else { until });
            while let Some(placed_at) = coming.next_if(|placed_at| *placed_at < act.at) {
                walk.until(placed_at);
                walk.clear();
            }
            walk.act(trace, act);
        }
        for placed_at in coming {
            walk.until(placed_at);
            walk.clear();
        }
        walk.until(i64::MAX);
        let due = walk.last.map(|(last, _)| walk.due(last));
        Self { left: walk.left, due, unsure_until, orders }
    }

    fn is_unsure(&self, at: i64) -> bool {
        self.unsure_until.is_some_and(|until| at <= until)
    }

    /// Whether an order came before a cart with its last act at `at` was left.
    fn is_bought(&self, at: i64, intent: &Intent) -> bool {
        let from = self.orders.partition_point(|placed_at| *placed_at < at);
        self.orders.get(from).is_some_and(|placed_at| *placed_at <= at.saturating_add(intent.after.as_micros()))
    }
}

/// What fired and what is taken back, at a time. What fired for a former owner of the trace is said again, of this one. Of carts
/// before the horizon of their trace, given its last receipt, nothing is said: what fired is not remembered for longer.
pub fn fire(
    whose: &str,
    person: &mut Person,
    intent: &Intent,
    now: i64,
    horizon: impl Fn(&Trace) -> i64,
) -> (Vec<(Uuid, Fired)>, Option<i64>) {
    let carts = Carts::of(person, intent, now);
    let mut changed = Vec::new();
    for cart in &carts.left {
        let Some(trace) = person.traces.get_mut(&cart.trace) else { continue };
        let said = trace.fired.get(&cart.id);
        let of_it = |said: &Fired| said.person == whose && !said.retracted;
        if cart.at < horizon(trace) || (carts.is_unsure(cart.at) && said.is_some_and(of_it)) {
            continue;
        }
        let fired = Fired {
            intent: intent.name.clone(),
            person: whose.to_owned(),
            at: cart.at,
            fired_at: cart.at.saturating_add(intent.after.as_micros()),
            retracted: false,
            detail: Value::Object(cart.detail.clone()).to_string(),
        };
        if said != Some(&fired) {
            trace.fired.insert(cart.id, fired.clone());
            changed.push((cart.id, fired));
        }
    }
    for trace in person.traces.values_mut() {
        let horizon = horizon(trace);
        for (id, fired) in &mut trace.fired {
            let standing = fired.intent == intent.name && fired.at >= horizon && !fired.retracted;
            let disproved = !carts.is_unsure(fired.at) || carts.is_bought(fired.at, intent);
            if standing && disproved && carts.left.iter().all(|cart| cart.id != *id) {
                fired.retracted = true;
                whose.clone_into(&mut fired.person);
                changed.push((*id, fired.clone()));
            }
        }
    }
    (changed, carts.due)
}

#[cfg(test)]
mod tests {
    use super::super::person::{ACTS_MAX, Order, Versioned};
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
        let (fired, _) = fire("m:1", &mut person, &intent(), 60 * MINUTE, |_| 0);
        assert_eq!(fired.len(), 1);
        assert_eq!(
            fired[0].1.detail,
            r#"{"products":[{"product_code":"x","quantity":2}],"value_minor":500,"currency":"USD"}"#
        );
        assert!(fire("m:1", &mut person, &intent(), 61 * MINUTE, |_| 0).0.is_empty());
        let order = Order { placed_at: 5 * MINUTE, units: 1, net_minor: 1, currency: "USD".to_owned(), counts: true };
        let till = person.traces.get_mut("m:1").unwrap();
        till.orders.insert(Uuid::from_u128(5), Versioned { version: (1, 0), fact: Some(order) });
        let (back, _) = fire("m:1", &mut person, &intent(), 62 * MINUTE, |_| 0);
        assert_eq!((back.len(), back[0].0, back[0].1.retracted), (1, fired[0].0, true));
        assert!(fire("m:1", &mut person, &intent(), 63 * MINUTE, |_| 0).0.is_empty());
    }

    #[test]
    fn a_cart_is_said_once_also_when_what_fired_is_forgotten_before_its_acts() {
        let mut person = person(&[act(0, "product_added", "x")], &[]);
        let said = |person: &mut Person, horizon: i64| fire("m:1", person, &intent(), 60 * MINUTE, |_| horizon).0.len();
        assert_eq!(said(&mut person, 0), 1);
        person.traces.get_mut("a:1").unwrap().fired.clear();
        assert_eq!(said(&mut person, 1), 0);
    }

    #[test]
    fn acts_that_are_not_kept_any_more_disprove_nothing_but_an_order_does() {
        let mut person = person(&[act(0, "product_added", "x")], &[]);
        assert_eq!(fire("m:1", &mut person, &intent(), 60 * MINUTE, |_| 0).0.len(), 1);
        let web = person.traces.get_mut("a:1").unwrap();
        for second in 0..=ACTS_MAX as i64 {
            web.act(Act { at: 100 * MINUTE + second * 1_000_000, ..act(0, "product_added", "y") });
        }
        assert_eq!(web.acts_gone, Some(100 * MINUTE));
        let now_said = |person: &mut Person| {
            let (said, _) = fire("m:1", person, &intent(), 200 * MINUTE, |_| 0);
            said.into_iter().map(|(_, fired)| (fired.at / MINUTE, fired.retracted)).collect::<Vec<_>>()
        };
        // The second cart lost its first act and is said once all the same.
        assert_eq!(now_said(&mut person), [(108, false)]);
        person.traces.get_mut("a:1").unwrap().forget_acts(1);
        assert_eq!(now_said(&mut person), []);
        let bought = Order { placed_at: 5 * MINUTE, units: 1, net_minor: 1, currency: "USD".to_owned(), counts: true };
        let till = person.traces.get_mut("m:1").unwrap();
        till.orders.insert(Uuid::from_u128(5), Versioned { version: (1, 0), fact: Some(bought) });
        assert_eq!(now_said(&mut person), [(0, true)]);
    }

    #[test]
    fn what_was_taken_out_counts_neither_as_a_product_nor_by_its_price() {
        let in_euro =
            |minute, name, product| Act { price: Some((900, "EUR".to_owned())), ..act(minute, name, product) };
        let none = Act { quantity: 0, ..in_euro(0, "product_added", "z") };
        let acts =
            [none, in_euro(1, "product_added", "y"), act(2, "product_added", "x"), in_euro(3, "product_removed", "y")];
        let carts = Carts::of(&person(&acts, &[]), &intent(), 60 * MINUTE);
        let detail = Value::Object(carts.left[0].detail.clone()).to_string();
        assert_eq!(detail, r#"{"products":[{"product_code":"x","quantity":1}],"value_minor":250,"currency":"USD"}"#);
        assert_eq!(left(&[Act { quantity: 0, ..act(0, "product_added", "x") }], &[], 60), [] as [i64; 0]);
    }
}
