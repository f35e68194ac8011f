//! Whatever was acknowledged is served exactly once, whenever the program or PostgreSQL is killed.

use crate::program::Program;
use engine_postgres::Version;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::time::Duration;
use storewide::demo::driver::{Account, Driver};
use storewide::demo::shopper::Crowd;
use tokio_util::sync::CancellationToken;

/// Kills in one test.
const KILLS: u32 = 12;
/// Signals a second while the program is being killed.
const RATE: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_is_served_once_whatever_is_killed() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    killed(seed, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_is_served_once_on_postgresql_18_too() {
    let bin_dir = Version::Wheel18.installation().unwrap().bin_dir.display().to_string();
    let seed = rand::rng().random();
    println!("seed {seed}");
    killed(seed, &[("STOREWIDE_POSTGRES__BIN_DIR", &bin_dir)]).await;
}

/// Kills in the first seconds of an empty directory, also in the middle of making PostgreSQL's cluster, need no hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_may_be_killed_at_any_instant() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut program = Program::empty(&[]);
    for kill in 0..KILLS {
        program.spawn();
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
        if kill % 2 == 0 {
            program.kill_postgres();
        }
        program.kill();
    }
    program.restart().await;
    program.stock().await;
    let audit = program.command(&["audit", "--json"]);
    assert_eq!((&audit["missing"], &audit["extra"], &audit["different"]), (&0.into(), &0.into(), &0.into()), "{audit}");
}

async fn killed(seed: u64, environment: &[(&str, &str)]) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut program = Program::start(environment).await;
    let catalogue = program.stock().await;
    let driver = Driver::new(program.doors().await, Crowd::new("crash", seed, 100, catalogue)).unwrap();
    let stop = CancellationToken::new();
    let shopping = tokio::spawn({
        let (driver, stop) = (driver.clone(), stop.clone());
        async move { driver.shop(RATE, None, stop).await }
    });
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..2_000))).await;
        match kill % 4 {
            0 => {
                program.kill_postgres();
                program.kill();
                program.kill_postgres();
                program.restart().await;
            }
            1 => program.kill_postgres(),
            2 => {
                program.kill();
                program.restart().await;
            }
            _ => {
                // Again while it comes back, whatever it is doing then.
                program.kill();
                program.spawn();
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..800))).await;
                program.kill();
                program.restart().await;
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    shopping.await.unwrap();
    program.ready().await;
    let account = driver.settle().await;
    assert_eq!(account.refused, 0, "{:?}", account.refusal);
    assert!(account.events.len() > 500 && account.orders.len() > 5, "the test had hardly any load");
    served_once(&program, &account).await;
    let audit = program.command(&["audit", "--json"]);
    assert_eq!((&audit["missing"], &audit["extra"], &audit["different"]), (&0.into(), &0.into(), &0.into()), "{audit}");
}

/// All that was acknowledged is there once. What was not acknowledged may be there, but not twice.
async fn served_once(program: &Program, account: &Account) {
    let events = program.column("events", "message_id", "true", account.events_position().as_deref()).await;
    let orders = program.column("orders", "order_no", "source = 'demo'", account.wal.as_deref()).await;
    let returns = program.column("returns", "return_no", "source = 'demo'", account.wal.as_deref()).await;
    for (kind, accepted, served) in [
        ("events", &account.events, events),
        ("orders", &account.orders, orders),
        ("returns", &account.returns, returns),
    ] {
        let once: BTreeSet<String> = served.iter().cloned().collect();
        assert_eq!(once.len(), served.len(), "{kind} were doubled");
        let lost: Vec<_> = accepted.difference(&once).take(5).collect();
        assert!(lost.is_empty(), "{kind} were lost: {lost:?}");
    }
}
