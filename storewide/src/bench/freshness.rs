//! Signal to SQL and to profile under 1,000 signals a second, and memory at rest.

use super::figure::Figure;
use super::load::{Scratch, doors, house, resident_mib};
use crate::demo::catalogue::Catalogue;
use crate::demo::driver::Driver;
use crate::demo::shopper::Crowd;
use crate::import::{Journey, JourneyOptions, Loader};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const RATE: u32 = 1_000;
/// Time for the house to come to rest after its start, and for the load to get going.
const REST: Duration = Duration::from_secs(5);

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("freshness")?;
    let (house, client, data) = house(&scratch).await?;
    tokio::time::sleep(REST).await;
    let memory = resident_mib();
    let sample = Path::new("examples/completejourney");
    let journey = Journey::open(sample, JourneyOptions { contacts: true, ..JourneyOptions::default() })?;
    Loader::new(client.clone(), data, &journey.fingerprint(), false)?.load(&journey).await?;
    let crowd = Crowd::new("bench", 1, RATE as usize * 2, Catalogue::read(sample)?);
    let driver = Driver::new(doors(&house, &client).await?, crowd)?;
    let begin = house.serving().freshness.clone();
    let reset = tokio::spawn(async move {
        tokio::time::sleep(REST).await;
        begin.reset();
    });
    driver.shop(RATE, Some((time + REST).as_secs()), CancellationToken::new()).await;
    let summary = house.serving().freshness.summary();
    reset.await?;
    let account = driver.settle().await;
    house.stop().await;
    ensure!(account.refused == 0, "{} signals were refused: {:?}", account.refused, account.refusal);
    Ok(vec![
        Figure::new("memory_at_rest", memory, "MiB"),
        Figure::new("signal_to_profile", summary.profile.p99_ms, "ms p99")
            .spread(summary.profile.p50_ms, summary.profile.p99_ms),
        Figure::new("signal_to_sql", summary.sql.p99_ms, "ms p99").spread(summary.sql.p50_ms, summary.sql.p99_ms),
    ])
}
