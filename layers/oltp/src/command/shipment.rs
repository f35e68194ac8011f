//! Shipments, what they hold and where they are.

use super::{Asked, Written, write};
use crate::check::{
    CODE_MAX, Checked, TEXT_MAX, WORD_MAX, below, count, far, number, one_of, optional, past, quantity, source, text,
};
use crate::error::OltpError;
use model::{Decimal, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// Statuses of shipments.
pub(crate) const SHIPMENT_STATUSES: &[&str] = &[
    "unknown",
    "pre_transit",
    "in_transit",
    "out_for_delivery",
    "delivered",
    "available_for_pickup",
    "return_to_sender",
    "failure",
    "cancelled",
];
const LINES_MAX: usize = 1000;
const EVENTS_MAX: usize = 500;

/// What a shipment holds of a line of its order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipmentLineValue {
    /// Number of the order's line.
    pub line_no: i32,
    /// Quantity, a decimal text.
    #[schema(value_type = String, example = "1")]
    pub quantity: Decimal,
}

/// A checkpoint of a shipment. The same one twice counts once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipmentEventValue {
    /// The shipment's status from then on.
    #[schema(example = "in_transit")]
    pub status: String,
    /// When.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
    /// The carrier's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where, without a street.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// A shipment of goods of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutShipment {
    /// System that the number comes from; `(source, shipment_no)` identifies the shipment.
    #[schema(example = "wms")]
    pub source: String,
    /// Number of the shipment.
    pub shipment_no: String,
    /// Source of the order, which must exist.
    pub order_source: String,
    /// Number of the order.
    pub order_no: String,
    /// Carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The carrier's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_no: Option<String>,
    /// unknown (default), pre_transit, in_transit, out_for_delivery, delivered, available_for_pickup, return_to_sender, failure
    /// or cancelled. The latest checkpoint tells it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Since when; `source_updated_at` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub status_at: Option<Timestamp>,
    /// When it should arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub estimated_delivery_at: Option<Timestamp>,
    /// What it holds; what is not told stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ShipmentLineValue>,
    /// Checkpoints, in any order; they are only ever added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<ShipmentEventValue>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    body: &'a PutShipment,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_at: Option<Timestamp>,
    events: Vec<EventBody<'a>>,
}

#[derive(Serialize)]
struct EventBody<'a> {
    id: Uuid,
    #[serde(flatten)]
    event: &'a ShipmentEventValue,
}

impl Asked for PutShipment {
    const NOUN: &'static str = "shipment";
    const PATH: &'static str = "shipments";
    const ABOUT: &'static str = "Create or update a shipment";

    fn example() -> Value {
        json!({"source": "wms", "shipment_no": "S-1", "order_source": "till", "order_no": "367-31198570044", "carrier": "ups",
            "lines": [{"line_no": 1, "quantity": "1"}], "events": [{"status": "in_transit", "at": "2026-02-01T08:00:00Z"}]})
    }

    fn check(&self, now: Timestamp) -> Checked {
        source("/source", &self.source)?;
        text("/shipment_no", &self.shipment_no, CODE_MAX)?;
        source("/order_source", &self.order_source)?;
        text("/order_no", &self.order_no, CODE_MAX)?;
        optional("/carrier", self.carrier.as_deref(), WORD_MAX)?;
        optional("/tracking_no", self.tracking_no.as_deref(), CODE_MAX)?;
        one_of("/status", self.status.as_deref(), SHIPMENT_STATUSES)?;
        past("/status_at", self.status_at, now)?;
        far("/estimated_delivery_at", self.estimated_delivery_at)?;
        count("/lines", self.lines.len(), 0, LINES_MAX)?;
        let mut seen = HashSet::new();
        for (i, line) in self.lines.iter().enumerate() {
            number("/line_no", line.line_no, 10_000).map_err(|error| below(error, "lines", i))?;
            quantity("/quantity", line.quantity).map_err(|error| below(error, "lines", i))?;
            if !seen.insert(line.line_no) {
                let detail = format!("line number {} comes twice", line.line_no);
                return Err(OltpError::invalid("oltp.duplicate_line", format!("/lines/{i}/line_no"), detail));
            }
        }
        count("/events", self.events.len(), 0, EVENTS_MAX)?;
        for (i, event) in self.events.iter().enumerate() {
            checkpoint(event, now).map_err(|error| below(error, "events", i))?;
        }
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.source, self.shipment_no)
    }

    fn lines(&self) -> usize {
        self.lines.len() + self.events.len()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        let events = self.events.iter().map(|event| EventBody { id: Uuid::now_v7(), event }).collect();
        let bare = Self { events: Vec::new(), status_at: None, ..self.clone() };
        let status_at = self.status_at.or(self.status.as_ref().and(self.source_updated_at));
        write(&Body { body: &bare, status_at, events })
    }
}

fn checkpoint(event: &ShipmentEventValue, now: Timestamp) -> Checked {
    one_of("/status", Some(&event.status), SHIPMENT_STATUSES)?;
    past("/at", Some(event.at), now)?;
    optional("/message", event.message.as_deref(), TEXT_MAX)?;
    optional("/location", event.location.as_deref(), WORD_MAX)
}
