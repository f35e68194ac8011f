//! Imports: many lines taken at once, kept in the store, and run one after the other. Their lines wait in the database and not in
//! a file: it is the one place that every replica sees, that is backed up, and whose COMMIT is what "accepted" means here.

use crate::command::Context;
use crate::error::OltpError;
use crate::inbox::{page, parse_cursor};
use crate::pool::Oltp;
use crate::{Page, check, statement};
use model::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// How long an import that is being received may stand still before its key is free for another try: a request takes no longer.
const PATIENCE_S: u64 = 90;

/// An import that is being received, or the one that came before with the same idempotency key.
#[derive(Clone, Debug, Deserialize)]
pub struct Opened {
    /// Its id.
    pub id: Uuid,
    /// Whether it is new.
    pub opened: bool,
    /// Its status.
    pub status: String,
    /// SHA-256 of what was sent, in hex, once that is whole.
    pub body_hash: Option<String>,
}

/// Lines of an import to keep.
#[derive(Clone, Copy, Debug)]
pub struct NewChunk<'a> {
    /// Place in the import, from 0.
    pub chunk_no: i32,
    /// Number of the first line, from 1.
    pub first_line: u64,
    /// How many lines hold something; at least one.
    pub lines: u32,
    /// The lines, each with its line feed.
    pub body: &'a [u8],
}

/// A chunk leased to whoever asked, to be run.
#[derive(Clone, Debug)]
pub struct LeasedChunk {
    /// The import.
    pub import: Uuid,
    /// The lease on it.
    pub lease: Uuid,
    /// In whose name its lines are run.
    pub context: Context,
    /// Place in the import.
    pub chunk_no: i32,
    /// Number of the first line.
    pub first_line: u64,
    /// The lines.
    pub body: Vec<u8>,
}

/// A line of which nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportFailure {
    /// Number of the line, from 1.
    pub line: u64,
    /// The HTTP status that it would have had by itself.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// Where in the line, as a JSON pointer.
    pub pointer: Option<String>,
    /// In words without personal values.
    pub detail: String,
}

impl Oltp {
    /// Opens an import. One of the same caller with the same idempotency key is answered instead, if there is one.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] for a context that cannot be; [`OltpError::Unavailable`] when the server does not answer.
    pub async fn open_import(&self, context: &Context) -> Result<Opened, OltpError> {
        check::context(context)?;
        let Context { actor, reason, request_id, idempotency_key, .. } = context;
        let request = json!({
            "id": Uuid::now_v7(), "actor": actor, "reason": reason, "request": request_id, "key": idempotency_key,
            "patience_s": PATIENCE_S,
        });
        self.ask(statement::OPEN_IMPORT, &[&request]).await
    }

