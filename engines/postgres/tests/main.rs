//! The supervisor against real PostgreSQL, both versions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

/// Makes a test of each function, once for each version.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_system {
            $(#[tokio::test] async fn $name() { super::$name(engine_postgres::Version::System).await; })*
        }
        mod on_18 {
            $(#[tokio::test] async fn $name() { super::$name(engine_postgres::Version::Wheel18).await; })*
        }
    };
}

mod account;
mod backup;
mod external;
mod first_start;
mod life;
mod rig;
