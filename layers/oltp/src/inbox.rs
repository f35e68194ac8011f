//! The raw inbox: deliveries of sources, kept as they came until their commands are committed.

use crate::command::Context;
use crate::error::OltpError;
use crate::pool::{Oltp, Parameters};
use crate::{check, statement};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Most deliveries on a page, and most that one request replays.
pub const DELIVERIES_MAX: u32 = 500;
/// Most deliveries that one request replays.
pub const REPLAYS_MAX: u32 = 10_000;

/// A delivery to keep. What names it is cut to what the store takes by whoever makes it.
#[derive(Clone, Copy, Debug)]
pub struct NewDelivery<'a> {
    /// Name of the source, 1 to 64 characters.
    pub source: &'a str,
    /// Its account, 1 to 64 characters.
    pub account: &'a str,
    /// The source's own id of the delivery, 1 to 256 characters.
    pub delivery_id: &'a str,
    /// What it says it is, 1 to 128 characters.
    pub kind: Option<&'a str>,
    /// What it is about, at most 256 characters; empty where there is no order to keep.
    pub entity_key: &'a str,
    /// Headers to keep.
    pub headers: &'a Map<String, Value>,
    /// The body as it came.
    pub payload: &'a [u8],
}

/// The receipt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Our id of it.
    pub id: Uuid,
    /// When it came first.
    pub received_at: Timestamp,
    /// Whether it had come before.
    pub repeated: bool,
}

/// A delivery leased to whoever asked, to be run.
#[derive(Clone, Debug)]
pub struct LeasedDelivery {
    /// Our id of it.
    pub id: Uuid,
    /// The lease.
    pub lease: Uuid,
    /// Name of the source.
    pub source: String,
    /// Its account.
    pub account: String,
    /// The source's own id.
    pub delivery_id: String,
    /// What it says it is.
    pub kind: Option<String>,
    /// Headers that were kept.
    pub headers: Value,
    /// The body; the corrected one, where there is one.
    pub payload: Vec<u8>,
    /// How often its commands were asked for as new ones.
    pub revision: i32,
    /// Number of this run, from 1.
    pub attempts: i32,
    /// When it came.
    pub received_at: Timestamp,
    /// Since when it is tried.
    pub retry_since: Timestamp,
}

/// What went wrong with a delivery, without personal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFault {
    /// Stable code.
    pub code: String,
    /// In words.
    pub reason: String,
    /// Which of its commands, from 1; none when it is about the whole.
    pub line: Option<u32>,
    /// Where in the command, as a JSON pointer.
    pub pointer: Option<String>,
}

/// A delivery that was run.
#[derive(Clone, Debug)]
pub struct RunDelivery {
    /// Our id of it.
    pub id: Uuid,
    /// The lease that it was run under.
    pub lease: Uuid,
    /// What it says it is, at most 128 characters.
    pub kind: Option<String>,
    /// How many commands were made of it.
    pub lines: usize,
    /// What became of it.
    pub settled: Settled,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All its commands are committed.
    Done,
    /// It is to be run again after a while.
    Retry(Duration, DeliveryFault),
    /// It is given up.
    Dead(DeliveryFault),
}

/// Which deliveries a list shows, or a replay takes. Absent fields do not narrow it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryFilter {
    /// received, retry, done or dead.
    pub status: Option<String>,
    /// Name of the source.
    pub source: Option<String>,
    /// Its account.
    pub account: Option<String>,
    /// What they say they are.
    pub kind: Option<String>,
    /// Code of the last fault.
    pub code: Option<String>,
    /// The source's own id.
    pub delivery_id: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
}

/// A delivery whole.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What lists show of it.
    pub facts: Value,
    /// Headers that were kept.
    pub headers: Value,
    /// The body as it came; none once it was taken away.
    pub payload: Option<Vec<u8>>,
    /// The body that an operator put in place of it.
    pub corrected: Option<Vec<u8>>,
}

/// What a replay did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Replayed {
    /// The delivery's status before.
    pub status: String,
    /// Whether it is run again.
    pub replayed: bool,
    /// Why not: payload_gone, running or waiting.
    pub why: Option<String>,
}

/// How the inbox stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxStanding {
    /// To be run.
    pub received: u64,
    /// To be run again.
    pub retry: u64,
    /// Given up.
    pub dead: u64,
    /// Age of the oldest that is neither done nor given up, in seconds.
    pub oldest_s: u64,
}

