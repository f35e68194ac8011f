//! Reading records back, one or a page at a time. What can be read is declared: an [`Entity`] for each noun, in a file of its own
//! below this one. Statements, checks of what is asked and the API's reference follow from the declaration.

mod ask;
mod audit;
mod brand;
mod campaign;
mod category;
mod consent;
mod coupon;
mod entity;
mod member;
mod membership;
mod merge;
mod order;
mod points;
mod price;
mod product;
mod sales_return;
mod shipment;
mod sku;
mod sql;
mod stock;
mod store;
mod subscription;
mod ticket;
mod tier;

pub use ask::{Ask, Fields, PAGE, PAGE_MAX};
pub use entity::{Column, Entity, Filter, Takes};

use crate::error::OltpError;
use crate::pool::{Oltp, Parameters};
use entity::Key;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Longest id that can be one, in bytes.
const ID_MAX: usize = 512;

impl Entity {
    /// All that can be read, in the order of the reference.
    pub const ALL: &[&Self] = &[
        Self::STORE,
        Self::PRODUCT,
        Self::SKU,
        Self::MEMBER,
        Self::ORDER,
        Self::RETURN,
        Self::SHIPMENT,
        Self::CAMPAIGN,
        Self::AD_SPEND,
        Self::TICKET,
        Self::SUBSCRIPTION,
        Self::TIER,
        Self::MEMBER_TIER,
        Self::EXTERNAL_MEMBERSHIP,
        Self::CONSENT_EVENT,
        Self::MEMBER_MERGE,
        Self::POINTS_PROGRAM,
        Self::POINTS_ENTRY,
        Self::POINTS_LOT,
        Self::POINTS_RESERVATION,
        Self::COUPON_DEFINITION,
        Self::COUPON,
        Self::COUPON_REDEMPTION,
        Self::BRAND,
        Self::CATEGORY,
        Self::PRICE,
        Self::INVENTORY_LEVEL,
        Self::INVENTORY_MOVEMENT,
        Self::INVENTORY_RESERVATION,
        Self::INVENTORY_TRANSFER,
        Self::AUDIT,
    ];

    /// Every statement that reading it can come to, for whoever prepares them all.
    #[must_use]
    pub fn statements(&'static self) -> Vec<String> {
        sql::all(self)
    }

    /// What its list can be sorted by.
    pub fn sortable(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.id.name).chain(self.sorts.iter().map(|column| column.name))
    }

    /// Table, name and type of each column that puts its records into order.
    pub fn order(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let columns = std::iter::once(&self.id).chain(self.tie).chain(self.sorts);
        columns.map(|column| (self.table, column.name, column.kind))
    }
}

/// A page of records.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The records, without what hangs on them (lines, identities …).
    pub items: Vec<Value>,
    /// Where the next page starts; none on the last.
    pub next: Option<String>,
}

impl Oltp {
    /// One record by our id or by its natural key: code, number, `source:order_no` or `source:return_no`; for orders and returns
    /// the bare number is enough while one source only has it. It comes with all that hangs on it: lines, identities, consents.
    /// Names, birth dates and identities unmasked are shown `with_pii` only.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn get(&self, entity: &'static Entity, id: &str, with_pii: bool) -> Result<Option<Value>, OltpError> {
        if id.is_empty() || id.len() > ID_MAX || id.contains('\0') || !entity.is_single() {
            return Ok(None);
        }
        let ours = if entity.id.kind == "uuid" {
            Uuid::parse_str(id).ok().map(|id| id.to_string())
        } else {
            id.parse::<i64>().ok().map(|id| id.to_string())
        };
        let (source, number) = id.split_once(':').map_or((None, id), |(source, number)| (Some(source), number));
        let parameters: Parameters<'_> = match entity.key {
            Key::Ours => &[&ours],
            Key::Code(_) => &[&ours, &id],
            Key::Numbered { .. } => &[&ours, &number, &source],
        };
        let rows = self.read(&sql::one(entity), parameters, true, with_pii).await?;
        // Two orders of one bare number: neither is meant for sure.
        Ok(if rows.len() == 1 { rows.first().map(|row| row.get(0)) } else { None })
    }

    /// A page of records, oldest first where nothing else is asked. Every record that was there from the first page to the last is
    /// on exactly one of them.
    ///
    /// # Errors
    /// `oltp.invalid_cursor` when the cursor is none of ours; `oltp.unknown_field` when a field is asked for that the records do not
    /// have; [`OltpError::Unavailable`] when the server does not answer.
    pub async fn list(&self, ask: &Ask, with_pii: bool) -> Result<Page, OltpError> {
        let (sql, parameters) = sql::page(ask);
        let parameters: Vec<_> =
            parameters.iter().map(|text| text as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
        let rows = self.read(&sql, &parameters, false, with_pii).await.map_err(|error| match error {
            // What the caller said was checked; only the values within a cursor are the store's to read.
            OltpError::Invalid { .. } if ask.after.is_some() => ask::invalid_cursor(),
            error => error,
        })?;
        let shown = &rows[..rows.len().min(ask.size())];
        let last = shown.last().filter(|_| rows.len() > ask.size());
        let next = last.map(|row| ask.pack(row.get(0)));
        let mut items: Vec<Value> = shown.iter().map(|row| row.get(1)).collect();
        ask.pick(&mut items)?;
        Ok(Page { items, next })
    }
}
