//! Commands on their way to the store: in waves, one transaction and one round trip a chunk, halved where one is bad.

use crate::command::{Command, Context, Done, Effect};
use crate::error::{Failure, OltpError};
use crate::pool::{Oltp, Trouble};
use crate::prepare::{Prepared, prepare};
use crate::{metrics, statement};
use model::Position;
use runtime::{Clock, SystemClock};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Instant;
use tokio_postgres::types::Json;
use uuid::Uuid;

/// How often a command that made the same record as another at the same moment is tried again.
const DUPLICATES_MAX: u32 = 3;

/// What the SQL function answers for one command.
#[derive(Deserialize)]
struct Answer {
    i: usize,
    id: Option<Uuid>,
    effect: Option<Effect>,
    row_version: Option<i64>,
    result: Option<Value>,
    #[serde(default)]
    repeated: bool,
    fault: Option<String>,
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    detail: String,
}

pub(crate) type Outcome = Result<Done, OltpError>;

impl Oltp {
    /// Runs one command: checks it, and commits it before this returns. The position is where a reader has seen it. Once it is
    /// checked it is done, whether or not anybody waits for the answer.
    ///
    /// # Errors
    /// [`OltpError`]: what is wrong with the command, or that the store cannot take it now.
    pub async fn run(&self, context: &Context, command: &Command) -> Result<(Done, Position), OltpError> {
        let inner = &self.inner;
        let prepared = prepare(0, context, command, &inner.tokeniser, SystemClock.now());
        self.gathered(prepared.inspect_err(|_| inner.meter.count(metrics::REFUSED, 1))?).await
    }

    /// Runs many commands, in order where they are about the same record, in as few transactions as the limits of the
    /// configuration allow. Each has its own result; a bad one never harms another. The position covers all that was committed.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the store took nothing. Once it took something, what it did not take is unavailable by
    /// itself.
    pub async fn run_batch(&self, items: Vec<(Context, Command)>) -> Result<(Vec<Outcome>, Position), OltpError> {
        let inner = &self.inner;
        let now = SystemClock.now();
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(items.len());
        let mut ready = Vec::with_capacity(items.len());
        for (index, (context, command)) in items.iter().enumerate() {
            match prepare(index, context, command, &inner.tokeniser, now) {
                Ok(prepared) => {
                    ready.push(prepared);
                    outcomes.push(None);
                }
                Err(error) => {
                    inner.meter.count(metrics::REFUSED, 1);
                    outcomes.push(Some(Err(error)));
                }
            }
        }
        drop(items);
        let mut position = None;
        let mut rest = &ready[..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.fitting(rest));
            match self.chunk(chunk, &mut outcomes).await {
                Ok(at) => position = at.or(position),
                // The store is away: what it has taken is said, the rest is not tried.
                Err(trouble) if position.is_some() => {
                    let error = self.failed(&trouble);
                    rest.iter().for_each(|item| outcomes[item.index] = Some(Err(error.clone())));
                    break;
                }
                Err(trouble) => return Err(self.failed(&trouble)),
            }
            rest = after;
        }
        let position = match position {
            Some(position) => position,
            None => self.position().await?,
        };
        let missing = || Err(OltpError::Internal("no answer".to_owned()));
        Ok((outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect(), position))
    }

    /// How many of these commands go into one transaction.
    pub(crate) fn fitting(&self, items: &[Prepared]) -> usize {
        let config = &self.inner.config;
        let mut lines = 0;
        let mut keys = HashSet::new();
        let fit = items.iter().take(config.batch_commands_max.max(1)).take_while(|item| {
            lines += item.lines;
            // A key that came before gets the answer that was committed before.
            lines <= config.batch_lines_max && item.idempotency.as_ref().is_none_or(|key| keys.insert(key.as_str()))
        });
        // A command of more lines than the limit goes alone.
        fit.count().max(1)
    }

    /// Runs a chunk in one transaction. If that fails because of what is in it, its halves go by themselves, down to the one
    /// command that is bad. Errors only when the store cannot take anything now.
    pub(crate) async fn chunk(
        &self,
        items: &[Prepared],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<Option<Position>, Trouble> {
        let mut position = None;
        // Each part with how often it met another command that made the same record.
        let mut parts = vec![(items, 0)];
        while let Some((part, duplicates)) = parts.pop() {
            let trouble = match self.send(part).await {
                Ok((answers, at)) => {
                    position = Some(at);
                    self.settle(answers, outcomes);
                    continue;
                }
                Err(trouble) => trouble,
            };
            match (trouble.failure(), part) {
                (Failure::Transient | Failure::Slow, _) if position.is_none() => return Err(trouble),
                (Failure::Duplicate, [_]) if duplicates < DUPLICATES_MAX => {
                    parts.push((part, duplicates + 1));
                }
                (Failure::Duplicate | Failure::Range | Failure::Fault, [_, _, ..]) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([(second, 0), (first, 0)]);
                }
                _ => {
                    let error = self.failed(&trouble);
                    part.iter().for_each(|item| outcomes[item.index] = Some(Err(error.clone())));
                }
            }
        }
        Ok(position)
    }

    async fn send(&self, items: &[Prepared]) -> Result<(Vec<Answer>, Position), Trouble> {
        let started = Instant::now();
        let waves = waves(items, self.inner.config.idempotency_days);
        // With a key the first answer comes again. Without one a repeat would undo what others have written meanwhile.
        let repeatable = items.iter().all(|item| item.idempotency.is_some());
        let (rows, position) = self.query_at(statement::RUN, &[&waves], repeatable).await?;
        self.inner.meter.took(metrics::TRANSACTION, started.elapsed());
        self.inner.meter.position(position.to_string());
        let answers = rows.first().map(|row| row.try_get::<_, Json<Vec<Answer>>>(0)).transpose();
        Ok((answers.map_err(Trouble::Statement)?.map(|json| json.0).unwrap_or_default(), position))
    }

    fn settle(&self, answers: Vec<Answer>, outcomes: &mut [Option<Outcome>]) {
        let meter = &self.inner.meter;
        meter.handled(metrics::COMMAND, answers.len() as u64);
        for answer in answers {
            let outcome = match (answer.fault, answer.id, answer.effect) {
                (None, Some(id), Some(effect)) => {
                    if answer.repeated {
                        meter.count(metrics::REPEATED, 1);
                    }
                    let row_version = answer.row_version.unwrap_or(1);
                    Ok(Done { id, effect, repeated: answer.repeated, row_version, result: answer.result })
                }
                (Some(fault), ..) => {
                    meter.count(metrics::REFUSED, 1);
                    Err(OltpError::from_fault(&fault, answer.pointer, answer.detail))
                }
                _ => Err(OltpError::Internal("the store gave half an answer".to_owned())),
            };
            if let Some(slot) = outcomes.get_mut(answer.i) {
                *slot = Some(outcome);
            }
        }
    }
}