/// Where a list that is newest first goes on.
pub(crate) fn parse_cursor(text: &str) -> Result<Uuid, OltpError> {
    Uuid::parse_str(text)
        .map_err(|_| OltpError::invalid("oltp.invalid_cursor", "", "pass on the `next` of the page before, unchanged"))
}

/// A page of rows of an id and a record; one more than its size tells that there is a next one.
pub(crate) fn page(rows: &[tokio_postgres::Row], size: usize) -> crate::Page {
    let shown = &rows[..rows.len().min(size)];
    let last: Option<Uuid> = shown.last().map(|row| row.get(0));
    let next = last.filter(|_| rows.len() > size).map(|id| id.simple().to_string());
    crate::Page { items: shown.iter().map(|row| row.get(1)).collect(), next }
}

fn filter_of(filter: &DeliveryFilter) -> Result<Map<String, Value>, OltpError> {
    const STATUSES: [&str; 4] = ["received", "retry", "done", "dead"];
    let wrong = |detail: &str| OltpError::invalid("oltp.invalid_filter", "", detail);
    if filter.status.as_ref().is_some_and(|status| !STATUSES.contains(&status.as_str())) {
        return Err(wrong(&format!("the status is one of {}", STATUSES.join(", "))));
    }
    let texts = [&filter.source, &filter.account, &filter.kind, &filter.code, &filter.delivery_id];
    if texts.into_iter().flatten().any(|text| text.len() > 512 || text.contains('\0')) {
        return Err(wrong("a filter has at most 512 bytes and no NUL"));
    }
    match serde_json::to_value(filter) {
        Ok(Value::Object(fields)) => Ok(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        _ => Err(OltpError::Internal("a filter cannot be written as JSON".to_owned())),
    }
}

fn who(context: &Context) -> Map<String, Value> {
    let Context { actor, reason, request_id, .. } = context;
    Map::from_iter([
        ("actor".to_owned(), json!(actor)),
        ("reason".to_owned(), json!(reason)),
        ("request".to_owned(), json!(request_id)),
    ])
}

impl Oltp {
    /// Keeps a delivery; it is committed before this returns. A delivery id that came before gets the first receipt.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the store cannot take it now.
    pub async fn receive_delivery(&self, new: &NewDelivery<'_>) -> Result<Receipt, OltpError> {
        let request = json!({
            "id": Uuid::now_v7(),
            "source": new.source,
            "account": new.account,
            "delivery_id": new.delivery_id,
            "kind": new.kind,
            "entity_key": new.entity_key,
            "headers": new.headers,
        });
        self.ask(statement::RECEIVE_DELIVERY, &[&request, &new.payload]).await
    }

    /// Deliveries that are due, leased for so long, in their order of arrival. Deliveries of one key never run at the same time
    /// and never out of order, but that one which is tried again after a fault holds nobody up.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn lease_deliveries(&self, limit: u32, time: Duration) -> Result<Vec<LeasedDelivery>, OltpError> {
        let lease = Uuid::now_v7();
        let request = json!({ "lease": lease, "seconds": time.as_secs(), "limit": limit });
        let rows = self.query(statement::LEASE_DELIVERIES, &[&request]).await?;
        let leased = rows.iter().map(|row| LeasedDelivery {
            id: row.get("inbox_id"),
            lease,
            source: row.get("source"),
            account: row.get("account"),
            delivery_id: row.get("delivery_id"),
            kind: row.get("kind"),
            headers: row.get("headers"),
            payload: row.get("payload"),
            revision: row.get("revision"),
            attempts: row.get("attempts"),
            received_at: row.get("received_at"),
            retry_since: row.get("retry_since"),
        });
        Ok(leased.collect())
    }

    /// Says what became of leased deliveries. Whoever lost a lease meanwhile says nothing by it.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn settle_deliveries(&self, run: &[RunDelivery]) -> Result<(), OltpError> {
        let told: Vec<Value> = run
            .iter()
            .map(|RunDelivery { id, lease, kind, lines, settled }| {
                let (status, wait, fault) = match settled {
                    Settled::Done => ("done", None, None),
                    Settled::Retry(wait, fault) => ("retry", Some(wait.as_millis() as u64), Some(fault)),
                    Settled::Dead(fault) => ("dead", None, Some(fault)),
                };
                json!({
                    "id": id, "lease": lease, "status": status, "kind": kind, "wait_ms": wait, "lines": lines,
                    "code": fault.map(|fault| &fault.code), "reason": fault.map(|fault| &fault.reason),
                    "line": fault.and_then(|fault| fault.line), "pointer": fault.and_then(|fault| fault.pointer.as_ref()),
                })
            })
            .collect();
        self.query(statement::SETTLE_DELIVERIES, &[&Value::Array(told)]).await.map(drop)
    }

    /// Gives leased deliveries back unrun, for some time.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn release_deliveries(&self, lease: Uuid, wait: Duration) -> Result<(), OltpError> {
        let seconds = i32::try_from(wait.as_secs()).unwrap_or(i32::MAX);
        self.query(statement::RELEASE_DELIVERIES, &[&lease, &seconds]).await.map(drop)
    }

    /// A page of deliveries, newest first, without headers and payloads. `limit` is held between 1 and [`DELIVERIES_MAX`].
    ///
    /// # Errors
    /// [`OltpError::Invalid`] when the cursor is none of ours or the filter cannot be; [`OltpError::Unavailable`].
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<crate::Page, OltpError> {
        let before = cursor.map(parse_cursor).transpose()?;
        let size = limit.clamp(1, DELIVERIES_MAX);
        let mut request = filter_of(filter)?;
        request.insert("limit".to_owned(), json!(size + 1));
        if let Some(before) = before {
            request.insert("before".to_owned(), json!(before));
        }
        let rows = self.query(statement::LIST_DELIVERIES, &[&Value::Object(request)]).await?;
        Ok(page(&rows, size as usize))
    }

    /// One delivery whole.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>, OltpError> {
        let rows = self.query(statement::GET_DELIVERY, &[&id]).await?;
        Ok(rows.first().map(|row| Delivery {
            facts: row.get("facts"),
            headers: row.get("headers"),
            payload: row.get("payload"),
            corrected: row.get("corrected"),
        }))
    }

    /// Has a delivery run again, with another body where one is given. Commands that were done are not done again, unless they
    /// are asked for `anew`. None when there is no such delivery.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] for a context that cannot be; [`OltpError::Unavailable`].
    pub async fn replay_delivery(
        &self,
        context: &Context,
        id: Uuid,
        correction: Option<&[u8]>,
        anew: bool,
    ) -> Result<Option<Replayed>, OltpError> {
        check::context(context)?;
        let mut request = who(context);
        request.insert("id".to_owned(), json!(id));
        request.insert("anew".to_owned(), json!(anew));
        self.ask(statement::REPLAY_DELIVERY, &[&Value::Object(request), &correction]).await
    }

    /// Has the newest deliveries of a filter that are done or dead run again, at most `limit` (up to [`REPLAYS_MAX`]); gives their
    /// number.
    ///
    /// # Errors
    /// As [`Oltp::replay_delivery`], and [`OltpError::Invalid`] for a filter that cannot be.
    pub async fn replay_deliveries(
        &self,
        context: &Context,
        filter: &DeliveryFilter,
        limit: u32,
        anew: bool,
    ) -> Result<u64, OltpError> {
        check::context(context)?;
        let mut request = filter_of(filter)?;
        request.extend(who(context));
        request.insert("limit".to_owned(), json!(limit.clamp(1, REPLAYS_MAX)));
        request.insert("anew".to_owned(), json!(anew));
        self.ask(statement::REPLAY_DELIVERIES, &[&Value::Object(request)]).await
    }

    /// Takes away payloads of what has been done for so many days, and receipts after so many more. Gives how many rows it took.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn forget_deliveries(&self, payload_days: u16, receipt_days: u16, most: u32) -> Result<u64, OltpError> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let days = [payload_days, receipt_days.max(payload_days)].map(i32::from);
        let gone: Value = self.ask(statement::FORGET_DELIVERIES, &[&days[0], &days[1], &most]).await?;
        Ok(gone["emptied"].as_u64().unwrap_or(0) + gone["gone"].as_u64().unwrap_or(0))
    }

    /// How the inbox stands.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn inbox_standing(&self) -> Result<InboxStanding, OltpError> {
        self.ask(statement::INBOX_STANDING, &[]).await
    }

    /// Asks a function of the store and reads its one answer.
    pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<T, OltpError> {
        let rows = self.query(sql, parameters).await?;
        let answer: Option<Value> = rows.first().and_then(|row| row.get(0));
        serde_json::from_value(answer.unwrap_or(Value::Null))
            .map_err(|error| OltpError::Internal(format!("the store gave an answer of another shape: {error}")))
    }
}
