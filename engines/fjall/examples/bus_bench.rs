//! Records a second of the embedded bus beside raw fjall, for batches of 1, 10, 100 and 1,000 records of 500 bytes.
//!
//! `cargo run --release -p engine-fjall --example bus_bench -- [seconds] [callers]`

use bus::{Bus, NewRecord, TopicPartition, TopicSpec};
use bytes::Bytes;
use engine_fjall::{Options, Store, bench};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RECORD: usize = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let time = Duration::from_secs(arguments.next().transpose()?.unwrap_or(5));
    let callers = arguments.next().transpose()?.unwrap_or(1);
    for batch in [1, 10, 100, 1000] {
        let dir = tempfile::tempdir()?;
        let raw = tokio::task::block_in_place(|| bench::raw_append(dir.path(), RECORD, batch, time))?;
        let dir = tempfile::tempdir()?;
        let (rate, mut latencies) = measure(dir.path(), batch, time, callers).await?;
        latencies.sort_unstable();
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
        let mut out = std::io::stdout().lock();
        std::io::Write::write_fmt(
            &mut out,
            format_args!(
                "batch {batch:>5}, {callers} callers: bus {rate:>9.0}/s, raw {raw:>9.0}/s, ratio {:.2}; p50 {:?}, p99 {:?}, p99.9 {:?}\n",
                rate / raw,
                at(0.5),
                at(0.99),
                at(0.999)
            ),
        )?;
    }
    Ok(())
}

async fn measure(
    dir: &std::path::Path,
    batch: usize,
    time: Duration,
    callers: u64,
) -> Result<(f64, Vec<Duration>), Box<dyn std::error::Error>> {
    let bus = Store::open(dir, Options::default())?.bus();
    bus.create_topic(&TopicSpec::new("t", 8)).await?;
    let begun = Instant::now();
    let tasks = (0..callers).map(|caller| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            // No two records of a chunk are alike: nothing is won by compression.
            let values = Bytes::from(bench::noise(2000 * RECORD));
            let mut latencies = Vec::new();
            while begun.elapsed() < time {
                let record = |i: usize| NewRecord {
                    topic: "t".to_owned(),
                    partition: None,
                    key: Some(Bytes::from(format!("{caller}-{i}"))),
                    value: Some(values.slice(i * RECORD..(i + 1) * RECORD)),
                    ..NewRecord::default()
                };
                let call = Instant::now();
                bus.produce((0..batch).map(record).collect()).await?;
                latencies.push(call.elapsed());
            }
            Ok::<_, bus::BusError>(latencies)
        })
    });
    let mut latencies = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        latencies.extend(task.await??);
    }
    let elapsed = begun.elapsed();
    let mut written = 0;
    for partition in 0..8 {
        written += bus.watermarks(&TopicPartition::new("t", partition)).await?.high;
    }
    Ok((written as f64 / elapsed.as_secs_f64(), latencies))
}
