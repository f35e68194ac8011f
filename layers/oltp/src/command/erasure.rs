//! Erasure of what is personal.

use super::Asked;
use crate::check::{CODE_MAX, Checked, text};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Erases what is personal about a member and about all that were merged into it, for good: names, birth date, identities, attributes,
/// memberships elsewhere, proofs of consent. Orders, points and decisions stay under an id that leads to nobody. The member takes no more
/// updates.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseMember {
    /// Your number of the member.
    #[schema(example = "household-1")]
    pub member_no: String,
}

impl Asked for EraseMember {
    const NOUN: &'static str = "member_erase";
    const PATH: &'static str = "members/erase";
    const ABOUT: &'static str = "Erase what is personal about a member, for good";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"member_no": "household-1"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/member_no", &self.member_no, CODE_MAX)
    }

    fn unique(&self) -> String {
        self.member_no.clone()
    }
}
