//! Tickets of the service desk.

use super::identity::IdentityValue;
use super::{Asked, Written, write};
use crate::check::{CODE_MAX, Checked, WORD_MAX, count, one_of, optional, past, source, text};
use crate::error::OltpError;
use model::{IdentityKind, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Statuses of tickets.
pub(crate) const TICKET_STATUSES: &[&str] = &["new", "open", "pending", "hold", "solved", "closed"];
/// Types of tickets.
pub(crate) const TICKET_TYPES: &[&str] = &["question", "complaint", "incident", "return", "task"];
const TICKET_CHANNELS: &[&str] = &["email", "phone", "chat", "web", "store", "social", "other"];
const TAGS_MAX: usize = 100;

/// A ticket of the service desk. Its subject and its words stay there: they are personal.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutTicket {
    /// Desk that the number comes from; `(source, ticket_no)` identifies the ticket.
    #[schema(example = "zendesk")]
    pub source: String,
    /// Number of the ticket.
    pub ticket_no: String,
    /// Your number of the member who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_no: Option<String>,
    /// An identity of whoever asks: names the member if one holds it, else stays as a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<IdentityValue>,
    /// Source of the order that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_source: Option<String>,
    /// Number of the order that it is about, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_no: Option<String>,
    /// email, phone, chat, web, store, social or other (default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// question (default), complaint, incident, return or task.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "type")]
    pub ticket_type: Option<String>,
    /// low, normal (default), high or urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// new (default), open, pending, hold, solved or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When it was opened.
    #[schema(value_type = String, format = "date-time")]
    pub opened_at: Timestamp,
    /// When it was first answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub first_reply_at: Option<Timestamp>,
    /// When it was solved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub solved_at: Option<Timestamp>,
    /// How content the customer was, 1 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csat_score: Option<i16>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    body: &'a PutTicket,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_kind: Option<IdentityKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_token: Option<String>,
}

impl Asked for PutTicket {
    const NOUN: &'static str = "ticket";
    const PATH: &'static str = "tickets";
    const ABOUT: &'static str = "Create or update a ticket of the service desk";

    fn example() -> Value {
        json!({"source": "zendesk", "ticket_no": "1001", "requester": {"kind": "email", "value": "ann@example.com"},
            "type": "complaint", "status": "open", "opened_at": "2026-02-01T09:00:00Z"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        source("/source", &self.source)?;
        text("/ticket_no", &self.ticket_no, CODE_MAX)?;
        optional("/member_no", self.member_no.as_deref(), CODE_MAX)?;
        if self.order_no.is_some() != self.order_source.is_some() {
            return Err(OltpError::invalid(
                "oltp.missing",
                "/order_source",
                "an order is named by its source and number",
            ));
        }
        optional("/order_source", self.order_source.as_deref(), CODE_MAX)?;
        optional("/order_no", self.order_no.as_deref(), CODE_MAX)?;
        one_of("/channel", self.channel.as_deref(), TICKET_CHANNELS)?;
        one_of("/type", self.ticket_type.as_deref(), TICKET_TYPES)?;
        one_of("/priority", self.priority.as_deref(), &["low", "normal", "high", "urgent"])?;
        one_of("/status", self.status.as_deref(), TICKET_STATUSES)?;
        past("/opened_at", Some(self.opened_at), now)?;
        past("/first_reply_at", self.first_reply_at, now)?;
        past("/solved_at", self.solved_at, now)?;
        if self.csat_score.is_some_and(|score| !(1..=5).contains(&score)) {
            return Err(OltpError::invalid("oltp.out_of_range", "/csat_score", "between 1 and 5"));
        }
        count("/tags", self.tags.len(), 0, TAGS_MAX)?;
        for (i, tag) in self.tags.iter().enumerate() {
            text(&format!("/tags/{i}"), tag, WORD_MAX)?;
        }
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.source, self.ticket_no)
    }

    fn write(&self, tokens: &Tokeniser, _: Timestamp) -> Written {
        let identity = self.requester.as_ref().map(|who| tokens.identify(who.kind, &who.value)).transpose();
        let identity = identity
            .map_err(|error| OltpError::invalid("oltp.invalid_identity", "/requester/value", error.to_string()))?;
        let bare = Self { requester: None, ..self.clone() };
        let (member_kind, member_token) = identity.map(|identity| (identity.kind, identity.token)).unzip();
        write(&Body { body: &bare, member_kind, member_token })
    }
}
