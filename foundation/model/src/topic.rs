//! Topics of the bus, and the groups whose place in them others ask for: names and partitions, in one place.

/// Partitions of `derived.signals`: the virtual shards of processing. Fixed for the life of a deployment.
pub const SHARDS: i32 = 64;

/// Topic of a captured table.
#[must_use]
pub fn crm(table: &str) -> String {
    format!("crm.{table}")
}

/// Accepted behaviour events.
pub const EVENTS: &str = "behaviour.events";
/// Events that the gateway refused.
pub const REJECTED: &str = "behaviour.rejected";
/// How far capture has come: one record a batch, value `{"lsn": <u64>, "ts_us": <i64>}`.
pub const CAPTURE_PROGRESS: &str = "capture.progress";
/// Signals with their person.
pub const SIGNALS: &str = "derived.signals";
/// Visits.
pub const SESSIONS: &str = "derived.sessions";
/// Features.
pub const FEATURES: &str = "derived.features";
/// Tags.
pub const TAGS: &str = "derived.tags";
/// Cohorts.
pub const COHORTS: &str = "derived.cohorts";
/// Intents.
pub const INTENTS: &str = "derived.intents";
/// Who a trace belongs to.
pub const IDENTITY: &str = "derived.identity";

/// Group of processing's first stage, which finds the person of a signal.
pub const IDENTIFY_GROUP: &str = "processing.identify";
/// Group of processing's second stage, the fold, which reads what the first one writes.
pub const FOLD_GROUP: &str = "processing.fold";

/// Tables of the store that are captured, in the order in which a reader that wants parents first should take them.
pub const CRM_TABLES: [&str; 57] = [
    "store",
    "product",
    "sku",
    "member",
    "member_identity",
    "consent",
    "sales_order",
    "order_line",
    "payment",
    "sales_return",
    "return_line",
    "points_account",
    "points_ledger",
    "points_program",
    "points_lot",
    "points_lot_use",
    "points_reservation",
    "brand",
    "category",
    "sku_gtin",
    "store_hours",
    "store_day",
    "price",
    "bundle_component",
    "consent_event",
    "external_membership",
    "tier_definition",
    "member_tier",
    "member_merge",
    "refund",
    "order_event",
    "coupon_definition",
    "coupon_batch",
    "coupon",
    "coupon_redemption",
    "coupon_event",
    "inventory_level",
    "inventory_movement",
    "inventory_reservation",
    "inventory_transfer",
    "inventory_transfer_line",
    "campaign",
    "ad_spend",
    "shipment",
    "shipment_line",
    "shipment_event",
    "ticket",
    "ticket_event",
    "subscription",
    "approval",
    "write_key",
    "recommendation",
    "guardrail_verdict",
    "action",
    "delivery",
    "outcome",
    "audit_log",
];

/// What the first stage of processing reads, parents before children: whoever waits until a write has been taken in asks for the
/// group's offsets in these topics.
#[must_use]
pub fn identify_inputs() -> Vec<String> {
    let tables = ["store", "product", "sku", "member", "member_identity", "sales_order", "sales_return"];
    tables.into_iter().map(crm).chain([EVENTS.to_owned()]).collect()
}

/// All topics with their number of partitions.
#[must_use]
pub fn all() -> Vec<(String, i32)> {
    let crm = CRM_TABLES.iter().map(|table| (crm(table), 4));
    let derived = [SESSIONS, FEATURES, TAGS, COHORTS, INTENTS, IDENTITY].into_iter().map(|topic| (topic.to_owned(), 8));
    let rest = [(EVENTS, 8), (REJECTED, 2), (CAPTURE_PROGRESS, 1), (SIGNALS, SHARDS)];
    crm.chain(derived).chain(rest.into_iter().map(|(topic, partitions)| (topic.to_owned(), partitions))).collect()
}
