//! Loading commands through `/api/v1/batch`: several chunks at once, resumable after any stop.

use super::completejourney::{Journey, work};
use crate::client::{self, Client};
use crate::datadir::DataDir;
use anyhow::{Context, Result};
use bytes::Bytes;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use oltp::command::Command;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Commands a chunk.
const CHUNK: u64 = 500;
/// Chunks under way at once: enough to keep both the store and the reader busy.
const PARALLEL: usize = 3;
/// How long a chunk is tried before the import gives up: the server may be restarting, and its store recovering.
const PATIENCE: Duration = Duration::from_secs(120);
/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often the bar is drawn anew, so that the time left goes on falling while a chunk is under way.
const TICK: Duration = Duration::from_millis(500);

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Loaded {
    /// Records loaded by this run.
    pub records: u64,
    /// Records that an earlier run had loaded.
    pub resumed: u64,
    /// Seconds taken.
    pub seconds: f64,
    /// Position of the last write, of this run or of an earlier one.
    pub position: String,
}

/// How far an import has come: of the commands in their fixed order, so many are acknowledged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    records: u64,
    work: u64,
    position: String,
}

/// Loads commands.
pub struct Loader {
    client: Client,
    progress: PathBuf,
    bar: ProgressBar,
}

#[derive(Default)]
struct Chunk {
    number: u64,
    /// It must wait for all chunks before it: a basket may only be sent once its products are there.
    first_of_kind: bool,
    size: Size,
    body: Vec<u8>,
}

/// What is in a chunk.
#[derive(Clone, Copy, Default)]
struct Size {
    records: u64,
    work: u64,
}

/// Chunks as they are acknowledged: in any order, but counted only when all before them are.
#[derive(Default)]
struct Account {
    done: Progress,
    next: u64,
    ahead: BTreeMap<u64, Size>,
    loaded: Loaded,
}

/// A chunk that was acknowledged.
struct Acknowledged {
    number: u64,
    size: Size,
    position: String,
}

impl Loader {
    /// A loader of a journey into a store; the same journey into the same store goes on where it stopped.
    ///
    /// # Errors
    /// When the server does not say which store it has, or the folder for the progress cannot be made.
    pub async fn open(client: Client, data: &DataDir, journey: &Journey, show: bool) -> Result<Self> {
        let folder = data.path("import");
        std::fs::create_dir_all(&folder)?;
        let status = client.send(client.request(Method::GET, "/api/v1/status")).await?;
        // What one store has taken, another lacks, also behind the same address.
        let store = status["deployment"].as_str().context("the server does not say which store it has")?;
        let fingerprint = format!("{} in {store}", journey.fingerprint());
        let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, fingerprint.as_bytes());
        let bar = if show { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("loading [{bar:32}] {percent:>3} % · {msg} · {eta} left")?;
        bar.set_style(style.progress_chars("=> "));
        Ok(Self { client, progress: folder.join(format!("{name}.json")), bar })
    }

    /// Loads a journey.
    ///
    /// # Errors
    /// When the files cannot be read, the server refuses a line, or it stays out of reach.
    pub async fn load(&self, journey: &Journey) -> Result<Loaded> {
        let start = Instant::now();
        let done: Progress = std::fs::read(&self.progress)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let resumed = done.records;
        self.bar.set_length(journey.work());
        self.bar.set_position(done.work);
        self.bar.set_message(format!("{} of {} records", HumanCount(resumed), HumanCount(journey.records())));
        self.bar.reset_eta();
        self.bar.enable_steady_tick(TICK);
        let (sender, chunks) = mpsc::channel(PARALLEL);
        let source = journey.clone();
        let reader = tokio::task::spawn_blocking(move || read(&source, resumed, &sender));
        let account = Account {
            loaded: Loaded { resumed, position: done.position.clone(), ..Loaded::default() },
            done,
            ..Account::default()
        };
        let loaded = self.send_all(journey, chunks, account).await;
        self.bar.finish_and_clear();
        let mut loaded = loaded?;
        reader.await.context("the reader of the files failed")??;
        loaded.seconds = start.elapsed().as_secs_f64();
        Ok(loaded)
    }

    async fn send_all(
        &self,
        journey: &Journey,
        mut chunks: mpsc::Receiver<Chunk>,
        mut account: Account,
    ) -> Result<Loaded> {
        let mut under_way = JoinSet::new();
        let mut open = true;
        while open || !under_way.is_empty() {
            tokio::select! {
                chunk = chunks.recv(), if open && under_way.len() < PARALLEL => match chunk {
                    Some(chunk) => {
                        if chunk.first_of_kind {
                            while let Some(result) = under_way.join_next().await {
                                self.finish(journey, &mut account, result??)?;
                            }
                        }
                        under_way.spawn(send(self.client.clone(), chunk));
                    }
                    None => open = false,
                },
                Some(result) = under_way.join_next() => self.finish(journey, &mut account, result??)?,
            }
        }
        Ok(account.loaded)
    }

