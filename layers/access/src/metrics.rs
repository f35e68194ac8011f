//! Kinds of the layer's meters. Records are counted by the noun of their kind: store, product, sku, member, order, return.

/// Requests and lines refused for what they held.
pub const REFUSED: &str = "refused";
/// Requests refused because too many were under way.
pub const SHED: &str = "shed";
/// Commands that had come before with the same idempotency key.
pub const REPEATED: &str = "repeated";
/// Time of one write, from its body to its commit.
pub const WRITE: &str = "write";
/// Time of one look-up of a member.
pub const LOOKUP: &str = "lookup";
/// Time of one transaction of a batch.
pub const CHUNK: &str = "chunk";
/// Failures of the store.
pub const STORE: &str = "store";
/// Deliveries of sources that were kept.
pub const RECEIVED: &str = "delivery_received";
/// Deliveries that had come before with the same id.
pub const REPEATED_DELIVERY: &str = "delivery_repeated";
/// Deliveries refused because it is not known that they are of whom they say.
pub const UNSIGNED: &str = "delivery_unsigned";
/// Deliveries whose commands are committed.
pub const DONE: &str = "delivery_done";
/// Runs of deliveries that ended in a fault which may cure itself.
pub const RETRIED: &str = "delivery_retried";
/// Deliveries that were given up. As a level: those that wait for an operator.
pub const DEAD: &str = "delivery_dead";
/// Level: age of the oldest delivery that is neither done nor given up, in seconds.
pub const OLDEST: &str = "delivery_oldest_s";
/// Time from taking deliveries up to their commit.
pub const ROUTE: &str = "route";
/// Failures of the router to reach the store.
pub const ROUTER: &str = "router";
/// Lines of imports.
pub const IMPORTED: &str = "import_line";
/// Failures of imports to reach the store.
pub const IMPORT: &str = "import";
/// Requests refused because their key had asked too often.
pub const LIMITED: &str = "limited";
