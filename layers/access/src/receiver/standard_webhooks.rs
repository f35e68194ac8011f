//! The receiver of Standard Webhooks: whoever signs so can deliver.

use super::mapped::Reading;
use super::{Arrival, Kept, MapFault, Mapped, Raw, Receiver, Rejection, Secrets};
use contract::program::Limits;
use contract::sources::SourceContract;
use runtime::standard_webhooks::{ID, SIGNATURE, Secret, TIMESTAMP, Tolerance, verify_any};
use std::collections::BTreeMap;
use std::sync::Arc;

struct StandardWebhooks {
    reading: Reading,
    secrets: BTreeMap<String, Vec<Secret>>,
    tolerance: Tolerance,
}

pub(super) fn make(contract: SourceContract, secrets: Secrets, limits: Limits) -> Arc<dyn Receiver> {
    let tolerance =
        Tolerance { past_s: contract.tolerance.as_seconds(), ahead_s: contract.tolerance_ahead.as_seconds() };
    let mut parsed = BTreeMap::new();
    for (account, texts) in secrets {
        let secrets: Vec<Secret> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        if secrets.len() < texts.len() {
            tracing::warn!(target: "access", source = contract.name, account, "a secret is no `whsec_…` key, and is not used");
        }
        parsed.insert(account, secrets);
    }
    Arc::new(StandardWebhooks { reading: Reading::new(contract, limits), secrets: parsed, tolerance })
}

impl Receiver for StandardWebhooks {
    fn contract(&self) -> &SourceContract {
        &self.reading.contract
    }

    fn verify(&self, raw: &Raw<'_>) -> Result<Arrival, Rejection> {
        let secrets = self.secrets.get(raw.account).filter(|secrets| !secrets.is_empty()).ok_or(Rejection::Closed)?;
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (id, now) = (header(ID), raw.at.as_second());
        verify_any(secrets, id, header(TIMESTAMP), header(SIGNATURE), raw.body, now, self.tolerance).map_err(
            |why| {
                use runtime::standard_webhooks::Rejection as Why;
                Rejection::NotTheirs(match why {
                    Why::Header(_) => "webhook-id, webhook-timestamp or webhook-signature is missing or malformed",
                    Why::Time => "webhook-timestamp is too far from our time",
                    Why::Signature => "no signature matches the body as it came",
                })
            },
        )?;
        Ok(self.reading.arrival(raw, Some(id)))
    }

    fn map(&self, delivery: &Kept<'_>) -> Result<Mapped, MapFault> {
        self.reading.map(delivery)
    }
}
