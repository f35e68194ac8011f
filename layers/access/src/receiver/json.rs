//! The receiver of plain JSON: whoever knows the key can deliver.

use super::mapped::Reading;
use super::{Arrival, Kept, MapFault, Mapped, Raw, Receiver, Rejection, Secrets, secret};
use axum::http::header;
use contract::program::Limits;
use contract::sources::{DeliveryId, SourceContract};
use std::sync::Arc;

/// Fewest bytes of a key: one that is shorter can be guessed.
const KEY_BYTES_MIN: usize = 16;

struct Json {
    reading: Reading,
    secrets: Secrets,
}

pub(super) fn make(contract: SourceContract, mut secrets: Secrets, limits: Limits) -> Arc<dyn Receiver> {
    for (account, keys) in &mut secrets {
        let all = keys.len();
        keys.retain(|key| key.len() >= KEY_BYTES_MIN);
        if keys.len() < all {
            tracing::warn!(target: "access", source = contract.name, account, "a key has fewer than {KEY_BYTES_MIN} bytes, and is not used");
        }
    }
    Arc::new(Json { reading: Reading::new(contract, limits), secrets })
}

impl Receiver for Json {
    fn contract(&self) -> &SourceContract {
        &self.reading.contract
    }

    fn verify(&self, raw: &Raw<'_>) -> Result<Arrival, Rejection> {
        let secrets = self.secrets.get(raw.account).filter(|secrets| !secrets.is_empty()).ok_or(Rejection::Closed)?;
        let contract = &self.reading.contract;
        let key = match &contract.secret_header {
            Some(name) => raw.headers.get(name.as_str()).map(|value| value.as_bytes()),
            None => raw.headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")),
        };
        if !secret::is_one_of(secrets, key.unwrap_or_default()) {
            return Err(Rejection::NotTheirs("the key is missing or not the one of this account"));
        }
        let id = match &contract.delivery_id {
            DeliveryId::Header(name) => raw.headers.get(name.as_str()).and_then(|value| value.to_str().ok()),
            DeliveryId::Body(_) | DeliveryId::Digest => None,
        };
        Ok(self.reading.arrival(raw, id))
    }

    fn map(&self, delivery: &Kept<'_>) -> Result<Mapped, MapFault> {
        self.reading.map(delivery)
    }
}
