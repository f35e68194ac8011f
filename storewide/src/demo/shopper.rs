//! Simulated shoppers: pure; the same seed and the same calls give the same signals.
//!
//! A visitor browses, fills a cart, perhaps logs in, and then buys online, walks to a till and buys there, or leaves the cart
//! behind. Some purchases come back.

use super::catalogue::{Catalogue, Item};
use crate::import::{email, member_no};
use jiff::{SignedDuration, Timestamp};
use model::{Decimal, IdentityKind};
use oltp::command::{IdentityValue, OrderLineValue, PaymentValue, PutOrder, PutReturn, ReturnLineValue};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// The system that the demo's orders come from.
pub const SOURCE: &str = "demo";
/// Purchases kept in mind for returns.
const PURCHASES_KEPT: usize = 1_000;

/// Something that a shopper does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A behaviour event, in Segment's form.
    Event(Value),
    /// A purchase.
    Order(Box<PutOrder>),
    /// A return.
    Return(Box<PutReturn>),
}

/// One visit of one person.
#[derive(Clone, Debug)]
struct Visitor {
    anonymous_id: String,
    household: Option<i64>,
    known: bool,
    views_left: u32,
    cart: Vec<(Item, u32)>,
}

/// All shoppers.
#[derive(Debug)]
pub struct Crowd {
    run: String,
    catalogue: Catalogue,
    rng: ChaCha8Rng,
    visitors: Vec<Visitor>,
    /// Households that are not shopping now. Each makes one visit at a time: if it shopped in many places at once, it would
    /// always have bought something just now, and never leave a cart behind.
    away: Vec<i64>,
    purchases: Vec<PutOrder>,
    next: u64,
}

impl Crowd {
    /// A crowd of so many visitors at once. `run` makes its ids differ from those of other runs.
    #[must_use]
    pub fn new(run: &str, seed: u64, size: usize, catalogue: Catalogue) -> Self {
        let mut crowd = Self {
            run: run.to_owned(),
            away: catalogue.households.clone(),
            catalogue,
            rng: ChaCha8Rng::seed_from_u64(seed),
            visitors: Vec::with_capacity(size),
            purchases: Vec::new(),
            next: 0,
        };
        for _ in 0..size.max(1) {
            let visitor = crowd.arrive();
            crowd.visitors.push(visitor);
        }
        crowd
    }

    /// The next deed of anybody.
    pub fn act(&mut self, now: Timestamp) -> Deed {
        if !self.purchases.is_empty() && self.rng.random_bool(0.002) {
            return self.bring_back(now);
        }
        let index = self.rng.random_range(0..self.visitors.len());
        let mut visitor = self.visitors[index].clone();
        let deed = self.step(&mut visitor, now);
        self.visitors[index] = visitor;
        deed
    }

    /// A purchase was acknowledged: it may come back some day.
    pub fn bought(&mut self, order: PutOrder) {
        if self.purchases.len() < PURCHASES_KEPT {
            self.purchases.push(order);
        }
    }

    /// A member buys what they were reminded of.
    pub fn follow_up(&mut self, household: i64, codes: &[String], now: Timestamp) -> Deed {
        let items: Vec<_> = self.catalogue.items.iter().filter(|item| codes.contains(&item.code)).cloned().collect();
        let cart =
            if items.is_empty() { vec![(self.pick(), 1)] } else { items.into_iter().map(|item| (item, 1)).collect() };
        let visitor =
            Visitor { anonymous_id: String::new(), household: Some(household), known: true, views_left: 0, cart };
        self.buy(&visitor, "pos", now)
    }

    fn step(&mut self, visitor: &mut Visitor, now: Timestamp) -> Deed {
        if visitor.views_left > 0 {
            visitor.views_left -= 1;
            if !visitor.cart.is_empty() || self.rng.random_bool(0.75) {
                return self.view(visitor, now);
            }
            let line = (self.pick(), self.rng.random_range(1..=3));
            visitor.cart.push(line.clone());
            return self.product_event(visitor, "Product Added", &line.0, line.1, now);
        }
        if visitor.household.is_some() && !visitor.known {
            visitor.known = true;
            return self.log_in(visitor, now);
        }
        // The end of the visit: buy online, buy at a till, or leave.
        let fate = self.rng.random_range(0..10);
        let leaver = std::mem::replace(visitor, self.arrive());
        self.away.extend(leaver.household);
        match (leaver.cart.is_empty(), fate) {
            (false, 0..=3) => self.buy(&leaver, "ecom", now),
            (false, 4) => self.buy(&leaver, "pos", now),
            _ => self.view(visitor, now),
        }
    }

