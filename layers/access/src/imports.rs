//! Imports: a stream of lines, kept whole before it is answered, and run afterwards as a batch would run it.

mod worker;

pub(crate) use worker::run;

use crate::caller::Caller;
use crate::intake::Intake;
use crate::lines::{Line, Lines};
use crate::{body, error, line, metrics};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use oltp::OltpError;
use oltp::command::Kind;
use oltp::imports::{NewChunk, Opened};
use runtime::Problem;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use utoipa::IntoParams;
use uuid::Uuid;

/// Imports on a page.
const PAGE: u32 = 100;
/// Failures that are read at a time.
const FAILURES: u32 = 1_000;
/// What stands in a chunk for a line that is longer than allowed; no line of JSON begins so.
const TOO_LONG: &[u8] = b"\0too long";
/// What stands in a chunk for a line that its sender's key may not write, before the scope that the key lacks.
const FORBIDDEN: &[u8] = b"\0forbidden ";

/// A caller's import of its own, or anybody's for admins.
fn of(caller: &Caller) -> Option<&str> {
    (!caller.is_admin()).then_some(caller.context.actor.as_str())
}

fn id_of(path: Result<Path<String>, PathRejection>) -> Result<Uuid, Problem> {
    let Path(id) = path.map_err(|_| error::path())?;
    Uuid::parse_str(&id).map_err(|_| error::not_found("import"))
}

/// Lines on their way into the store.
struct Intaking<'a> {
    intake: &'a Intake,
    caller: &'a Caller,
    /// The import, unless what comes is only compared.
    import: Option<Uuid>,
    splitter: Lines,
    hash: Sha256,
    bytes: u64,
    /// Lines that came, and those of them that hold something.
    line: u64,
    lines: u64,
    chunk: Vec<u8>,
    chunk_no: i32,
    chunk_first: u64,
    chunk_lines: u32,
}

impl<'a> Intaking<'a> {
    fn new(intake: &'a Intake, caller: &'a Caller, import: Option<Uuid>) -> Self {
        Self {
            splitter: Lines::new(intake.config.line_bytes_max),
            intake,
            caller,
            import,
            hash: Sha256::new(),
            bytes: 0,
            line: 0,
            lines: 0,
            chunk: Vec::new(),
            chunk_no: 0,
            chunk_first: 1,
            chunk_lines: 0,
        }
    }

    /// Reads a body to its end.
    async fn read(&mut self, body: Body) -> Result<(), Problem> {
        let idle = Duration::from_millis(self.intake.config.batch_idle_ms_max);
        let mut pieces = body.into_data_stream();
        loop {
            let piece = tokio::time::timeout(idle, pieces.next()).await;
            let piece = piece.map_err(|_| error::body_slow(self.intake.config.batch_idle_ms_max))?;
            let Some(piece) = piece else { break };
            let taken = self.take(&piece.map_err(|_| error::body_broken())?).await;
            if let Err(problem) = taken {
                runtime::http::drain(Body::from_stream(pieces));
                return Err(problem);
            }
        }
        if let Some(line) = self.splitter.last() {
            self.keep(line).await?;
        }
        self.flush().await
    }

    async fn take(&mut self, piece: &Bytes) -> Result<(), Problem> {
        let (bytes_max, lines_max) = (self.intake.config.imports.bytes_max, self.intake.config.imports.lines_max);
        self.bytes += piece.len() as u64;
        if self.bytes > bytes_max {
            return Err(too_large(&format!("{bytes_max} bytes")));
        }
        self.hash.update(piece);
        self.splitter.push(piece);
        while let Some(line) = self.splitter.next() {
            self.keep(line).await?;
            if self.lines > lines_max {
                return Err(too_large(&format!("{lines_max} lines")));
            }
        }
        Ok(())
    }

