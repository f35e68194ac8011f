//! The store on real PostgreSQL, on the oldest and the newest major that the program runs on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should end")]

/// Makes two tests of each function: one on the oldest and one on the newest PostgreSQL that the program runs on.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            #[tokio::test]
            async fn on_the_systems() {
                super::$test(engine_postgres::Version::System).await;
            }

            #[tokio::test]
            async fn on_the_newest() {
                super::$test(engine_postgres::Version::Wheel18).await;
            }
        })+
    };
}
pub(crate) use on_both;

mod batches;
mod catalogue;
mod commands;
mod coupon_histories;
mod coupons;
mod decisions;
mod erasure;
mod histories;
mod idempotency;
mod imports;
mod inbox;
mod keys;
mod members;
mod merges;
mod migrations;
mod orders;
mod partition_sizes;
mod partitions;
mod personal;
mod points;
mod points_histories;
mod prices;
mod reads;
mod returns;
mod service;
mod shop;
mod statements;
mod status;
mod stock;
mod stock_histories;
mod tiers;
mod trouble;
