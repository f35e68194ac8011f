//! Sends what shoppers do through the public doors, at a rate, and keeps account of what was acknowledged.

use super::shopper::{Crowd, Deed};
use crate::client::{self, Client};
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use model::Position;
use oltp::command::{PutOrder, PutReturn};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a tick of signals goes out.
const TICK: Duration = Duration::from_millis(20);
/// Events a request at most.
const BATCH: usize = 250;
/// Requests under way at once.
const PARALLEL: usize = 24;
/// How long one signal is tried before it counts as not accepted.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the doors acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Message ids of events.
    pub events: BTreeSet<String>,
    /// Numbers of orders.
    pub orders: BTreeSet<String>,
    /// Numbers of returns.
    pub returns: BTreeSet<String>,
    /// Position of the newest write to the store.
    pub wal: Option<String>,
    /// Newest offset by partition of the events.
    pub offsets: BTreeMap<i32, i64>,
    /// Signals that were refused, with the first reason.
    pub refused: u64,
    /// Why the first was refused.
    pub refusal: Option<String>,
}

/// How much was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Orders.
    pub orders: u64,
    /// Returns.
    pub returns: u64,
    /// Signals that were refused.
    pub refused: u64,
}

impl Account {
    /// How much was acknowledged.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |of: &BTreeSet<String>| of.len() as u64;
        Counts {
            events: count(&self.events),
            orders: count(&self.orders),
            returns: count(&self.returns),
            refused: self.refused,
        }
    }

    /// The token to wait for before all events are served.
    #[must_use]
    pub fn events_position(&self) -> Option<String> {
        (!self.offsets.is_empty()).then(|| Position::Events(self.offsets.clone()).to_string())
    }
}

/// Where signals go.
#[derive(Clone, Debug)]
pub struct Doors {
    /// The API.
    pub api: Client,
    /// Base URL of the gateway.
    pub gateway: String,
    /// Write key of the gateway.
    pub write_key: String,
}

impl Doors {
    /// The doors of a server, with a known write key or a new one; waits until the gateway knows the key.
    ///
    /// # Errors
    /// When the key cannot be made, or the gateway does not get to know it.
    pub async fn open(api: Client, gateway: String, write_key: Option<String>) -> Result<Self> {
        let write_key = match write_key {
            Some(key) => key,
            None => {
                let body = json!({ "name": "demo", "kind": "write" });
                let made = api.send(api.request(Method::POST, "/api/v1/keys").json(&body)).await?;
                made["secret"].as_str().context("the answer has no key")?.to_owned()
            }
        };
        // A new key reaches the gateway as a change record, some milliseconds after it was made.
        let start = Instant::now();
        let settings = format!("{gateway}/v1/projects/{write_key}/settings");
        // The address holds the key, so no error may show it.
        while !reqwest::get(&settings).await.map_err(reqwest::Error::without_url)?.status().is_success() {
            if start.elapsed() > PATIENCE {
                bail!("the gateway does not know the write key; is capture running?");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { api, gateway, write_key })
    }
}

/// Drives a crowd.
pub struct Driver {
    doors: Doors,
    http: reqwest::Client,
    crowd: Mutex<Crowd>,
    account: Mutex<Account>,
    slots: Arc<Semaphore>,
    requests: TaskTracker,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    /// A driver of a crowd.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(doors: Doors, crowd: Crowd) -> Result<Arc<Self>> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        let slots = Arc::new(Semaphore::new(PARALLEL));
        let driver = Self {
            doors,
            http,
            crowd: Mutex::new(crowd),
            account: Mutex::default(),
            slots,
            requests: TaskTracker::new(),
        };
        Ok(Arc::new(driver))
    }

    /// What was acknowledged so far.
    #[must_use]
    pub fn account(&self) -> Account {
        lock(&self.account).clone()
    }

