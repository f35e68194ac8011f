//! A bus that can be told to hold back changes, so that a test stands where it wants to.

use async_trait::async_trait;
use bus::{Bus, BusError, Group, MemoryBus, NewRecord, Placed, Record, Step, TopicPartition, TopicSpec, Watermarks};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub struct Gate {
    bus: Arc<MemoryBus>,
    /// Changes that have passed.
    passed: AtomicUsize,
    limit: watch::Sender<usize>,
    holds: AtomicBool,
}

impl Gate {
    pub fn new(bus: Arc<MemoryBus>) -> Self {
        Self { bus, passed: AtomicUsize::new(0), limit: watch::Sender::new(usize::MAX), holds: AtomicBool::new(false) }
    }

    /// From now on, nothing passes once `count` changes have passed.
    pub fn hold_after(&self, count: usize) {
        self.holds.store(false, Ordering::SeqCst);
        self.limit.send_replace(self.passed.load(Ordering::SeqCst) + count);
    }

    pub fn open(&self) {
        self.limit.send_replace(usize::MAX);
    }

    /// Whether somebody waits at the gate.
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Bus for Gate {
    async fn step(&self, step: Step) -> Result<Vec<Placed>, BusError> {
        let changes = step.produce.iter().filter(|record| record.topic.starts_with("crm.")).count();
        let may_pass = |limit: &usize| changes == 0 || self.passed.load(Ordering::SeqCst) < *limit;
        if !may_pass(&self.limit.borrow()) {
            self.holds.store(true, Ordering::SeqCst);
            self.limit.subscribe().wait_for(may_pass).await.expect("the sender is ours");
        }
        self.passed.fetch_add(changes, Ordering::SeqCst);
        self.bus.step(step).await
    }

    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), BusError> {
        self.bus.create_topic(spec).await
    }

    async fn topics(&self) -> Result<Vec<TopicSpec>, BusError> {
        self.bus.topics().await
    }

    async fn produce(&self, records: Vec<NewRecord>) -> Result<Vec<Placed>, BusError> {
        self.bus.produce(records).await
    }

    async fn fetch(
        &self,
        at: &TopicPartition,
        from: i64,
        records: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, BusError> {
        self.bus.fetch(at, from, records, bytes).await
    }

    async fn wait(&self, positions: &[(TopicPartition, i64)], at_most: Duration) -> Result<bool, BusError> {
        self.bus.wait(positions, at_most).await
    }

    async fn watermarks(&self, at: &TopicPartition) -> Result<Watermarks, BusError> {
        self.bus.watermarks(at).await
    }

    async fn offset_for_time(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Option<i64>, BusError> {
        self.bus.offset_for_time(at, timestamp_ms).await
    }

    async fn trim(&self, at: &TopicPartition, before: i64) -> Result<(), BusError> {
        self.bus.trim(at, before).await
    }

    async fn enforce_retention(&self, now_ms: i64) -> Result<(), BusError> {
        self.bus.enforce_retention(now_ms).await
    }

    async fn join(&self, group: &str, topics: &[String]) -> Result<Box<dyn Group>, BusError> {
        self.bus.join(group, topics).await
    }

    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<i64>, BusError> {
        self.bus.committed(group, at).await
    }

    fn state_get(&self, namespace: &str, key: &[u8]) -> Result<Option<Bytes>, BusError> {
        self.bus.state_get(namespace, key)
    }

    fn state_scan(&self, namespace: &str, from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, BusError> {
        self.bus.state_scan(namespace, from, limit)
    }
}
