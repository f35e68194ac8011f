//! What can be wrong with a definition.

/// A bad definition or a folder that cannot be read. Nothing is applied; mend the file and start again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// A file or folder cannot be read.
    #[error("{file}: cannot be read: {reason}")]
    Read {
        /// The file or folder.
        file: String,
        /// The system's reason.
        reason: String,
    },
    /// A file holds no valid definition.
    #[error("{file}: {field}: {reason}")]
    Invalid {
        /// The file.
        file: String,
        /// The field.
        field: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

impl ContractError {
    /// A bad field of a file.
    #[must_use]
    pub fn invalid(file: &str, field: &str, reason: impl Into<String>) -> Self {
        Self::Invalid { file: file.to_owned(), field: field.to_owned(), reason: reason.into() }
    }
}