    fn finish(&self, journey: &Journey, account: &mut Account, chunk: Acknowledged) -> Result<()> {
        let Account { done, next, ahead, loaded } = account;
        loaded.records += chunk.size.records;
        // Tokens of the store's log have a fixed width, so the greater text is the later position.
        loaded.position = std::mem::take(&mut loaded.position).max(chunk.position);
        self.bar.inc(chunk.size.work);
        let records = [loaded.resumed + loaded.records, journey.records()].map(HumanCount);
        self.bar.set_message(format!("{} of {} records", records[0], records[1]));
        ahead.insert(chunk.number, chunk.size);
        let before = *next;
        while let Some(size) = ahead.remove(next) {
            *next += 1;
            done.records += size.records;
            done.work += size.work;
        }
        if *next > before {
            done.position.clone_from(&loaded.position);
            crate::datadir::write_whole(&self.progress, &serde_json::to_vec(done)?, 0o644)?;
        }
        Ok(())
    }
}

/// Reads commands and cuts them into chunks, leaving out those that were acknowledged before.
fn read(journey: &Journey, skip: u64, sender: &mpsc::Sender<Chunk>) -> Result<()> {
    let mut cutter = Cutter { sender, skip, next: 0, kind: None, chunk: Chunk::default(), failure: None };
    journey.for_each(|command| cutter.take(&command))?;
    cutter.cut();
    cutter.failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Cuts a stream of commands into chunks; a chunk ends where the kind of its commands changes.
struct Cutter<'a> {
    sender: &'a mpsc::Sender<Chunk>,
    /// Commands still to be left out.
    skip: u64,
    next: u64,
    kind: Option<std::mem::Discriminant<Command>>,
    chunk: Chunk,
    failure: Option<serde_json::Error>,
}

impl Cutter<'_> {
    fn take(&mut self, command: &Command) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return true;
        }
        let kind = std::mem::discriminant(command);
        let first = self.kind.replace(kind) != Some(kind);
        if (first || self.chunk.size.records == CHUNK) && !self.cut() {
            return false;
        }
        self.chunk.first_of_kind |= first;
        self.chunk.size.records += 1;
        self.chunk.size.work += work(command);
        if let Err(error) = serde_json::to_writer(&mut self.chunk.body, command) {
            self.failure = Some(error);
            return false;
        }
        self.chunk.body.push(b'\n');
        true
    }

    /// Sends the chunk on; false when nobody takes it any more.
    fn cut(&mut self) -> bool {
        let mut chunk = std::mem::take(&mut self.chunk);
        if chunk.size.records == 0 {
            return true;
        }
        chunk.number = self.next;
        self.next += 1;
        self.sender.blocking_send(chunk).is_ok()
    }
}

async fn send(client: Client, mut chunk: Chunk) -> Result<Acknowledged> {
    let body = Bytes::from(std::mem::take(&mut chunk.body));
    let start = Instant::now();
    let mut pause = PAUSE.0;
    loop {
        match post(&client, body.clone()).await {
            Ok(position) => return Ok(Acknowledged { number: chunk.number, size: chunk.size, position }),
            Err(Refused::ForGood(error)) => return Err(error),
            Err(Refused::ForNow(error)) if start.elapsed() > PATIENCE => {
                return Err(error.context("gave up; run the import again to go on"));
            }
            Err(Refused::ForNow(error)) => tracing::debug!(%error, "a chunk was not taken; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

enum Refused {
    ForNow(anyhow::Error),
    ForGood(anyhow::Error),
}

async fn post(client: &Client, body: Bytes) -> Result<String, Refused> {
    let request = client.request(Method::POST, "/api/v1/batch").header("content-type", "application/x-ndjson");
    let answer = async { client.response(request.body(body)).await?.text().await.context("the answer broke off") };
    let answer = answer.await.map_err(|error| match error.downcast_ref::<client::Refused>() {
        Some(refused) if client::is_final(refused.status) => Refused::ForGood(error),
        _ => Refused::ForNow(error),
    })?;
    let mut position = None;
    for line in answer.lines() {
        let line: Value = serde_json::from_str(line).context("the answer is not NDJSON").map_err(Refused::ForNow)?;
        if let Some(problem) = line.get("problem") {
            let error = anyhow::anyhow!("line {}: {}", line["line"], problem["detail"].as_str().unwrap_or("refused"));
            let retry = problem["retry"].as_bool().unwrap_or(false);
            return Err(if retry { Refused::ForNow(error) } else { Refused::ForGood(error) });
        }
        position = line.get("position").and_then(Value::as_str).map(str::to_owned);
    }
    position.ok_or_else(|| Refused::ForNow(anyhow::anyhow!("the answer broke off")))
}
