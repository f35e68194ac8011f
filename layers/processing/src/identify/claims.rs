//! Rows of the store that claim a node for a member: what each says now. A delete may name nothing but its key, and a truncate not
//! even that.

use super::owners::Version;
use crate::overlay::Overlay;
use crate::{ProcessingError, codec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Namespace of member rows.
pub const MEMBERS: &str = "processing.identify.members";
/// Namespace of identity rows.
pub const IDENTITIES: &str = "processing.identify.identities";
/// Layout of an entry; raise it with every change of the struct.
const LAYOUT: u8 = 1;

/// What a row says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The version that it was last changed by.
    pub version: Version,
    /// The node that it claims, and for which member; none also when the row is gone.
    pub claim: Option<(String, Uuid)>,
}

impl Said {
    /// What is known of a row.
    pub fn load(state: &Overlay, of: &'static str, row: Uuid) -> Result<Option<Self>, ProcessingError> {
        state.get(of, row.as_bytes())?.map(|bytes| codec::decode(of, LAYOUT, &bytes)).transpose()
    }

    /// Keeps it.
    pub fn keep(&self, state: &mut Overlay, of: &'static str, row: Uuid) -> Result<(), ProcessingError> {
        let value = codec::encode(of, LAYOUT, self)?;
        state.put(of, Bytes::copy_from_slice(row.as_bytes()), Some(value));
        Ok(())
    }
}
