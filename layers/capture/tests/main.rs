//! Capture from real PostgreSQL, both versions.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

/// Runs each test on both versions.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_system {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(engine_postgres::Version::System).await; })*
        }
        mod on_18 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(engine_postgres::Version::Wheel18).await; })*
        }
    };
}

mod crash;
mod gap;
mod gate;
mod handover;
mod idle;
mod lint;
mod partitions;
mod publication;
mod rig;
mod rows;
mod snapshot;
