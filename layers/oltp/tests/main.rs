//! The store on real PostgreSQL, on the oldest and the newest major that the program runs on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should end")]

pub(crate) use engine_postgres::on_both;

mod batches;
mod catalogue;
mod commands;
mod coupon_histories;
mod coupons;
mod decisions;
mod erasure;
mod gather;
mod histories;
mod idempotency;
mod imports;
mod inbox;
mod keys;
mod members;
mod merges;
mod migrations;
mod order_addresses;
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
