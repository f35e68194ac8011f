//! Members that turn out to be one person, and ones that turn out not to be.

use super::Asked;
use crate::check::{CODE_MAX, Checked, text};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Merges one member into another: orders, returns, points, coupons, identities, memberships, tickets and decisions change hands, and the
/// number of the merged one leads to the other. Names and attributes stay with whom they are. It can be undone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeMembers {
    /// Your number of the member that is merged.
    #[schema(example = "household-2")]
    pub from_member_no: String,
    /// Your number of the member that stays.
    #[schema(example = "household-1")]
    pub into_member_no: String,
}

impl Asked for MergeMembers {
    const NOUN: &'static str = "member_merge";
    const PATH: &'static str = "members/merge";
    const ABOUT: &'static str = "Merge one member into another";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"from_member_no": "household-2", "into_member_no": "household-1"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/from_member_no", &self.from_member_no, CODE_MAX)?;
        text("/into_member_no", &self.into_member_no, CODE_MAX)?;
        if self.from_member_no == self.into_member_no {
            let detail = "another member than the one that is merged";
            return Err(OltpError::invalid("oltp.invalid_value", "/into_member_no", detail));
        }
        Ok(())
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.from_member_no, self.into_member_no)
    }
}

/// Undoes the merge of a member: what it brought comes back, with all that came to it since; what the other member got by itself stays there.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnmergeMember {
    /// Your number of the member that was merged.
    #[schema(example = "household-2")]
    pub member_no: String,
}

impl Asked for UnmergeMember {
    const NOUN: &'static str = "member_unmerge";
    const PATH: &'static str = "members/unmerge";
    const ABOUT: &'static str = "Undo the merge of a member";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"member_no": "household-2"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/member_no", &self.member_no, CODE_MAX)
    }

    fn unique(&self) -> String {
        self.member_no.clone()
    }
}