    fn arrive(&mut self) -> Visitor {
        let number = self.number();
        let member = !self.away.is_empty() && self.rng.random_bool(0.6);
        let household =
            member.then(|| self.rng.random_range(0..self.away.len())).map(|place| self.away.swap_remove(place));
        Visitor {
            anonymous_id: format!("{}-v{number}", self.run),
            household,
            known: false,
            views_left: self.rng.random_range(2..12),
            cart: Vec::new(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn pick(&mut self) -> Item {
        // A product of average price where the catalogue is empty; it never is (see `Catalogue::read`).
        let fallback = Item { code: String::new(), price_minor: 100 };
        self.catalogue.items.choose(&mut self.rng).cloned().unwrap_or(fallback)
    }

    fn view(&mut self, visitor: &Visitor, now: Timestamp) -> Deed {
        let item = self.pick();
        self.product_event(visitor, "Product Viewed", &item, 1, now)
    }

    fn product_event(&mut self, visitor: &Visitor, name: &str, item: &Item, quantity: u32, now: Timestamp) -> Deed {
        let price = Decimal::new(item.price_minor, 2).to_string().parse::<f64>().unwrap_or_default();
        let properties = json!({ "product_id": item.code, "sku": item.code, "price": price, "quantity": quantity, "currency": "USD" });
        let mut event = self.message("track", visitor, now);
        event["event"] = name.into();
        event["properties"] = properties;
        Deed::Event(event)
    }

    fn log_in(&mut self, visitor: &Visitor, now: Timestamp) -> Deed {
        let mut event = self.message("identify", visitor, now);
        if let Some(household) = visitor.household {
            event["traits"] = json!({ "email": email(household) });
        }
        Deed::Event(event)
    }

    fn message(&mut self, kind: &str, visitor: &Visitor, now: Timestamp) -> Value {
        let number = self.number();
        let id = format!("{}-{number}", self.run);
        json!({
            "type": kind,
            "messageId": id,
            "anonymousId": visitor.anonymous_id,
            "timestamp": now.to_string(),
            "context": { "library": { "name": "storewide-demo" }, "locale": "en-US" },
        })
    }

    fn buy(&mut self, visitor: &Visitor, channel: &str, now: Timestamp) -> Deed {
        let number = self.number();
        let mut order = PutOrder {
            source: SOURCE.to_owned(),
            order_no: format!("{}-{number}", self.run),
            channel: channel.to_owned(),
            store_code: self.catalogue.stores.choose(&mut self.rng).cloned(),
            placed_at: now,
            currency: "USD".to_owned(),
            ..PutOrder::default()
        };
        if channel == "ecom" {
            order.anonymous_id = Some(visitor.anonymous_id.clone());
            let guest = format!("{}@example.com", visitor.anonymous_id);
            let value = visitor.household.filter(|_| visitor.known).map_or(guest, email);
            order.buyer = Some(IdentityValue { kind: IdentityKind::Email, value });
        } else {
            order.member_no = visitor.household.map(member_no);
        }
        for (index, (item, quantity)) in visitor.cart.iter().enumerate() {
            order.lines.push(line(index, item, *quantity));
        }
        let total = order.lines.iter().map(|line| line.gross_minor.unwrap_or(0) - line.discount_minor).sum();
        order.payments.push(PaymentValue {
            payment_no: 1,
            tender_type: "card".to_owned(),
            amount_minor: total,
            captured_at: Some(now),
            ..PaymentValue::default()
        });
        Deed::Order(Box::new(order))
    }

    fn bring_back(&mut self, now: Timestamp) -> Deed {
        let index = self.rng.random_range(0..self.purchases.len());
        let order = self.purchases.swap_remove(index);
        let lines = order.lines.iter().take(1);
        let lines = lines
            .map(|line| ReturnLineValue { line_no: line.line_no, quantity: Decimal::ONE, ..ReturnLineValue::default() })
            .collect();
        Deed::Return(Box::new(PutReturn {
            source: SOURCE.to_owned(),
            return_no: format!("{}-return", order.order_no),
            order_source: SOURCE.to_owned(),
            order_no: order.order_no,
            store_code: order.store_code,
            // Never before the sale, whatever the clock does.
            returned_at: now.max(order.placed_at.checked_add(SignedDuration::from_secs(1)).unwrap_or(now)),
            reason: Some("changed my mind".to_owned()),
            lines,
            ..PutReturn::default()
        }))
    }
}

fn line(index: usize, item: &Item, quantity: u32) -> OrderLineValue {
    OrderLineValue {
        line_no: i32::try_from(index + 1).unwrap_or(i32::MAX),
        sku_code: item.code.clone(),
        quantity: Decimal::from(quantity),
        unit_price_minor: Some(item.price_minor),
        gross_minor: Some(item.price_minor * i64::from(quantity)),
        ..OrderLineValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(seed: u64) -> Crowd {
        let items = (1..50).map(|n| Item { code: n.to_string(), price_minor: n * 10 }).collect();
        let catalogue = Catalogue { items, stores: vec!["1".to_owned()], households: vec![1, 2, 3] };
        Crowd::new("r", seed, 20, catalogue)
    }

    #[test]
    fn the_same_seed_shops_the_same_way() {
        let now = Timestamp::UNIX_EPOCH;
        let deeds = |seed| {
            (0..500)
                .map({
                    let mut crowd = crowd(seed);
                    move |_| format!("{:?}", crowd.act(now))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(deeds(1), deeds(1));
        assert_ne!(deeds(1), deeds(2));
    }

    #[test]
    fn every_kind_of_deed_happens() {
        let mut crowd = crowd(3);
        let (mut events, mut orders, mut returns) = (0, 0, 0);
        for _ in 0..20_000 {
            match crowd.act(Timestamp::UNIX_EPOCH) {
                Deed::Event(_) => events += 1,
                Deed::Order(order) => {
                    assert!(!order.lines.is_empty());
                    crowd.bought(*order);
                    orders += 1;
                }
                Deed::Return(_) => returns += 1,
            }
        }
        assert!(events > 15_000 && orders > 100 && returns > 5, "{events} events, {orders} orders, {returns} returns");
    }
}