    /// How much was acknowledged so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.account).counts()
    }

    /// Shops at a rate until told to stop or the time is over.
    pub async fn shop(self: &Arc<Self>, rate: u32, seconds: Option<u64>, stop: CancellationToken) {
        let start = Instant::now();
        let end = seconds.map(|seconds| start + Duration::from_secs(seconds));
        let mut sent: u64 = 0;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() && end.is_none_or(|end| Instant::now() < end) {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
            self.send(due.saturating_sub(sent)).await;
            sent = sent.max(due);
        }
    }

    /// Waits until all that was sent is answered, and says what was acknowledged.
    pub async fn settle(&self) -> Account {
        self.requests.close();
        self.requests.wait().await;
        self.account()
    }

    /// Sends one deed outside the rate.
    pub fn send_now(self: &Arc<Self>, deed: Deed) {
        let driver = Arc::clone(self);
        self.requests.spawn(async move { driver.deliver(vec![deed]).await });
    }

    /// Asks the crowd for something and sends it.
    pub fn with_crowd(self: &Arc<Self>, ask: impl FnOnce(&mut Crowd) -> Deed) {
        let deed = ask(&mut lock(&self.crowd));
        self.send_now(deed);
    }

    async fn send(self: &Arc<Self>, count: u64) {
        let mut events = Vec::new();
        for _ in 0..count {
            let deed = lock(&self.crowd).act(Timestamp::now());
            let full = match deed {
                Deed::Event(_) => {
                    events.push(deed);
                    events.len() == BATCH
                }
                fact => {
                    self.dispatch(vec![fact]).await;
                    false
                }
            };
            if full {
                self.dispatch(std::mem::take(&mut events)).await;
            }
        }
        if !events.is_empty() {
            self.dispatch(events).await;
        }
    }

    /// Sends in the background; waits while too much is under way.
    async fn dispatch(self: &Arc<Self>, deeds: Vec<Deed>) {
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
        let driver = Arc::clone(self);
        self.requests.spawn(async move {
            driver.deliver(deeds).await;
            drop(slot);
        });
    }

    async fn deliver(&self, deeds: Vec<Deed>) {
        let mut events = Vec::new();
        for deed in deeds {
            let done = match deed {
                Deed::Event(event) => {
                    events.push(event);
                    continue;
                }
                Deed::Order(order) => self.order(*order).await,
                Deed::Return(goods) => self.bring_back(&goods).await,
            };
            self.note(done);
        }
        if !events.is_empty() {
            self.note(self.events(&events).await);
        }
    }

    fn note(&self, done: Result<()>) {
        if let Err(error) = done {
            let mut account = lock(&self.account);
            account.refused += 1;
            account.refusal.get_or_insert_with(|| format!("{error:#}"));
        }
    }

    async fn events(&self, events: &[Value]) -> Result<()> {
        let body = json!({ "batch": events, "sentAt": Timestamp::now().to_string() });
        let url = format!("{}/v1/batch", self.doors.gateway);
        let request = self.http.post(url).basic_auth(&self.doors.write_key, Some("")).json(&body);
        let answer = self.patiently(request).await?;
        let position = answer["position"].as_str().context("the gateway's answer has no position")?;
        let Position::Events(offsets) = position.parse::<Position>()? else {
            bail!("the gateway's position is not its own")
        };
        if answer["rejected"].as_u64() != Some(0) {
            bail!("the gateway rejected {} of {} events", answer["rejected"], events.len());
        }
        let mut account = lock(&self.account);
        for (partition, offset) in offsets {
            let newest = account.offsets.entry(partition).or_insert(offset);
            *newest = offset.max(*newest);
        }
        account.events.extend(events.iter().filter_map(|event| event["messageId"].as_str()).map(str::to_owned));
        Ok(())
    }

    async fn order(&self, order: PutOrder) -> Result<()> {
        let position = self.write("/api/v1/orders", &order.order_no, &serde_json::to_value(&order)?).await?;
        let mut account = lock(&self.account);
        account.orders.insert(order.order_no.clone());
        account.wal = account.wal.take().max(Some(position));
        drop(account);
        lock(&self.crowd).bought(order);
        Ok(())
    }

    async fn bring_back(&self, goods: &PutReturn) -> Result<()> {
        let position = self.write("/api/v1/returns", &goods.return_no, &serde_json::to_value(goods)?).await?;
        let mut account = lock(&self.account);
        account.returns.insert(goods.return_no.clone());
        account.wal = account.wal.take().max(Some(position));
        Ok(())
    }

    async fn write(&self, path: &str, key: &str, body: &Value) -> Result<String> {
        let request = self.doors.api.request(Method::POST, path).header("idempotency-key", key).json(body);
        let answer = self.patiently(request.timeout(Duration::from_secs(20))).await?;
        answer["position"].as_str().map(str::to_owned).context("the answer has no position")
    }

    /// Sends a request again and again while the server is away or busy. Every signal carries its id, so a repeat is harmless.
    async fn patiently(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let start = Instant::now();
        let mut wait = Duration::from_millis(50);
        loop {
            let attempt = request.try_clone().context("the request cannot be repeated")?;
            let failure = match attempt.send().await {
                Ok(response) if response.status().is_success() => match response.json().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error.to_string(),
                },
                Ok(response) if client::is_final(response.status()) => {
                    bail!("{}: {}", response.status(), response.text().await.unwrap_or_default());
                }
                Ok(response) => response.status().to_string(),
                Err(error) => error.without_url().to_string(),
            };
            if start.elapsed() > PATIENCE {
                bail!("gave up after {} s: {failure}", PATIENCE.as_secs());
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }
}
