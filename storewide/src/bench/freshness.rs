//! Signal to SQL and to profile under 1,000 signals a second, and memory at rest.

use super::figure::Figure;
use super::load::{Scratch, doors, house, resident_mib};
use crate::demo::catalogue::Catalogue;
use crate::demo::driver::Driver;
use crate::demo::shopper::Crowd;
use crate::import::{Journey, JourneyOptions, Loader};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const RATE: u32 = 1_000;
/// Time for the house to come to rest after its start, and for the load to get going.
const REST: Duration = Duration::from_secs(5);

pub async fn run(time: Duration, sample: &Path) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("freshness")?;
    let (house, client, data) = house(&scratch).await?;
    tokio::time::sleep(REST).await;
    let memory = resident_mib();
    let journey = Journey::open(sample, JourneyOptions { contacts: true, ..JourneyOptions::default() })?;
    Loader::open(client.clone(), &data, &journey, false).await?.load(&journey).await?;
    let crowd = Crowd::new("bench", 1, RATE as usize * 2, Catalogue::read(sample)?);
    let driver = Driver::new(doors(&house, &client).await?, crowd)?;
    let samples = house.serving().freshness.clone();
    let reset = tokio::spawn(async move {
        tokio::time::sleep(REST).await;
        samples.reset();
    });
    let (begin, time) = (Instant::now(), time + REST);
    driver.shop(RATE, Some(time.as_secs()), CancellationToken::new()).await;
    reset.await?;
    let account = driver.settle().await;
    let took = begin.elapsed();
    ensure!(account.refused == 0, "{} signals were refused: {:?}", account.refused, account.refusal);
    // Not before everything is served: what comes late would be left out.
    for position in [account.wal.clone(), account.events_position()].into_iter().flatten() {
        client.number("select 1", Some(&position)).await?;
    }
    let summary = house.serving().freshness.summary();
    house.stop().await;
    let counts = account.counts();
    let rate = (counts.events + counts.orders + counts.returns) as f64 / took.as_secs_f64();
    ensure!(
        rate > 0.95 * f64::from(RATE),
        "only {rate:.0} signals a second could be sent: this is no measurement of {RATE}"
    );
    ensure!(summary.sql.samples.min(summary.profile.samples) > 0, "nothing was measured");
    Ok(vec![
        Figure::new("memory_at_rest", memory, "MiB"),
        Figure::new("signal_to_profile", summary.profile.p99_ms, "ms p99")
            .spread(summary.profile.p50_ms, summary.profile.p99_ms),
        Figure::new("signal_to_sql", summary.sql.p99_ms, "ms p99").spread(summary.sql.p50_ms, summary.sql.p99_ms),
    ])
}
