//! The tables of serving, declared once: engines make them, the mapping fills them, the audit compares them.

mod catalogue;
mod coupons;
mod decisions;
mod derived;
mod members;
mod orders;
mod points;
mod service;
mod stock;

use crate::value::Kind;
use model::topic;
use std::collections::HashMap;
use std::sync::OnceLock;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
}

/// How rows of a table follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the store's version `(_lsn, _seq)`: changes of one row may come from several partitions, the higher version wins.
    Version,
    /// By place in the partition `(_partition, _offset)`: each partition owns its rows, and a later record replaces an earlier
    /// one of the same key and partition.
    Stream,
    /// Rows are only ever added, once each; `(_partition, _offset)` says where each came from.
    Append,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The table of the store that it mirrors, if it mirrors one.
    pub store: Option<&'static str>,
    /// The topic of its records.
    pub topic: &'static str,
    /// Number of leading columns that are its key: what a record replaces.
    pub key: usize,
    /// Its columns; the key's first.
    pub columns: &'static [Column],
    /// How its rows follow each other.
    pub order: Order,
}

impl Table {
    /// The two hidden columns that order its rows.
    #[must_use]
    pub const fn hidden(&self) -> [&'static str; 2] {
        match self.order {
            Order::Version => ["_lsn", "_seq"],
            Order::Stream | Order::Append => ["_partition", "_offset"],
        }
    }

    /// Names of the key columns.
    pub fn key_names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().take(self.key).map(|column| column.name)
    }

    /// Place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// A view over the tables, in portable SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// What it selects.
    pub sql: &'static str,
}

/// All views; each may use the ones before it.
pub static VIEWS: [View; 5] = [
    View { name: "events_resolved", sql: include_str!("../sql/events_resolved.sql") },
    View { name: "orders_resolved", sql: include_str!("../sql/orders_resolved.sql") },
    View { name: "features", sql: include_str!("../sql/features.sql") },
    View { name: "decisions", sql: include_str!("../sql/decisions.sql") },
    View { name: "customer_360", sql: include_str!("../sql/customer_360.sql") },
];

/// Number of the table that a topic fills.
#[must_use]
pub fn of_topic(topic: &str) -> Option<usize> {
    static BY_TOPIC: OnceLock<HashMap<&'static str, usize>> = OnceLock::new();
    let by_topic =
        BY_TOPIC.get_or_init(|| TABLES.iter().enumerate().map(|(number, table)| (table.topic, number)).collect());
    by_topic.get(topic).copied()
}

/// Number of a table by its name.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    TABLES.iter().position(|table| table.name == name)
}

/// The tables that mirror one of the store, for the audit.
pub fn crm() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(|table| table.store.is_some())
}

/// The topics that fill tables, with their partitions.
#[must_use]
pub fn topics() -> Vec<(String, i32)> {
    topic::all().into_iter().filter(|(name, _)| of_topic(name).is_some()).collect()
}

/// Declares a table with its topic and how its rows follow each other.
macro_rules! table {
    ($const:ident: $name:literal of $topic:expr, $order:ident by $key:literal { $($column:ident: $kind:ident),+ $(,)? }) => {
        pub(super) const $const: super::Table = super::Table {
            name: $name,
            store: None,
            topic: $topic,
            key: $key,
            order: super::Order::$order,
            columns: &[$(super::Column { name: stringify!($column), kind: crate::value::Kind::$kind }),+],
        };
    };
}
use table;

/// Declares a table that mirrors one of the store.
macro_rules! mirror {
    ($const:ident: $name:literal of $store:literal by $key:literal { $($column:ident: $kind:ident),+ $(,)? }) => {
        pub(super) const $const: super::Table = super::Table {
            name: $name,
            store: Some($store),
            topic: concat!("crm.", $store),
            key: $key,
            order: super::Order::Version,
            columns: &[$(super::Column { name: stringify!($column), kind: crate::value::Kind::$kind }),+],
        };
    };
}
use mirror;

/// All tables. The place in this list is the table's number, which the profile store keeps: new ones come last.
pub static TABLES: [Table; TABLE_COUNT] = [
    catalogue::STORES,
    catalogue::PRODUCTS,
    catalogue::SKUS,
    members::MEMBERS,
    members::MEMBER_IDENTITIES,
    members::CONSENTS,
    orders::ORDERS,
    orders::ORDER_LINES,
    orders::PAYMENTS,
    orders::RETURNS,
    orders::RETURN_LINES,
    points::POINTS_ACCOUNTS,
    points::POINTS_LEDGER,
    points::POINTS_PROGRAMS,
    points::POINTS_LOTS,
    points::POINTS_LOT_USES,
    points::POINTS_RESERVATIONS,
    decisions::RECOMMENDATIONS,
    decisions::GUARDRAIL_VERDICTS,
    decisions::ACTIONS,
    decisions::DELIVERIES,
    decisions::OUTCOMES,
    decisions::AUDIT_LOG,
    derived::EVENTS,
    derived::SESSIONS,
    derived::IDENTITIES,
    derived::MEMBER_FEATURES,
    derived::MEMBER_TAGS,
    derived::MEMBER_COHORTS,
    derived::INTENTS,
    catalogue::BRANDS,
    catalogue::CATEGORIES,
    catalogue::SKU_GTINS,
    catalogue::STORE_HOURS,
    catalogue::STORE_DAYS,
    catalogue::PRICES,
    catalogue::BUNDLE_COMPONENTS,
    members::CONSENT_EVENTS,
    members::EXTERNAL_MEMBERSHIPS,
    members::TIER_DEFINITIONS,
    members::MEMBER_TIERS,
    members::MEMBER_MERGES,
    orders::REFUNDS,
    orders::ORDER_EVENTS,
    coupons::COUPON_DEFINITIONS,
    coupons::COUPON_BATCHES,
    coupons::COUPONS,
    coupons::COUPON_REDEMPTIONS,
    coupons::COUPON_EVENTS,
    stock::INVENTORY_LEVELS,
    stock::INVENTORY_MOVEMENTS,
    stock::INVENTORY_RESERVATIONS,
    stock::INVENTORY_TRANSFERS,
    stock::INVENTORY_TRANSFER_LINES,
    service::CAMPAIGNS,
    service::AD_SPEND,
    service::SHIPMENTS,
    service::SHIPMENT_LINES,
    service::SHIPMENT_EVENTS,
    service::TICKETS,
    service::TICKET_EVENTS,
    service::SUBSCRIPTIONS,
    decisions::APPROVALS,
];

/// Number of tables.
pub const TABLE_COUNT: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_facts_and_derived_values_has_its_table() {
        let left_out =
            [topic::crm("write_key"), topic::EVENTS.into(), topic::REJECTED.into(), topic::CAPTURE_PROGRESS.into()];
        for (name, _) in topic::all() {
            assert_eq!(of_topic(&name).is_none(), left_out.contains(&name), "{name}");
        }
        assert_eq!(topics().len(), TABLE_COUNT);
    }

    #[test]
    fn keys_come_first_and_are_no_documents() {
        for table in &TABLES {
            assert!(table.key >= 1 && table.key < table.columns.len(), "{}", table.name);
            assert!(table.columns.iter().take(table.key).all(|column| column.kind != Kind::Json), "{}", table.name);
        }
    }
}
