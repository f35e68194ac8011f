//! What can go wrong in processing.

use bus::BusError;

/// A failure that ends processing. Failures of the bus that may pass are retried inside and do not come out.
#[derive(Debug, thiserror::Error)]
pub enum ProcessingError {
    /// The bus failed for good.
    #[error("processing: {0}")]
    Bus(#[from] BusError),
    /// A stage ended without a word: it panicked, which is a bug. Start again; what was not committed is done anew.
    #[error("processing: a stage died: {0}")]
    Died(String),
    /// A value of the section `[processing]` cannot be used. Mend it and start again.
    #[error("configuration: {0}")]
    Config(String),
    /// State was written by another version of the program, which alone can read it.
    #[error(
        "processing state in `{namespace}` has layout {found}, this program writes {expected}: start the version that wrote it, \
         or go on in a new data directory and import into it again; nothing converts state in place yet"
    )]
    Layout {
        /// The namespace.
        namespace: &'static str,
        /// The layout found.
        found: u8,
        /// The layout of this program.
        expected: u8,
    },
    /// A value of the state does not read back: the disk or a foreign program changed it. Restore the data directory.
    #[error("processing state in `{namespace}` is damaged: {reason}")]
    Damaged {
        /// The namespace.
        namespace: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

impl ProcessingError {
    /// Whether the same step may succeed later without anybody doing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Bus(error) if error.is_retryable())
    }
}
