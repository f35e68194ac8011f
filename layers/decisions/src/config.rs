//! The `[decisions]` section of the configuration.

use crate::DecisionsError;
use crate::standard_webhooks::Secret;
use reqwest::Url;
use serde::{Deserialize, Serialize, Serializer};
use std::time::Duration;

/// How decisions are made and sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where actions are sent, an http or https URL. Without one, actions stay pending. It is shown without credentials and path:
    /// many receivers are known by a secret in the path.
    #[serde(serialize_with = "serialize_shown")]
    pub webhook_url: Option<String>,
    /// The secret that they are signed with, `whsec_…`; needed as soon as there is a URL. Best given by the environment
    /// (`STOREWIDE_DECISIONS__WEBHOOK_SECRET`).
    #[serde(skip_serializing)]
    pub webhook_secret: Option<String>,
    /// Longest time that one attempt may take, milliseconds, 1 to 20,000.
    pub timeout_ms: u64,
    /// Attempts before an action is given up, 1 to 50.
    pub attempts_max: u32,
    /// Wait after the first failed attempt, milliseconds; each further wait is four times as long, one hour at most, less a part
    /// that differs from action to action.
    pub backoff_ms: u64,
    /// Actions sent at a time, 1 to 256.
    pub in_flight_max: u32,
    /// How often due actions and windows that are over are looked for, milliseconds.
    pub poll_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            webhook_url: None,
            webhook_secret: None,
            timeout_ms: 5_000,
            // 2 s, 8 s, 32 s … one hour: a receiver that is down for an hour and a half still gets them.
            attempts_max: 8,
            backoff_ms: 2_000,
            in_flight_max: 16,
            poll_ms: 500,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("webhook_url", &shown(&self.webhook_url))
            .field("webhook_secret", &self.webhook_secret.as_ref().map(|_| "…"))
            .field("timeout_ms", &self.timeout_ms)
            .field("attempts_max", &self.attempts_max)
            .field("backoff_ms", &self.backoff_ms)
            .field("in_flight_max", &self.in_flight_max)
            .field("poll_ms", &self.poll_ms)
            .finish()
    }
}

/// What may be shown of a URL: where it leads, and that there is more.
fn shown(url: &Option<String>) -> Option<String> {
    let origin = |url: Url| format!("{}/…", url.origin().ascii_serialization());
    url.as_ref().map(|text| Url::parse(text).map_or_else(|_| "…".to_owned(), origin))
}

fn serialize_shown<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    shown(url).serialize(serializer)
}

/// Where actions go and how they are signed.
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) secret: Secret,
}

impl Config {
    /// Checks all values.
    ///
    /// # Errors
    /// Naming the key.
    pub fn validate(&self) -> Result<(), DecisionsError> {
        for (key, value, range) in [
            ("timeout_ms", self.timeout_ms, 1..=20_000),
            ("attempts_max", u64::from(self.attempts_max), 1..=50),
            ("backoff_ms", self.backoff_ms, 1..=3_600_000),
            ("in_flight_max", u64::from(self.in_flight_max), 1..=256),
            ("poll_ms", self.poll_ms, 1..=60_000),
        ] {
            if !range.contains(&value) {
                return Err(DecisionsError::config(
                    key,
                    format!("{value} is not within {} to {}", range.start(), range.end()),
                ));
            }
        }
        self.target().map(drop)
    }

    pub(crate) fn target(&self) -> Result<Option<Target>, DecisionsError> {
        let Some(text) = &self.webhook_url else { return Ok(None) };
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| DecisionsError::config("webhook_url", "it is no http or https URL"))?;
        let secret = self.webhook_secret.as_ref();
        let secret = secret
            .ok_or_else(|| DecisionsError::config("webhook_secret", "it is missing: actions are always signed"))?;
        let secret = secret.parse().map_err(|error| DecisionsError::config("webhook_secret", format!("{error}")))?;
        Ok(Some(Target { url, secret }))
    }

    pub(crate) const fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_url_needs_a_secret_and_both_must_be_right() {
        let with = |url: &str, secret: Option<&str>| Config {
            webhook_url: Some(url.to_owned()),
            webhook_secret: secret.map(str::to_owned),
            ..Config::default()
        };
        assert!(Config::default().validate().is_ok());
        assert!(with("https://example.com/hook", Some(SECRET)).validate().is_ok());
        for (url, secret, key) in [
            ("https://example.com", None, "webhook_secret"),
            ("https://example.com", Some("secret"), "webhook_secret"),
            ("ftp://example.com", Some(SECRET), "webhook_url"),
            ("file:///etc/passwd", Some(SECRET), "webhook_url"),
            ("example.com", Some(SECRET), "webhook_url"),
        ] {
            let error = with(url, secret).validate().unwrap_err().to_string();
            assert!(error.contains(&format!("decisions.{key}")), "{url}: {error}");
        }
        let error = Config { attempts_max: 0, ..Config::default() }.validate().unwrap_err().to_string();
        assert!(error.contains("decisions.attempts_max"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        for url in ["https://user:pass@example.com:8443/services/token?key=value#part", "user:pass@token value part"] {
            let config = Config {
                webhook_url: Some(url.to_owned()),
                webhook_secret: Some(SECRET.to_owned()),
                ..Config::default()
            };
            let error = config.validate().err().map(|error| format!("{error:?}{error}"));
            let shown = format!("{config:?}{}{error:?}", serde_json::to_string(&config).unwrap());
            for secret in ["user", "pass", "token", "value", "part", "MfKQ"] {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
            assert_eq!(
                shown.matches("https://example.com:8443/…").count(),
                if url.starts_with("https") { 2 } else { 0 }
            );
        }
    }
}
