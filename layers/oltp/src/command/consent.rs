//! Consents of members.

use crate::check::{Checked, TEXT_MAX, WORD_MAX, count, far, one_of, optional, past};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

const CONSENTS_MAX: usize = 64;
const PURPOSES: &[&str] = &["marketing", "personalisation", "analytics", "ads_sharing"];
const CHANNELS: &[&str] = &["email", "sms", "push", "phone", "post", "ads", "web"];
const STATUSES: &[&str] = &["granted", "denied", "revoked"];
const LEGAL_BASES: &[&str] = &["consent", "contract", "legitimate_interest", "legal_obligation"];

/// Consent for one purpose on one channel.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentValue {
    /// marketing, personalisation, analytics or ads_sharing.
    #[schema(example = "marketing")]
    pub purpose: String,
    /// email, sms, push, phone, post, ads or web.
    #[schema(example = "email")]
    pub channel: String,
    /// granted, denied or revoked.
    #[schema(example = "granted")]
    pub status: String,
    /// Since when; now when absent. One that is older than the stored status stays in the history, and changes nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub status_at: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub expires_at: Option<Timestamp>,
    /// Where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the processing rests on by law: consent, contract, legitimate_interest or legal_obligation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
    /// Proof of it, such as the wording and where it was shown. Personal: kept apart, never on the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// A consent as the store takes it.
#[derive(Serialize)]
pub(crate) struct ConsentBody<'a> {
    id: Uuid,
    purpose: &'a str,
    channel: &'a str,
    status: &'a str,
    status_at: Timestamp,
    /// Whether the time came with the command: a status repeated without one is no news.
    timed: bool,
    expires_at: Option<Timestamp>,
    source: Option<&'a str>,
    legal_basis: Option<&'a str>,
    evidence: Option<&'a str>,
}

pub(crate) fn check(consents: &[ConsentValue], now: Timestamp) -> Checked {
    count("/consents", consents.len(), 0, CONSENTS_MAX)?;
    let mut seen = HashSet::new();
    for (i, consent) in consents.iter().enumerate() {
        let at = |field: &str| format!("/consents/{i}/{field}");
        one_of(&at("purpose"), Some(&consent.purpose), PURPOSES)?;
        one_of(&at("channel"), Some(&consent.channel), CHANNELS)?;
        one_of(&at("status"), Some(&consent.status), STATUSES)?;
        one_of(&at("legal_basis"), consent.legal_basis.as_deref(), LEGAL_BASES)?;
        optional(&at("source"), consent.source.as_deref(), WORD_MAX)?;
        optional(&at("evidence"), consent.evidence.as_deref(), TEXT_MAX)?;
        past(&at("status_at"), consent.status_at, now)?;
        far(&at("expires_at"), consent.expires_at)?;
        if !seen.insert((&consent.purpose, &consent.channel)) {
            let detail = "each purpose and channel comes once in a command";
            return Err(OltpError::invalid("oltp.duplicate_consent", at("channel"), detail));
        }
    }
    Ok(())
}

pub(crate) fn written(consents: &[ConsentValue], now: Timestamp) -> Vec<ConsentBody<'_>> {
    let written = consents.iter().map(|consent| ConsentBody {
        id: Uuid::now_v7(),
        purpose: &consent.purpose,
        channel: &consent.channel,
        status: &consent.status,
        status_at: consent.status_at.unwrap_or(now),
        timed: consent.status_at.is_some(),
        expires_at: consent.expires_at,
        source: consent.source.as_deref(),
        legal_basis: consent.legal_basis.as_deref(),
        evidence: consent.evidence.as_deref(),
    });
    written.collect()
}
