//! Runs imports, chunk by chunk. Each line has a key of its own, so that a chunk that was run and not settled, because somebody
//! died in between, is run again and changes nothing.

use super::{FORBIDDEN, TOO_LONG};
use crate::intake::Intake;
use crate::{error, line, metrics};
use axum::http::StatusCode;
use oltp::imports::{ImportFailure, LeasedChunk};
use oltp::{Context, OltpError};
use runtime::Problem;
use runtime::auth::forbidden;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is looked for imports; one that just came wakes the worker.
const LOOK: Duration = Duration::from_secs(1);
/// How long the worker waits when the store is away.
const AWAY: Duration = Duration::from_secs(2);
/// How often old imports are taken away.
const FORGET: Duration = Duration::from_secs(60);
/// How many hours an import that broke off before it was whole is kept.
const RECEIVING_HOURS: u16 = 1;

/// Runs imports until told to stop.
pub(crate) async fn run(intake: Intake, stop: CancellationToken) -> Result<(), Infallible> {
    let mut forgot: Option<Instant> = None;
    while !stop.is_cancelled() {
        let wait = match step(&intake).await {
            Ok(true) => continue,
            Ok(false) => LOOK,
            Err(error) => {
                intake.meter.failed(metrics::IMPORT, error.code());
                AWAY
            }
        };
        if forgot.is_none_or(|last| last.elapsed() >= FORGET) {
            forgot = Some(Instant::now());
            // What cannot be taken away now goes a minute later.
            drop(intake.oltp.forget_imports(intake.config.imports.keep_days, RECEIVING_HOURS).await);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
            () = intake.imported.notified(), if wait == LOOK => {}
        }
    }
    Ok(())
}

/// Runs the next chunk; false when there is none.
async fn step(intake: &Intake) -> Result<bool, OltpError> {
    let lease = Duration::from_secs(intake.config.imports.lease_s);
    let Some(chunk) = intake.oltp.lease_import(lease).await? else { return Ok(false) };
    let ran = work(intake, &chunk).await;
    if ran.is_err() {
        // If that does not work either, the lease ends by itself.
        drop(intake.oltp.release_import(&chunk).await);
    }
    ran.map(|()| true)
}

async fn work(intake: &Intake, chunk: &LeasedChunk) -> Result<(), OltpError> {
    let (mut commands, mut lines, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (text, number) in chunk.body.split(|byte| *byte == b'\n').zip(chunk.first_line..) {
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match read(intake, text) {
            Ok(asked) => {
                let key = asked.key.unwrap_or_else(|| format!("{}/{number}", chunk.import));
                commands.push((Context { idempotency_key: Some(key), ..chunk.context.clone() }, asked.command));
                lines.push(number);
            }
            Err(problem) => failures.push(failure(number, problem)),
        }
    }
    let mut position = None;
    if !commands.is_empty() {
        let (outcomes, at) = intake.oltp.run_batch(commands).await?;
        if let Some(Err(error)) = outcomes.iter().find(|outcome| outcome.as_ref().is_err_and(OltpError::retry)) {
            return Err(error.clone());
        }
        position = outcomes.iter().any(Result::is_ok).then_some(at);
        for (number, outcome) in lines.iter().zip(outcomes) {
            if let Err(error) = outcome {
                failures.push(failure(*number, error::of_store(&error, "/body")));
            }
        }
    }
    failures.sort_by_key(|failure| failure.line);
    if intake.oltp.settle_chunk(chunk, &failures, position.as_ref()).await? {
        intake.meter.handled(metrics::IMPORTED, lines.len() as u64);
    }
    Ok(())
}

fn read(intake: &Intake, text: &[u8]) -> Result<line::Asked, Problem> {
    if text == TOO_LONG {
        let detail = format!("the line is longer than {} bytes", intake.config.line_bytes_max);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "access.line_too_long", detail));
    }
    if let Some(scope) = text.strip_prefix(FORBIDDEN) {
        return Err(forbidden(&String::from_utf8_lossy(scope)));
    }
    line::read(text)
}

fn failure(line: u64, problem: Problem) -> ImportFailure {
    let Problem { status, code, pointer, detail, .. } = problem;
    ImportFailure { line, status, code, pointer, detail }
}
