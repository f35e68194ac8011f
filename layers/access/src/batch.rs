//! Batches: lines of JSON in, a line of JSON out for each, both streamed. What was answered is committed; a chunk is read only
//! when the answers before it have been taken, so neither side can flood the other.

use crate::caller::{Caller, KEY_MAX};
use crate::http::{Door, room_for_batch};
use crate::line::{self, Asked};
use crate::lines::{Line, Lines};
use crate::{body, error, metrics, records};
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use model::Position;
use oltp::command::Kind;
use oltp::{Command, Context, Done, Effect, OltpError};
use runtime::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use uuid::Uuid;

/// How long a chunk waits for more lines once it has one: a slow sender gets its answers, a fast one full chunks.
const LINGER: Duration = Duration::from_millis(10);
/// Longest idempotency key of a whole batch: each line's number comes behind it.
const BATCH_KEY_MAX: usize = KEY_MAX - 24;

/// The answer to a line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineResult {
    /// Number of the line, from 1; empty lines count, but have no answer.
    line: u64,
    /// The HTTP status that the record would have had by itself.
    #[schema(example = 201)]
    status: u16,
    /// Our id of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    /// created, updated or unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<Effect>,
    /// Whether this is the first answer again.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<bool>,
    /// What an action found or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Problem>,
}

/// The last line of an answer. An answer without it was cut off: send again what has no answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchSummary)]
pub(crate) struct Summary {
    /// Covers every line that was written; none when nothing was.
    position: Option<String>,
    /// Lines that were answered.
    lines: u64,
    /// Lines of which nothing was done.
    failed: u64,
    /// Why the rest was not read, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Problem>,
}

/// Which lines are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Results {
    #[default]
    All,
    Failed,
}

/// What a batch may be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BatchQuery {
    results: Results,
}

/// A line that was read, before it is run.
struct Read {
    line: u64,
    parsed: Result<(&'static Kind, Context, Command), Problem>,
}

/// Why no more lines are read.
enum End {
    /// All lines were read.
    Whole,
    /// Something is wrong; the answer says what.
    Stopped(Problem),
}

/// A batch under way.
struct Batch {
    door: Arc<Door>,
    caller: Caller,
    results: Results,
    pieces: BodyDataStream,
    lines: Lines,
    line: u64,
    answered: u64,
    failed: u64,
    position: Option<Position>,
    end: Option<End>,
    _room: OwnedSemaphorePermit,
}

/// Takes a batch.
pub(crate) async fn post(
    State(door): State<Arc<Door>>,
    query: Result<Query<BatchQuery>, QueryRejection>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    body::check(&headers, body::is_lines, "application/x-ndjson")?;
    if caller.context.if_version.is_some() {
        return Err(error::header("if-match", "is for paths that put a record"));
    }
    let Query(query) = query.map_err(|_| error::query("the query may say results=all or results=failed"))?;
    if caller.context.idempotency_key.as_ref().is_some_and(|key| key.len() > BATCH_KEY_MAX) {
        return Err(error::header("idempotency-key", &format!("of a batch has at most {BATCH_KEY_MAX} characters")));
    }
    let room = room_for_batch(&door)?;
    let batch = Batch {
        lines: Lines::new(door.config.line_bytes_max),
        door,
        caller,
        results: query.results,
        pieces: body.into_data_stream(),
        line: 0,
        answered: 0,
        failed: 0,
        position: None,
        end: None,
        _room: room,
    };
    let answers = futures_util::stream::unfold(Some(batch), |batch| async {
        let mut batch = batch?;
        let (answer, over) = batch.advance().await;
        Some((Ok::<_, Infallible>(answer), (!over).then_some(batch)))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(answers)).into_response())
}

impl Batch {
    /// Reads a chunk, runs it and says what became of it. True once the summary has been said.
    async fn advance(&mut self) -> (Bytes, bool) {
        let mut answer = Vec::new();
        // Bytes must come out: an empty piece would end nothing and tell nobody anything.
        while answer.is_empty() {
            let chunk = self.gather().await;
            if !chunk.is_empty() {
                self.pay(chunk.len()).await;
                self.run(chunk, &mut answer).await;
            }
            if let Some(end) = self.end.take() {
                self.close(end, &mut answer);
                return (answer.into(), true);
            }
        }
        (answer.into(), false)
    }

    /// Waits until the key may send so many more lines: a stream under way is slowed down rather than refused.
    async fn pay(&mut self, lines: usize) {
        loop {
            let (_, verdict) = self.door.tap.charge(self.caller.principal(), lines as u64);
            if verdict.wait.is_zero() {
                return;
            }
            tokio::time::sleep(verdict.wait).await;
        }
    }

    /// The next lines: as many as fit into a transaction, or as have come when the sender pauses.
    async fn gather(&mut self) -> Vec<Read> {
        let (lines_max, bytes_max) = (self.door.config.chunk_lines_max.max(1), self.door.config.chunk_bytes_max);
        let idle = Duration::from_millis(self.door.config.batch_idle_ms_max);
        let mut chunk = Vec::new();
        let mut bytes = 0;
        let mut deadline = tokio::time::Instant::now() + idle;
        while chunk.len() < lines_max && bytes < bytes_max {
            if let Some(line) = self.lines.next() {
                bytes += self.take(line, &mut chunk);
                if chunk.len() == 1 {
                    deadline = tokio::time::Instant::now() + LINGER;
                }
                continue;
            }
            match tokio::time::timeout_at(deadline, self.pieces.next()).await {
                Ok(Some(Ok(piece))) => self.lines.push(&piece),
                Ok(Some(Err(_))) => {
                    self.end = Some(End::Stopped(broken_off()));
                    break;
                }
                Ok(None) => {
                    if let Some(line) = self.lines.last() {
                        self.take(line, &mut chunk);
                    }
                    self.end = Some(End::Whole);
                    break;
                }
                Err(_) if chunk.is_empty() => {
                    self.end = Some(End::Stopped(silent(idle)));
                    break;
                }
                Err(_) => break,
            }
        }
        chunk
    }