    async fn keep(&mut self, line: Line) -> Result<(), Problem> {
        let text = match &line {
            Line::Whole(text) => text.as_ref(),
            Line::TooLong => TOO_LONG,
        };
        self.line += 1;
        if !text.iter().all(u8::is_ascii_whitespace) {
            self.lines += 1;
            self.chunk_lines += 1;
            // By the scopes that the key has now: when the line is run, the key may be gone.
            match line::kind(text).map(Kind::scope).filter(|scope| self.caller.may(scope).is_err()) {
                Some(scope) => self.chunk.extend([FORBIDDEN, scope.as_bytes()].concat()),
                None => self.chunk.extend_from_slice(text),
            }
        }
        self.chunk.push(b'\n');
        let config = &self.intake.config;
        let full =
            self.chunk_lines as usize >= config.chunk_lines_max.max(1) || self.chunk.len() >= config.chunk_bytes_max;
        if full { self.flush().await } else { Ok(()) }
    }

    /// Keeps the lines that came since the last time.
    async fn flush(&mut self) -> Result<(), Problem> {
        let (body, lines) = (std::mem::take(&mut self.chunk), std::mem::take(&mut self.chunk_lines));
        let first_line = std::mem::replace(&mut self.chunk_first, self.line + 1);
        let Some(import) = self.import.filter(|_| lines > 0) else { return Ok(()) };
        let chunk = NewChunk { chunk_no: self.chunk_no, first_line, lines, body: &body };
        self.intake.oltp.add_import_chunk(import, chunk).await.map_err(|error| error::of_store(&error, ""))?;
        self.chunk_no += 1;
        Ok(())
    }

    fn digest(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }
}

fn too_large(limit: &str) -> Problem {
    let detail = format!("an import has at most {limit}; send the rest in another one");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "access.body_too_large", detail)
}

/// Takes an import. It is answered once all its lines are committed, and they are run afterwards.
#[utoipa::path(post, path = "/api/v1/imports", tag = "imports", security(("key" = [])),
    request_body(content = String, content_type = "application/x-ndjson", description = "Lines as /api/v1/batch takes them"),
    responses((status = 202, description = "Kept: the import", body = Object), (status = 200, description = "It had come before with this Idempotency-Key", body = Object),
        (status = 400), (status = 401), (status = 403), (status = 408), (status = 409, description = "One with this key is being received"), (status = 413), (status = 415), (status = 422), (status = 503)))]
pub(crate) async fn post(
    State(intake): State<Intake>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    body::check(&headers, body::is_lines, "application/x-ndjson")?;
    let Ok(_room) = intake.receiving.try_acquire() else {
        intake.meter.count(metrics::SHED, 1);
        return Err(error::busy());
    };
    let store = |error: OltpError| error::of_store(&error, "");
    let Opened { id, opened, status, body_hash } = intake.oltp.open_import(&caller.context).await.map_err(store)?;
    if !opened && status == "receiving" {
        let detail = "an import with this idempotency key is being received; ask for it, or retry";
        return Err(Problem::new(StatusCode::CONFLICT, "access.import_under_way", detail).after(5));
    }
    let mut intaking = Intaking::new(&intake, &caller, opened.then_some(id));
    if let Err(problem) = intaking.read(body).await {
        if opened {
            // Nothing of a part is run. What cannot be taken away now goes by itself later.
            drop(intake.oltp.drop_import(id).await);
        }
        return Err(problem);
    }
    if !opened {
        if body_hash != Some(intaking.digest()) {
            return Err(store(OltpError::IdempotencyMismatch));
        }
        return answer(&intake, StatusCode::OK, id, true).await;
    }
    let (lines, bytes, hash) = (intaking.lines, intaking.bytes, intaking.digest());
    if !intake.oltp.close_import(id, lines, bytes, &hash).await.map_err(store)? {
        let detail = "the import stood still for too long and was given up; send it again";
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "access.body_timeout", detail));
    }
    intake.imported.notify_one();
    answer(&intake, StatusCode::ACCEPTED, id, false).await
}