    /// Keeps lines of an import that is being received.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn add_import_chunk(&self, import: Uuid, chunk: NewChunk<'_>) -> Result<(), OltpError> {
        let NewChunk { chunk_no, first_line, lines, body } = chunk;
        let request = json!({ "id": import, "chunk_no": chunk_no, "first_line": first_line, "lines": lines });
        self.query(statement::ADD_IMPORT_CHUNK, &[&request, &body]).await.map(drop)
    }

    /// All lines of an import are here: from now on it is run. Says whether there is such an import.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn close_import(&self, import: Uuid, lines: u64, bytes: u64, hash: &str) -> Result<bool, OltpError> {
        let request = json!({ "id": import, "lines": lines, "bytes": bytes, "hash": hash });
        self.ask(statement::CLOSE_IMPORT, &[&request]).await
    }

    /// Takes away an import that broke off before it was whole.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn drop_import(&self, import: Uuid) -> Result<(), OltpError> {
        self.query(statement::DROP_IMPORT, &[&import]).await.map(drop)
    }

    /// The next chunk of the import that has waited longest, leased for so long; its lines are run under the keys
    /// `<import>/<line>`. None when there is nothing to run.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn lease_import(&self, time: Duration) -> Result<Option<LeasedChunk>, OltpError> {
        let lease = Uuid::now_v7();
        let rows =
            self.query(statement::LEASE_IMPORT, &[&json!({ "lease": lease, "seconds": time.as_secs() })]).await?;
        Ok(rows.first().map(|row| {
            let request_id: Option<String> = row.get("request_id");
            LeasedChunk {
                import: row.get("import_id"),
                lease,
                context: Context {
                    actor: row.get("actor"),
                    reason: row.get("reason"),
                    request_id: request_id.unwrap_or_default(),
                    idempotency_key: None,
                    if_version: None,
                },
                chunk_no: row.get("chunk_no"),
                first_line: row.get::<_, i64>("first_line").unsigned_abs(),
                body: row.get("body"),
            }
        }))
    }

    /// Says what became of a leased chunk: all its lines are committed but those that failed. Said twice, it counts once.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn settle_chunk(
        &self,
        chunk: &LeasedChunk,
        failures: &[ImportFailure],
        position: Option<&Position>,
    ) -> Result<bool, OltpError> {
        let request = json!({
            "id": chunk.import, "chunk_no": chunk.chunk_no, "failures": failures,
            "position": position.map(ToString::to_string),
        });
        self.ask(statement::SETTLE_CHUNK, &[&request]).await
    }

    /// Gives a leased import back: its lines could not be run now.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn release_import(&self, chunk: &LeasedChunk) -> Result<(), OltpError> {
        self.query(statement::RELEASE_IMPORT, &[&chunk.import, &chunk.lease]).await.map(drop)
    }

    /// Cancels an import: no further line is begun. `of` narrows it to the imports of one caller. Gives its status before; none
    /// when there is no such import.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] for a context that cannot be; [`OltpError::Unavailable`] when the server does not answer.
    pub async fn cancel_import(
        &self,
        context: &Context,
        import: Uuid,
        of: Option<&str>,
    ) -> Result<Option<String>, OltpError> {
        check::context(context)?;
        let Context { actor, reason, request_id, .. } = context;
        let request = json!({ "id": import, "of": of, "actor": actor, "reason": reason, "request": request_id });
        self.ask(statement::CANCEL_IMPORT, &[&request]).await
    }

    /// Takes away imports that ended so many days ago, and those that broke off so many hours ago before they were whole.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn forget_imports(&self, days: u16, receiving_hours: u16) -> Result<(), OltpError> {
        let [days, hours] = [days, receiving_hours].map(i32::from);
        self.query(statement::FORGET_IMPORTS, &[&days, &hours]).await.map(drop)
    }

    /// How an import stands. `of` narrows it to the imports of one caller.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn import(&self, import: Uuid, of: Option<&str>) -> Result<Option<Value>, OltpError> {
        let rows = self.query(statement::GET_IMPORT, &[&import, &of]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// A page of imports, newest first; of one caller, where `of` names it. `limit` is held between 1 and 500.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] when the cursor is none of ours; [`OltpError::Unavailable`].
    pub async fn list_imports(&self, of: Option<&str>, cursor: Option<&str>, limit: u32) -> Result<Page, OltpError> {
        let before = cursor.map(parse_cursor).transpose()?.unwrap_or(Uuid::max());
        let size = limit.clamp(1, crate::read::PAGE_MAX);
        let fetch = i32::try_from(size + 1).unwrap_or(i32::MAX);
        let rows = self.query(statement::LIST_IMPORTS, &[&of, &before, &fetch]).await?;
        Ok(page(&rows, size as usize))
    }

    /// Failures of an import behind a line, in the order of the lines, at most so many.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn import_failures(&self, import: Uuid, after: u64, limit: u32) -> Result<Vec<ImportFailure>, OltpError> {
        let (after, limit) = (i64::try_from(after).unwrap_or(i64::MAX), i32::try_from(limit).unwrap_or(i32::MAX));
        let rows = self.query(statement::IMPORT_FAILURES, &[&import, &after, &limit]).await?;
        let failure = |row: &tokio_postgres::Row| ImportFailure {
            line: row.get::<_, i64>("line").unsigned_abs(),
            status: row.get::<_, i16>("status").unsigned_abs(),
            code: row.get("code"),
            pointer: row.get("pointer"),
            detail: row.get("detail"),
        };
        Ok(rows.iter().map(failure).collect())
    }
}
