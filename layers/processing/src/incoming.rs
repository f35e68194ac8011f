//! Signals and events as the stages read them: only the fields that they need, borrowed from the record.

use model::behaviour::EventType;
use model::ids::PersonId;
use model::signal::{Cause, MemberFact, OrderFact, ProductJoin, ReturnFact, TraceId};
use model::{Decimal, Identity, Timestamp};
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What is said of a record that does not read. The reader's own words may repeat a value, and a value may be personal.
pub fn unreadable(record: &bus::Record, error: &serde_json::Error) -> String {
    format!("{}@{}: {:?} error at column {}", record.at, record.offset, error.classify(), error.column())
}

/// A behaviour event, as far as processing reads it.
#[derive(Debug, Deserialize)]
pub struct Event<'a> {
    /// The sender's id.
    #[serde(borrow)]
    pub message_id: Cow<'a, str>,
    /// Canonical name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Who sent it: ids are unique within a source only.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// Kind of call.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The visitor.
    #[serde(default)]
    pub anonymous_id: Option<String>,
    /// The visitor, after login.
    #[serde(default)]
    pub user_id: Option<String>,
    /// For alias: the id used before.
    #[serde(default)]
    pub previous_id: Option<String>,
    /// Identities that it reveals.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the gateway received it.
    pub received_at: Timestamp,
    /// What it is about.
    #[serde(borrow, default)]
    pub properties: Properties<'a>,
}

/// The properties that processing reads. Any may have any type: contracts decide what is valid, this only takes what it can use.
#[derive(Debug, Default, Deserialize)]
pub struct Properties<'a> {
    #[serde(borrow, default)]
    product_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sku: Option<&'a RawValue>,
    #[serde(borrow, default)]
    quantity: Option<&'a RawValue>,
    #[serde(borrow, default)]
    price: Option<&'a RawValue>,
    #[serde(borrow, default)]
    currency: Option<&'a RawValue>,
}

/// A text or a number, as text.
fn text(value: Option<&RawValue>) -> Option<String> {
    let raw = value?.get();
    let text = match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(raw).ok()?,
        b'-' | b'0'..=b'9' => raw.to_owned(),
        _ => return None,
    };
    let text = text.trim();
    (!text.is_empty() && text.len() <= 128).then(|| text.to_owned())
}

impl Properties<'_> {
    /// Code of the product.
    pub fn product_code(&self) -> Option<String> {
        text(self.product_id)
    }

    /// Code of the variant.
    pub fn sku_code(&self) -> Option<String> {
        text(self.sku)
    }

    /// How many: whole, a part of one counts as one; one where nothing is said or what is said is no number.
    pub fn quantity(&self) -> i64 {
        let said = text(self.quantity).and_then(|text| text.parse().or_else(|_| Decimal::from_scientific(&text)).ok());
        said.and_then(|quantity| quantity.ceil().to_i64()).map_or(1, |quantity| quantity.clamp(0, 1_000_000))
    }

    /// Price of one, where amount and currency are known.
    pub fn price(&self) -> Option<model::Money> {
        let currency = model::Currency::parse(&text(self.currency)?.to_ascii_uppercase()).ok()?;
        model::Money::from_major(&text(self.price)?, currency).ok()
    }
}

/// A resolved signal, as the fold reads it.
#[derive(Debug, Deserialize)]
pub struct Signal<'a> {
    /// Whose fold takes it.
    pub person: PersonId,
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the house first had it.
    pub received_at: Timestamp,
    /// The record that it comes from.
    pub cause: Cause,
    /// What it says.
    #[serde(borrow)]
    pub body: Body<'a>,
}

/// What a signal says; the shapes are those of `model::signal::Body`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body<'a> {
    /// A visitor did something.
    Event {
        #[serde(borrow)]
        event: Box<Event<'a>>,
        #[serde(default)]
        product: Option<ProductJoin>,
    },
    /// An order as it stands now.
    Order(OrderFact),
    /// A return as it stands now.
    Return(ReturnFact),
    /// A member as it stands now.
    Member(MemberFact),
    /// A fact that moved to another trace.
    Forget { fact: String, version: (u64, u64) },
    /// The trace belongs to somebody else now.
    Detach { to: PersonId, move_no: u64 },
    /// A piece of a trace's state.
    Handover {
        move_no: u64,
        #[serde(borrow)]
        state: Cow<'a, str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_and_prices_are_read_as_shops_write_them() {
        for (json, quantity, price) in [
            (r#"{"quantity": 2.0, "price": 2.5, "currency": "usd"}"#, 2, Some(250)),
            (r#"{"quantity": "3", "price": "1", "currency": "USD"}"#, 3, Some(100)),
            (r#"{"quantity": 0}"#, 0, None),
            (r#"{"quantity": 0.4, "price": 1}"#, 1, None),
            (r#"{"quantity": 2e1}"#, 20, None),
            (r#"{"quantity": "many", "currency": "dollars"}"#, 1, None),
            (r#"{"quantity": 1e20}"#, 1, None),
            (r#"{"quantity": 5000000}"#, 1_000_000, None),
            ("{}", 1, None),
        ] {
            let properties: Properties<'_> = serde_json::from_str(json).unwrap();
            let read = (properties.quantity(), properties.price().map(|price| price.minor));
            assert_eq!(read, (quantity, price), "{json}");
        }
    }
}
