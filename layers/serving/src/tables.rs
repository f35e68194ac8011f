//! The tables of serving, declared once: engines make them, the mapping fills them, the audit compares them.

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

const fn c(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// All tables. The place in this list is the table's number.
pub static TABLES: [Table; TABLE_COUNT] = [
    Table {
        name: "stores",
        store: Some("store"),
        topic: "crm.store",
        key: 1,
        order: Order::Version,
        columns: &[
            c("store_id", Kind::Uuid),
            c("store_code", Kind::Text),
            c("name", Kind::Text),
            c("type", Kind::Text),
            c("timezone", Kind::Text),
            c("country_code", Kind::Text),
            c("region", Kind::Text),
            c("attributes", Kind::Json),
            c("source_updated_at", Kind::Timestamp),
            c("row_version", Kind::Int),
            c("created_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "products",
        store: Some("product"),
        topic: "crm.product",
        key: 1,
        order: Order::Version,
        columns: &[
            c("product_id", Kind::Uuid),
            c("product_code", Kind::Text),
            c("title", Kind::Text),
            c("brand", Kind::Text),
            c("department", Kind::Text),
            c("category", Kind::Text),
            c("status", Kind::Text),
            c("attributes", Kind::Json),
            c("source_updated_at", Kind::Timestamp),
            c("row_version", Kind::Int),
            c("created_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "skus",
        store: Some("sku"),
        topic: "crm.sku",
        key: 1,
        order: Order::Version,
        columns: &[
            c("sku_id", Kind::Uuid),
            c("product_id", Kind::Uuid),
            c("sku_code", Kind::Text),
            c("gtin14", Kind::Text),
            c("uom", Kind::Text),
            c("list_price_minor", Kind::Int),
            c("currency", Kind::Text),
            c("active", Kind::Bool),
            c("source_updated_at", Kind::Timestamp),
            c("row_version", Kind::Int),
            c("created_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "members",
        store: Some("member"),
        topic: "crm.member",
        key: 1,
        order: Order::Version,
        columns: &[
            c("member_id", Kind::Uuid),
            c("member_no", Kind::Text),
            c("status", Kind::Text),
            c("tier_code", Kind::Text),
            c("enrolled_at", Kind::Timestamp),
            c("enrol_channel", Kind::Text),
            c("home_store_id", Kind::Uuid),
            c("locale", Kind::Text),
            c("timezone", Kind::Text),
            c("country_code", Kind::Text),
            c("attributes", Kind::Json),
            c("source_updated_at", Kind::Timestamp),
            c("row_version", Kind::Int),
            c("created_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "member_identities",
        store: Some("member_identity"),
        topic: "crm.member_identity",
        key: 1,
        order: Order::Version,
        columns: &[
            c("identity_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("kind", Kind::Text),
            c("token", Kind::Text),
            c("strength", Kind::Text),
            c("created_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "consents",
        store: Some("consent"),
        topic: "crm.consent",
        key: 1,
        order: Order::Version,
        columns: &[
            c("consent_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("purpose", Kind::Text),
            c("channel", Kind::Text),
            c("status", Kind::Text),
            c("source", Kind::Text),
            c("status_at", Kind::Timestamp),
            c("expires_at", Kind::Timestamp),
            c("row_version", Kind::Int),
        ],
    },
    Table {
        name: "orders",
        store: Some("sales_order"),
        topic: "crm.sales_order",
        key: 1,
        order: Order::Version,
        columns: &[
            c("order_id", Kind::Uuid),
            c("source", Kind::Text),
            c("order_no", Kind::Text),
            c("channel", Kind::Text),
            c("store_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("contact", Kind::Text),
            c("anonymous_id", Kind::Text),
            c("business_date", Kind::Date),
            c("placed_at", Kind::Timestamp),
            c("currency", Kind::Text),
            c("status", Kind::Text),
            c("units", Kind::Decimal),
            c("gross_minor", Kind::Int),
            c("discount_minor", Kind::Int),
            c("tax_minor", Kind::Int),
            c("shipping_minor", Kind::Int),
            c("net_minor", Kind::Int),
            c("total_minor", Kind::Int),
            c("coupon_codes", Kind::Json),
            c("source_updated_at", Kind::Timestamp),
            c("row_version", Kind::Int),
            c("created_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "order_lines",
        store: Some("order_line"),
        topic: "crm.order_line",
        key: 1,
        order: Order::Version,
        columns: &[
            c("order_line_id", Kind::Uuid),
            c("order_id", Kind::Uuid),
            c("line_no", Kind::Int),
            c("member_id", Kind::Uuid),
            c("sku_id", Kind::Uuid),
            c("product_id", Kind::Uuid),
            c("quantity", Kind::Decimal),
            c("unit_price_minor", Kind::Int),
            c("gross_minor", Kind::Int),
            c("discount_minor", Kind::Int),
            c("tax_minor", Kind::Int),
            c("net_minor", Kind::Int),
            c("voided", Kind::Bool),
            c("description", Kind::Text),
        ],
    },
    Table {
        name: "payments",
        store: Some("payment"),
        topic: "crm.payment",
        key: 1,
        order: Order::Version,
        columns: &[
            c("payment_id", Kind::Uuid),
            c("order_id", Kind::Uuid),
            c("payment_no", Kind::Int),
            c("member_id", Kind::Uuid),
            c("tender_type", Kind::Text),
            c("amount_minor", Kind::Int),
            c("currency", Kind::Text),
            c("status", Kind::Text),
            c("processor_ref", Kind::Text),
            c("captured_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "returns",
        store: Some("sales_return"),
        topic: "crm.sales_return",
        key: 1,
        order: Order::Version,
        columns: &[
            c("return_id", Kind::Uuid),
            c("source", Kind::Text),
            c("return_no", Kind::Text),
            c("order_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("store_id", Kind::Uuid),
            c("status", Kind::Text),
            c("business_date", Kind::Date),
            c("returned_at", Kind::Timestamp),
            c("reason", Kind::Text),
            c("currency", Kind::Text),
            c("units", Kind::Decimal),
            c("net_minor", Kind::Int),
            c("tax_minor", Kind::Int),
            c("source_updated_at", Kind::Timestamp),
            c("row_version", Kind::Int),
            c("created_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "return_lines",
        store: Some("return_line"),
        topic: "crm.return_line",
        key: 1,
        order: Order::Version,
        columns: &[
            c("return_line_id", Kind::Uuid),
            c("return_id", Kind::Uuid),
            c("order_line_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("quantity", Kind::Decimal),
            c("net_minor", Kind::Int),
            c("tax_minor", Kind::Int),
        ],
    },
    Table {
        name: "points_accounts",
        store: Some("points_account"),
        topic: "crm.points_account",
        key: 1,
        order: Order::Version,
        columns: &[
            c("account_id", Kind::Uuid),
            c("kind", Kind::Text),
            c("member_id", Kind::Uuid),
            c("balance", Kind::Int),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "points_ledger",
        store: Some("points_ledger"),
        topic: "crm.points_ledger",
        key: 2,
        order: Order::Version,
        columns: &[
            c("entry_id", Kind::Uuid),
            c("side", Kind::Int),
            c("account_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("type", Kind::Text),
            c("points", Kind::Int),
            c("order_id", Kind::Uuid),
            c("return_id", Kind::Uuid),
            c("occurred_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "recommendations",
        store: Some("recommendation"),
        topic: "crm.recommendation",
        key: 1,
        order: Order::Version,
        columns: &[
            c("recommendation_id", Kind::Uuid),
            c("intent_id", Kind::Uuid),
            c("playbook", Kind::Text),
            c("playbook_version", Kind::Int),
            c("person", Kind::Text),
            c("member_id", Kind::Uuid),
            c("channel", Kind::Text),
            c("status", Kind::Text),
            c("payload", Kind::Json),
            c("recommended_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "guardrail_verdicts",
        store: Some("guardrail_verdict"),
        topic: "crm.guardrail_verdict",
        key: 2,
        order: Order::Version,
        columns: &[
            c("recommendation_id", Kind::Uuid),
            c("position", Kind::Int),
            c("guardrail", Kind::Text),
            c("verdict", Kind::Text),
            c("reason", Kind::Text),
            c("member_id", Kind::Uuid),
            c("at", Kind::Timestamp),
        ],
    },
    Table {
        name: "actions",
        store: Some("action"),
        topic: "crm.action",
        key: 1,
        order: Order::Version,
        columns: &[
            c("action_id", Kind::Uuid),
            c("recommendation_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("channel", Kind::Text),
            c("payload", Kind::Json),
            c("status", Kind::Text),
            c("attempts", Kind::Int),
            c("next_attempt_at", Kind::Timestamp),
            c("created_at", Kind::Timestamp),
            c("updated_at", Kind::Timestamp),
        ],
    },
    Table {
        name: "deliveries",
        store: Some("delivery"),
        topic: "crm.delivery",
        key: 1,
        order: Order::Version,
        columns: &[
            c("delivery_id", Kind::Uuid),
            c("action_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("attempt", Kind::Int),
            c("status_code", Kind::Int),
            c("error", Kind::Text),
            c("at", Kind::Timestamp),
        ],
    },
    Table {
        name: "outcomes",
        store: Some("outcome"),
        topic: "crm.outcome",
        key: 1,
        order: Order::Version,
        columns: &[
            c("outcome_id", Kind::Uuid),
            c("action_id", Kind::Uuid),
            c("member_id", Kind::Uuid),
            c("kind", Kind::Text),
            c("order_id", Kind::Uuid),
            c("value_minor", Kind::Int),
            c("currency", Kind::Text),
            c("at", Kind::Timestamp),
        ],
    },
    Table {
        name: "audit_log",
        store: Some("audit_log"),
        topic: "crm.audit_log",
        key: 1,
        order: Order::Version,
        columns: &[
            c("audit_id", Kind::Int),
            c("at", Kind::Timestamp),
            c("actor", Kind::Text),
            c("action", Kind::Text),
            c("entity", Kind::Text),
            c("entity_id", Kind::Text),
            c("reason", Kind::Text),
            c("request_id", Kind::Text),
        ],
    },
    Table {
        name: "events",
        store: None,
        topic: topic::SIGNALS,
        // A message id is its source's.
        key: 2,
        order: Order::Append,
        columns: &[
            c("source", Kind::Text),
            c("message_id", Kind::Text),
            c("name", Kind::Text),
            c("type", Kind::Text),
            c("person", Kind::Text),
            c("trace", Kind::Text),
            c("anonymous_id", Kind::Text),
            c("user_id", Kind::Text),
            c("occurred_at", Kind::Timestamp),
            c("received_at", Kind::Timestamp),
            c("product_code", Kind::Text),
            c("sku_code", Kind::Text),
            c("category", Kind::Text),
            c("brand", Kind::Text),
            c("properties", Kind::Json),
            c("context", Kind::Json),
            c("enrichment", Kind::Json),
            c("consent", Kind::Json),
            c("contract_version", Kind::Int),
        ],
    },
    Table {
        name: "sessions",
        store: None,
        topic: topic::SESSIONS,
        key: 1,
        order: Order::Stream,
        columns: &[
            c("session_id", Kind::Uuid),
            c("trace", Kind::Text),
            c("person", Kind::Text),
            c("started_at", Kind::Timestamp),
            c("ended_at", Kind::Timestamp),
            c("events", Kind::Int),
            c("product_views", Kind::Int),
        ],
    },
    Table {
        name: "identities",
        store: None,
        topic: topic::IDENTITY,
        key: 1,
        order: Order::Stream,
        columns: &[
            c("trace", Kind::Text),
            c("person", Kind::Text),
            c("move_no", Kind::Int),
            c("since", Kind::Timestamp),
        ],
    },
    Table {
        name: "member_features",
        store: None,
        topic: topic::FEATURES,
        key: 1,
        order: Order::Stream,
        columns: &[
            c("person", Kind::Text),
            c("as_of", Kind::Timestamp),
            c("received_at", Kind::Timestamp),
            c("features", Kind::Json),
        ],
    },
    Table {
        name: "member_tags",
        store: None,
        topic: topic::TAGS,
        key: 1,
        order: Order::Stream,
        columns: &[
            c("person", Kind::Text),
            c("tag", Kind::Text),
            c("since", Kind::Timestamp),
            c("as_of", Kind::Timestamp),
        ],
    },
    Table {
        name: "member_cohorts",
        store: None,
        topic: topic::COHORTS,
        key: 1,
        order: Order::Stream,
        columns: &[
            c("person", Kind::Text),
            c("cohort", Kind::Text),
            c("since", Kind::Timestamp),
            c("as_of", Kind::Timestamp),
        ],
    },
    Table {
        name: "intents",
        store: None,
        topic: topic::INTENTS,
        key: 1,
        order: Order::Stream,
        columns: &[
            c("intent_id", Kind::Uuid),
            c("intent", Kind::Text),
            c("person", Kind::Text),
            c("status", Kind::Text),
            c("fired_at", Kind::Timestamp),
            c("detail", Kind::Json),
        ],
    },
];

/// Number of tables.
pub const TABLE_COUNT: usize = 26;

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

    #[test]
    fn columns_are_those_of_the_schema() {
        let schema = include_str!("../../oltp/migrations/0001_schema.sql");
        for table in crm() {
            let head = format!("create table {} (", table.store.unwrap_or_default());
            let body =
                schema.split_once(&head).and_then(|(_, rest)| rest.split_once("\n);")).map(|(body, _)| body).unwrap();
            for line in body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--")) {
                let name = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
                if !matches!(name, "unique" | "check" | "primary") {
                    assert!(table.column(name).is_some(), "{}.{name} is not served", table.name);
                }
            }
        }
    }
}
