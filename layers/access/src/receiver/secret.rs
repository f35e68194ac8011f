//! Secrets of sources: where they are, and whether a text is one of them.

use contract::sources::SecretPlace;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Largest file of a secret.
const FILE_BYTES_MAX: u64 = 4_096;

/// What lies at the place of a secret.
///
/// # Errors
/// When there is nothing; the reason holds no secret.
pub fn resolve(place: &SecretPlace) -> Result<String, String> {
    let secret = match place {
        SecretPlace::Environment(name) => std::env::var(name).map_err(|_| "it is not set".to_owned())?,
        SecretPlace::File(path) => {
            let size = std::fs::metadata(path).map_err(|error| error.kind().to_string())?.len();
            if size > FILE_BYTES_MAX {
                return Err("it is too large for a secret".to_owned());
            }
            std::fs::read_to_string(path).map_err(|error| error.kind().to_string())?
        }
    };
    let secret = secret.trim();
    if secret.is_empty() { Err("it is empty".to_owned()) } else { Ok(secret.to_owned()) }
}

/// Whether a text is one of some secrets. Takes as long whichever it is, and however much of it is right.
pub(super) fn is_one_of(secrets: &[String], text: &[u8]) -> bool {
    let digest = Sha256::digest(text);
    let equal = secrets.iter().fold(subtle::Choice::from(0), |equal, secret| {
        equal | digest.as_slice().ct_eq(Sha256::digest(secret).as_slice())
    });
    equal.into()
}