    /// Reads a line; gives its size.
    fn take(&mut self, line: Line, chunk: &mut Vec<Read>) -> usize {
        self.line += 1;
        let (size, parsed) = match line {
            Line::TooLong => (0, Err(too_long(self.door.config.line_bytes_max))),
            Line::Whole(text) if text.iter().all(u8::is_ascii_whitespace) => return text.len(),
            Line::Whole(text) => (text.len(), self.parse(&text)),
        };
        chunk.push(Read { line: self.line, parsed });
        size
    }

    fn parse(&self, text: &[u8]) -> Result<(&'static Kind, Context, Command), Problem> {
        let Asked { kind, command, key } = line::read(text)?;
        self.caller.may(&kind.scope())?;
        let context = &self.caller.context;
        let key = key.or_else(|| context.idempotency_key.as_ref().map(|batch| format!("{batch}/{}", self.line)));
        Ok((kind, Context { idempotency_key: key, ..context.clone() }, command))
    }

    /// Runs a chunk and writes its answers, in the order of the lines.
    async fn run(&mut self, chunk: Vec<Read>, answer: &mut Vec<u8>) {
        let started = Instant::now();
        let mut commands = Vec::with_capacity(chunk.len());
        let mut read = Vec::with_capacity(chunk.len());
        for Read { line, parsed } in chunk {
            read.push((
                line,
                parsed.map(|(kind, context, command)| {
                    commands.push((context, command));
                    kind
                }),
            ));
        }
        let count = commands.len();
        let outcomes = if count == 0 { Vec::new() } else { self.commit(commands).await };
        let mut outcomes = outcomes.into_iter();
        for (line, parsed) in read {
            let outcome = parsed.and_then(|kind| match outcomes.next() {
                Some(Ok(done)) => Ok((kind, done)),
                Some(Err(error)) => Err(error::of_store(&error, "/body")),
                None => Err(error::of_store(&OltpError::Internal("no answer".to_owned()), "")),
            });
            self.say(line, outcome, answer);
        }
        self.door.meter.took(metrics::CHUNK, started.elapsed());
    }

    async fn commit(&mut self, commands: Vec<(Context, Command)>) -> Vec<Result<Done, OltpError>> {
        let count = commands.len();
        let outcomes = match self.door.oltp.run_batch(commands).await {
            Ok((outcomes, position)) => {
                if outcomes.iter().any(Result::is_ok) {
                    self.door.meter.position(position.to_string());
                    self.position = Some(position);
                }
                outcomes
            }
            Err(error) => vec![Err(error); count],
        };
        // The store has been tried again and again by now: the rest would fare no better.
        if let Some(Err(error)) = outcomes.iter().find(|outcome| outcome.as_ref().is_err_and(OltpError::retry)) {
            self.door.meter.failed(metrics::STORE, error.code());
            self.end = Some(End::Stopped(error::of_store(error, "")));
        }
        outcomes
    }

    fn say(&mut self, line: u64, outcome: Result<(&'static Kind, Done), Problem>, answer: &mut Vec<u8>) {
        self.answered += 1;
        let result = match outcome {
            Ok((kind, done)) => {
                self.door.meter.handled(kind.noun, 1);
                if done.repeated {
                    self.door.meter.count(metrics::REPEATED, 1);
                }
                if self.results == Results::Failed {
                    return;
                }
                let status = records::status_of(kind, done.effect).as_u16();
                LineResult {
                    line,
                    status,
                    id: Some(done.id),
                    effect: Some(done.effect),
                    repeated: Some(done.repeated),
                    result: done.result,
                    problem: None,
                }
            }
            Err(problem) => {
                self.failed += 1;
                self.door.meter.count(metrics::REFUSED, 1);
                LineResult {
                    line,
                    status: problem.status,
                    id: None,
                    effect: None,
                    repeated: None,
                    result: None,
                    problem: Some(problem),
                }
            }
        };
        write(&result, answer);
    }

    /// Says how it all went.
    fn close(&mut self, end: End, answer: &mut Vec<u8>) {
        let problem = match end {
            End::Whole => None,
            End::Stopped(problem) => {
                // Whoever still sends would otherwise be cut off before reading this.
                let rest = std::mem::replace(&mut self.pieces, Body::empty().into_data_stream());
                runtime::http::drain(Body::from_stream(rest));
                Some(problem)
            }
        };
        let position = self.position.as_ref().map(Position::to_string);
        write(&Summary { position, lines: self.answered, failed: self.failed, problem }, answer);
    }
}

fn write(line: &impl Serialize, answer: &mut Vec<u8>) {
    if serde_json::to_writer(&mut *answer, line).is_ok() {
        answer.push(b'\n');
    }
}

fn too_long(limit: usize) -> Problem {
    let detail = format!("the line is longer than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "access.line_too_long", detail)
}

fn broken_off() -> Problem {
    let detail = "the body ended before its time; lines without an answer were not written";
    Problem::new(StatusCode::BAD_REQUEST, "access.body_broken", detail)
}

fn silent(idle: Duration) -> Problem {
    let detail = format!("no line came for {} s; send the rest in another batch", idle.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "access.body_timeout", detail)
}
