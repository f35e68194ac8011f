//! The door over a real socket, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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

mod bad_input;
mod batch;
mod coupons;
mod document;
mod hooks;
mod house;
mod imports;
mod inbox;
mod keys;
mod limits;
mod members;
mod personal;
mod records;