/// Writes commands as waves: runs of one kind in which no record comes twice, each sorted by what its commands lock.
fn waves(items: &[Prepared], keep_days: u16) -> String {
    let mut waves: Vec<(&'static str, Vec<&Prepared>)> = Vec::new();
    let mut records = HashSet::new();
    for item in items {
        match waves.last_mut() {
            Some((kind, wave)) if *kind == item.kind && !records.contains(item.unique.as_str()) => wave.push(item),
            _ => {
                records.clear();
                waves.push((item.kind, vec![item]));
            }
        }
        records.insert(item.unique.as_str());
    }
    let size: usize = items.iter().map(|item| item.json.len() + 1).sum();
    let mut json = String::with_capacity(size + 64 * waves.len() + 64);
    let keys = items.iter().filter(|item| item.idempotency.is_some()).count();
    let conditional = if items.iter().any(|item| item.conditional) { r#""conditional":true,"# } else { "" };
    json.push_str(&format!(r#"{{{conditional}"keys":{keys},"keep_days":{keep_days},"waves":["#));
    for (i, (kind, wave)) in waves.iter_mut().enumerate() {
        wave.sort_by(|a, b| a.order.cmp(&b.order));
        json.push_str(if i == 0 { r#"{"kind":""# } else { r#",{"kind":""# });
        json.push_str(kind);
        json.push_str(r#"","items":["#);
        for (j, item) in wave.iter().enumerate() {
            json.push_str(if j == 0 { "" } else { "," });
            // The place goes in front of what the item holds already.
            let _ = write!(json, r#"{{"i":{},"#, item.index);
            json.push_str(item.json.strip_prefix('{').unwrap_or(&item.json));
        }
        json.push_str("]}");
    }
    json.push_str("]}");
    json
}
