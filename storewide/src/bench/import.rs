//! completeJourney from files to served, and every total of it against bare DuckDB on the same files.

use super::figure::Figure;
use super::load::{Scratch, house};
use crate::client::Client;
use crate::house::House;
use crate::import::{Journey, JourneyOptions, Loader};
use anyhow::{Context, Result, bail, ensure};
use bus::{Bus, TopicPartition};
use engine_duckdb::files::Files;
use model::topic::{FOLD_GROUP, IDENTIFY_GROUP};
use model::{Position, topic};
use serde_json::Value;
use serving::freshness::await_token;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Lines, baskets, households and cents of one store in one month.
type Totals = BTreeMap<(String, String), [i64; 4]>;

/// Longest time that the bench waits for what was accepted to be served.
const SERVED_MAX: Duration = Duration::from_secs(3_600);
/// Time between two looks at how far a stage is.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Seconds from the start at which a stage was through with everything. The stages run side by side.
struct Stages {
    accepted: f64,
    captured: f64,
    processed: f64,
    served: f64,
}

pub async fn run(folder: &Path) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("import")?;
    let (house, client, data) = house(&scratch).await?;
    let journey = Journey::open(folder, JourneyOptions::default())?;
    let loader = Loader::open(client.clone(), &data, &journey, true).await?;
    let stages = stages(&house, &loader, &journey).await?;
    let served = served(&client).await?;
    let (expected, reference) = expected(folder)?;
    let lines: i64 = expected.values().map(|totals| totals[0]).sum();
    ensure!(served == expected, "served totals are not those of the files: {}", first_difference(&served, &expected));
    let audit = house.audit().await?;
    ensure!(audit.is_clean(), "the audit is not clean: {}", serde_json::to_string(&audit)?);
    house.stop().await;
    Ok(vec![
        Figure::new("import_accepted", stages.accepted, "s"),
        Figure::new("import_captured", stages.captured, "s"),
        Figure::new("import_processed", stages.processed, "s"),
        Figure::new("import_lines", lines as f64 / stages.served, "lines/s").beside(lines as f64 / reference),
        Figure::new("import", stages.served, "s").beside(reference),
    ])
}

/// Loads everything, and notes when each stage is through.
async fn stages(house: &House, loader: &Loader, journey: &Journey) -> Result<Stages> {
    let begin = Instant::now();
    let loaded = loader.load(journey).await?;
    let accepted = begin.elapsed().as_secs_f64();
    let position: Position = loaded.position.parse()?;
    let Position::Wal(lsn) = position else { bail!("the position of a write is one of the store's log") };
    let bus = house.bus();
    while captured_to(bus.as_ref()).await? < lsn {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let captured = begin.elapsed().as_secs_f64();
    while !processed(bus.as_ref()).await? {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let processed = begin.elapsed().as_secs_f64();
    await_token(bus.as_ref(), &house.serving().analytics_progress, &position, SERVED_MAX).await?;
    Ok(Stages { accepted, captured, processed, served: begin.elapsed().as_secs_f64() })
}

/// The position of the store's log up to which all changes are on the bus.
async fn captured_to(bus: &dyn Bus) -> Result<u64> {
    let at = TopicPartition::new(topic::CAPTURE_PROGRESS, 0);
    let ends = bus.watermarks(&at).await?;
    if ends.high == ends.low {
        return Ok(0);
    }
    let last = bus.fetch(&at, ends.high - 1, 1, 4_096).await?;
    let value = last.first().and_then(|record| record.value.as_ref()).context("capture notes how far it is")?;
    serde_json::from_slice::<Value>(value)?["lsn"].as_u64().context("a note of capture has its position")
}

/// Whether both stages of processing have read all there is.
async fn processed(bus: &dyn Bus) -> Result<bool> {
    let signals = (IDENTIFY_GROUP, topic::identify_inputs());
    for (group, topics) in [signals, (FOLD_GROUP, vec![topic::SIGNALS.to_owned()])] {
        for spec in bus.topics().await?.into_iter().filter(|spec| topics.contains(&spec.name)) {
            for partition in 0..spec.partitions {
                let at = TopicPartition::new(spec.name.clone(), partition);
                if bus.committed(group, &at).await?.unwrap_or(0) < bus.watermarks(&at).await?.high {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Totals by store and month, from the serving layer.
pub async fn served(client: &Client) -> Result<Totals> {
    let sql = "select s.store_code, strftime(o.placed_at, '%Y-%m') as month, count(*), count(distinct o.order_id),
            count(distinct o.member_id), cast(sum(l.net_minor) as bigint)
        from order_lines l join orders o on o.order_id = l.order_id join stores s on s.store_id = o.store_id
        where o.source = 'completejourney' group by 1, 2";
    let answer = client.sql(sql, None, 100_000).await?;
    let mut totals = Totals::new();
    for row in &answer.rows {
        let number = |column: usize| {
            row[column].as_i64().or_else(|| row[column].as_str()?.parse().ok()).context("a total is a number")
        };
        let text = |column: usize| row[column].as_str().context("a key is text").map(str::to_owned);
        totals.insert((text(0)?, text(1)?), [number(2)?, number(3)?, number(4)?, number(5)?]);
    }
    Ok(totals)
}

/// The same totals from the files, and the seconds that bare DuckDB takes to read and sum them.
pub fn expected(folder: &Path) -> Result<(Totals, f64)> {
    let file = folder.join("transactions.parquet").display().to_string().replace('\'', "''");
    let sql = format!(
        "select cast(store_id as varchar), strftime(transaction_timestamp, '%Y-%m'), count(*), count(distinct basket_id),
            count(distinct household_id), cast(sum(round(sales_value * 100)) as bigint)
         from read_parquet('{file}') group by 1, 2"
    );
    let begin = Instant::now();
    let mut totals = Totals::new();
    Files::open()?.for_each(&sql, |row| {
        let text = |column: usize| row[column].text().unwrap_or_default().to_owned();
        totals.insert((text(0), text(1)), [row[2].int(), row[3].int(), row[4].int(), row[5].int()]);
        true
    })?;
    Ok((totals, begin.elapsed().as_secs_f64()))
}

/// The first store and month whose totals are not equal.
pub fn first_difference(served: &Totals, expected: &Totals) -> String {
    let keys = served.keys().chain(expected.keys());
    let different = keys.clone().find(|key| served.get(key) != expected.get(key));
    different.map_or_else(String::new, |key| {
        format!("{key:?}: served {:?}, expected {:?}", served.get(key), expected.get(key))
    })
}
