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
