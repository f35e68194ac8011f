//! What the house looks like at one moment. Taken at most twice a second, however many pages look.

use crate::facts::{About, DecisionLine, Facts, Freshness};
use model::Timestamp;
use runtime::LayerStatus;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use uuid::Uuid;

/// How long one snapshot serves.
const SHARED_FOR: Duration = Duration::from_millis(500);
/// How long the store may take to answer before the page is shown without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Decisions shown.
const DECISIONS: usize = 25;
/// Longest text of an error or a position, in characters.
const TEXT_MAX: usize = 200;

/// The house at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) about: About,
    pub(crate) at: Timestamp,
    pub(crate) layers: Vec<LayerStatus>,
    pub(crate) freshness: Option<Freshness>,
    pub(crate) decisions: Vec<DecisionLine>,
    /// Why the decisions are missing, if they are.
    pub(crate) decisions_error: Option<String>,
}

impl Snapshot {
    /// The same without the words of errors.
    pub(crate) fn without_words(&self) -> Self {
        let mut bare = self.clone();
        for layer in &mut bare.layers {
            layer.last_error = None;
        }
        bare.decisions_error = self.decisions_error.as_ref().map(|_| "the reason is shown with a key".to_owned());
        bare
    }
}

/// Takes snapshots and shares them.
pub(crate) struct Snapshots {
    facts: Arc<dyn Facts>,
    salt: Uuid,
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
}

impl Snapshots {
    pub(crate) fn new(facts: Arc<dyn Facts>) -> Self {
        Self { facts, salt: Uuid::now_v7(), last: Mutex::new(None) }
    }

    /// The newest snapshot. Whoever comes while one is taken waits for it.
    pub(crate) async fn get(&self) -> Arc<Snapshot> {
        let mut last = self.last.lock().await;
        if let Some((taken, snapshot)) = last.as_ref()
            && taken.elapsed() < SHARED_FOR
        {
            return Arc::clone(snapshot);
        }
        let snapshot = Arc::new(self.take().await);
        *last = Some((Instant::now(), Arc::clone(&snapshot)));
        snapshot
    }

    async fn take(&self) -> Snapshot {
        let read = async { tokio::join!(self.facts.decisions(DECISIONS), self.facts.freshness()) };
        let (decisions, freshness) = match tokio::time::timeout(PATIENCE, read).await {
            Ok(read) => read,
            Err(_) => (Err("the store did not answer within 2 s".to_owned()), None),
        };
        let (decisions, decisions_error) = match decisions {
            Ok(decisions) => (decisions, None),
            Err(error) => (Vec::new(), Some(short(&error))),
        };
        let mut layers = self.facts.layers();
        for layer in &mut layers {
            layer.position = short(&layer.position);
            layer.last_error = layer.last_error.as_deref().map(short);
        }
        let decisions = decisions.into_iter().take(DECISIONS).map(|line| self.masked(line)).collect();
        Snapshot { about: self.facts.about(), at: Timestamp::now(), layers, freshness, decisions, decisions_error }
    }

    /// A pseudonym for the person: the same one as long as this process lives, so that a reader sees who comes again; nobody can
    /// look it up or link it to another page.
    fn masked(&self, mut line: DecisionLine) -> DecisionLine {
        let kind = line.person.split_once(':').map_or("", |(kind, _)| kind);
        let kind = if ["m", "u", "c", "a"].contains(&kind) { kind } else { "x" };
        let digest = Sha256::new().chain_update(self.salt).chain_update(&line.person).finalize();
        line.person = format!("{kind}:{}", hex::encode(&digest[..4]));
        line
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
