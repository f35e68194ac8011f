//! Receivers: how a delivery of a source is known to be theirs, and which commands are made of it. The two generic ones read
//! deliveries by the programs of their contracts; a connector for one named channel is another receiver, in a crate of its own.

mod json;
mod mapped;
mod secret;
mod standard_webhooks;

pub use secret::resolve;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;
use contract::program::Limits;
use contract::sources::{SecretPlace, SourceContract, Sources};
use model::Timestamp;
use runtime::Problem;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What came, before anything is known of it.
#[derive(Clone, Debug)]
pub struct Raw<'a> {
    /// The account in the path.
    pub account: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body, byte by byte.
    pub body: &'a Bytes,
    /// Now.
    pub at: Timestamp,
}

/// What is known of a delivery that is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The source's own id of it: a repeat has the same. 1 to 256 characters.
    pub delivery_id: String,
    /// What it says it is, where that can be told already.
    pub kind: Option<String>,
    /// What it is about; empty where there is no order to keep. At most 256 characters.
    pub entity_key: String,
}

/// A kept delivery, to be mapped.
#[derive(Clone, Debug)]
pub struct Kept<'a> {
    /// The account.
    pub account: &'a str,
    /// The source's own id.
    pub delivery_id: &'a str,
    /// Headers that were kept, names in lower case.
    pub headers: &'a Value,
    /// The body.
    pub body: &'a Bytes,
    /// When it came.
    pub received_at: Timestamp,
}

/// What a mapping gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// What the delivery says it is. At most 128 characters.
    pub kind: Option<String>,
    /// Lines as `/api/v1/batch` takes them; none where nothing is to be done.
    pub lines: Vec<String>,
}

/// Why nothing can be made of a delivery: it is dead at once. Holds no value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFault {
    /// Stable code.
    pub code: &'static str,
    /// In words.
    pub reason: String,
    /// What the delivery says it is, where that is known.
    pub kind: Option<String>,
}

/// Why a delivery is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is not known that it is of whom it says.
    #[error("{0}")]
    NotTheirs(&'static str),
    /// No secret is known for the account.
    #[error("this account has no secret yet, so that nothing can be known to be of it")]
    Closed,
}

/// A receiver of one source. Both functions may take as long as the limits of programs allow: call them where blocking is no harm.
pub trait Receiver: Send + Sync + 'static {
    /// The source, with its accounts.
    fn contract(&self) -> &SourceContract;

    /// Says whether a delivery is theirs, by its raw bytes and before anything of it is read; then which one it is.
    ///
    /// # Errors
    /// When it is not theirs, or that cannot be known.
    fn verify(&self, raw: &Raw<'_>) -> Result<Arrival, Rejection>;

    /// Makes commands of a delivery. Pure: the same delivery gives the same commands, so that a replay finds what was done.
    ///
    /// # Errors
    /// When none can be made of it.
    fn map(&self, delivery: &Kept<'_>) -> Result<Mapped, MapFault>;
}

/// Makes the receiver of a source.
type Make = fn(SourceContract, Secrets, Limits) -> Arc<dyn Receiver>;

/// The connectors of this program.
const CONNECTORS: [(&str, Make); 2] = [("standard_webhooks", standard_webhooks::make), ("json", json::make)];

/// The secrets of a source, by account; none where their places hold none.
type Secrets = BTreeMap<String, Vec<String>>;

/// A source that no receiver can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("source {source_name}: there is no connector `{connector}` in this program; there are {known}")]
pub struct UnknownConnector {
    source_name: String,
    connector: String,
    known: String,
}

/// All receivers of a deployment.
#[derive(Clone, Default)]
pub struct Receivers {
    by_source: BTreeMap<String, Arc<dyn Receiver>>,
    by_path: BTreeMap<(String, String), String>,
}

impl Receivers {
    /// Opens the sources of a deployment. `secret` finds what lies at a place ([`resolve`]); an account for which it finds none
    /// stays closed.
    ///
    /// # Errors
    /// When a source has a connector that this program does not have.
    pub fn open(
        sources: &Sources,
        limits: Limits,
        secret: &dyn Fn(&SecretPlace) -> Result<String, String>,
    ) -> Result<Self, UnknownConnector> {
        let mut receivers = Self::default();
        for source in sources.iter() {
            let make = CONNECTORS.iter().find(|(name, _)| *name == source.connector).map(|(_, make)| make);
            let make = make.ok_or_else(|| UnknownConnector {
                source_name: source.name.clone(),
                connector: source.connector.clone(),
                known: CONNECTORS.map(|(name, _)| name).join(", "),
            })?;
            let mut secrets = Secrets::new();
            for (account, places) in &source.accounts {
                let found: Vec<String> =
                    places.iter().filter_map(|place| found(source, account, place, secret)).collect();
                secrets.insert(account.clone(), found);
            }
            receivers.add(make(source.clone(), secrets, limits));
        }
        Ok(receivers)
    }

    /// Adds the receiver of a source, such as that of a named channel.
    pub fn add(&mut self, receiver: Arc<dyn Receiver>) {
        let contract = receiver.contract();
        for account in contract.accounts.keys() {
            self.by_path.insert((contract.connector.clone(), account.clone()), contract.name.clone());
        }
        self.by_source.insert(contract.name.clone(), receiver);
    }

    /// The receiver of a source.
    #[must_use]
    pub fn of(&self, source: &str) -> Option<&Arc<dyn Receiver>> {
        self.by_source.get(source)
    }

    /// The receiver behind `/hooks/{connector}/{account}`.
    #[must_use]
    pub fn at(&self, connector: &str, account: &str) -> Option<&Arc<dyn Receiver>> {
        self.by_path.get(&(connector.to_owned(), account.to_owned())).and_then(|source| self.of(source))
    }
}

fn found(
    source: &SourceContract,
    account: &str,
    place: &SecretPlace,
    secret: &dyn Fn(&SecretPlace) -> Result<String, String>,
) -> Option<String> {
    match secret(place) {
        Ok(secret) => Some(secret),
        Err(why) => {
            tracing::info!(target: "access", source = source.name, account, place = %place, why, "no secret there");
            None
        }
    }
}

/// The headers of a delivery that its contract keeps.
pub(crate) fn kept_headers(contract: &SourceContract, headers: &HeaderMap) -> Map<String, Value> {
    let kept = contract.keep_headers.iter().filter_map(|name| {
        let value = headers.get(HeaderName::try_from(name).ok()?)?.to_str().ok()?;
        (value.len() <= 1_024).then(|| (name.clone(), Value::String(value.to_owned())))
    });
    kept.collect()
}

/// A rejection as the sender sees it.
pub(crate) fn refused(rejection: Rejection) -> Problem {
    match rejection {
        Rejection::NotTheirs(why) => Problem::new(StatusCode::UNAUTHORIZED, "access.unsigned", why),
        Rejection::Closed => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "access.source_closed", rejection.to_string()).after(60)
        }
    }
}
