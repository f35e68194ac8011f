//! State values: a layout number, then the value. Bytes of another layout must fail, not read as something else.

use crate::ProcessingError;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Encodes a value.
///
/// # Errors
/// When the value cannot be encoded, which no value of ours is.
pub fn encode<T: Serialize>(namespace: &'static str, layout: u8, value: &T) -> Result<Bytes, ProcessingError> {
    let bytes = postcard::to_extend(value, vec![layout]);
    bytes.map(Bytes::from).map_err(|error| ProcessingError::Damaged { namespace, reason: error.to_string() })
}

/// How long a part of a value is when it is encoded.
///
/// # Errors
/// When the part cannot be encoded, which no part of ours is.
pub fn length<T: Serialize>(namespace: &'static str, part: &T) -> Result<usize, ProcessingError> {
    let length = postcard::experimental::serialized_size(part);
    length.map_err(|error| ProcessingError::Damaged { namespace, reason: error.to_string() })
}

/// Decodes a value.
///
/// # Errors
/// When the layout is another one or the bytes are damaged.
pub fn decode<T: DeserializeOwned>(namespace: &'static str, layout: u8, bytes: &[u8]) -> Result<T, ProcessingError> {
    match bytes.split_first() {
        Some((found, rest)) if *found == layout => postcard::from_bytes(rest)
            .map_err(|error| ProcessingError::Damaged { namespace, reason: error.to_string() }),
        Some((found, _)) => Err(ProcessingError::Layout { namespace, found: *found, expected: layout }),
        None => Err(ProcessingError::Damaged { namespace, reason: "it is empty".to_owned() }),
    }
}
