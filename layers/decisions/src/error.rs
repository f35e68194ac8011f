//! What can go wrong in decisions, whether to try again, and what to do.

use bus::BusError;
use oltp::OltpError;

/// A failure of the layer. Texts hold no personal data and no secret.
#[derive(Debug, thiserror::Error)]
pub enum DecisionsError {
    /// A value of the configuration is wrong.
    #[error("decisions.{key}: {reason}. Mend the key in storewide.toml or in the environment (STOREWIDE_DECISIONS__…)")]
    Config {
        /// The key within the section.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The bus did not do what it was asked.
    #[error("decisions: {0}")]
    Bus(#[from] BusError),
    /// The store did not do what it was asked.
    #[error("decisions: {0}")]
    Store(#[from] OltpError),
    /// The HTTP client cannot be built.
    #[error("decisions: the HTTP client cannot be built: {0}")]
    Client(String),
}

impl DecisionsError {
    pub(crate) fn config(key: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { key, reason: reason.into() }
    }

    /// Whether the same may work later without anybody doing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Bus(error) => error.is_retryable(),
            Self::Store(error) => error.retry(),
            Self::Config { .. } | Self::Client(_) => false,
        }
    }
}