async fn answer(intake: &Intake, status: StatusCode, id: Uuid, repeated: bool) -> Result<Response, Problem> {
    let import = intake.oltp.import(id, None).await.map_err(|error| error::of_store(&error, ""))?;
    let mut import = import.unwrap_or_else(|| json!({ "id": id }));
    import["repeated"] = json!(repeated);
    let place = format!("/api/v1/imports/{id}");
    Ok((status, [(header::LOCATION, place)], Json(import)).into_response())
}

/// Where a page of imports starts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ImportsQuery {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Imports on a page, 1 to 500; 100 when absent.
    limit: Option<u32>,
}

/// Imports, newest first: one's own, and all for admins.
#[utoipa::path(get, path = "/api/v1/imports", tag = "imports", params(ImportsQuery), security(("key" = [])),
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 403), (status = 422), (status = 503)))]
pub(crate) async fn list(
    State(intake): State<Intake>,
    caller: Caller,
    query: Result<Query<ImportsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| error::query("the query may say cursor and limit"))?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=oltp::read::PAGE_MAX).contains(&limit) {
        return Err(error::query(&format!("limit is between 1 and {}", oltp::read::PAGE_MAX)));
    }
    let page = intake.oltp.list_imports(of(&caller), query.cursor.as_deref(), limit).await;
    let page = page.map_err(|error| error::of_store(&error, ""))?;
    Ok(Json(json!({ "items": page.items, "next": page.next })).into_response())
}

/// How an import stands.
#[utoipa::path(get, path = "/api/v1/imports/{id}", tag = "imports", params(("id" = String, Path, description = "Its id")), security(("key" = [])),
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 403), (status = 404), (status = 503)))]
pub(crate) async fn get(
    State(intake): State<Intake>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_of(path)?;
    let import = intake.oltp.import(id, of(&caller)).await.map_err(|error| error::of_store(&error, ""))?;
    import.map(|import| Json(import).into_response()).ok_or_else(|| error::not_found("import"))
}

/// The lines of an import of which nothing was done, as lines of JSON.
#[utoipa::path(get, path = "/api/v1/imports/{id}/failures", tag = "imports", params(("id" = String, Path, description = "Its id")), security(("key" = [])),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = 400), (status = 401), (status = 403), (status = 404), (status = 503)))]
pub(crate) async fn failures(
    State(intake): State<Intake>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_of(path)?;
    let import = intake.oltp.import(id, of(&caller)).await.map_err(|error| error::of_store(&error, ""))?;
    import.ok_or_else(|| error::not_found("import"))?;
    let pages = futures_util::stream::unfold(Some((intake, 0)), move |from| async move {
        let (intake, after) = from?;
        // A body that breaks off says that it is not whole.
        let page = match intake.oltp.import_failures(id, after, FAILURES).await {
            Ok(page) => page,
            Err(error) => return Some((Err(error), None)),
        };
        let last = page.last()?.line;
        let mut text = String::new();
        for failure in page {
            text.push_str(&serde_json::to_string(&failure).unwrap_or_default());
            text.push('\n');
        }
        Some((Ok(Bytes::from(text)), Some((intake, last))))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response())
}

/// Cancels an import: no further line is begun; what is done stays.
#[utoipa::path(post, path = "/api/v1/imports/{id}/cancel", tag = "imports", params(("id" = String, Path, description = "Its id")), security(("key" = [])),
    responses((status = 202, body = Object), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409, description = "It is over, or not whole yet"), (status = 503)))]
pub(crate) async fn cancel(
    State(intake): State<Intake>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_of(path)?;
    let before = intake.oltp.cancel_import(&caller.context, id, of(&caller)).await;
    match before.map_err(|error| error::of_store(&error, ""))?.as_deref() {
        None => Err(error::not_found("import")),
        Some("queued" | "running" | "cancelling") => {
            intake.imported.notify_one();
            answer(&intake, StatusCode::ACCEPTED, id, false).await
        }
        Some(status) => {
            let detail = format!("the import is {status}: there is nothing to cancel");
            Err(Problem::new(StatusCode::CONFLICT, "access.import_over", detail))
        }
    }
}
