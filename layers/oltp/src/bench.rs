//! What a bench needs to compare the layer with the bare SQL function.

/// A pgbench script: one order of three lines and a payment for one of the members `bench-1` to `bench-1000`, at the store
/// `bench`, of the SKUs `bench-1` to `bench-3`; all of these must be there.
pub const PGBENCH_ORDER: &str = include_str!("../sql/bench_order.sql");
