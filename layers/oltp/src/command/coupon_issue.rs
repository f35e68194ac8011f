//! Issued codes: made in batches, given to members, made void.

use super::{Asked, Written, write};
use crate::check::{CODE_MAX, Checked, count, far, text};
use crate::coupon_code;
use crate::error::OltpError;
use model::{Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// Statuses of codes.
pub(crate) const COUPON_STATUSES: &[&str] = &["issued", "reserved", "redeemed", "expired", "void"];
/// Most codes that one command generates.
const GENERATED_MAX: usize = 100_000;
/// Most codes or members that one command lists.
const LISTED_MAX: usize = 10_000;
const PREFIX_MAX: usize = 16;

/// Codes that are issued: a number of new ones, one for each of some members, or codes that you bring along. Without members they are
/// for whoever has them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueCoupons {
    /// Code of the definition, which must exist.
    #[schema(example = "spring")]
    pub definition_code: String,
    /// How many new codes: 1 to 100,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Your numbers of members: up to 10,000, each gets a new code that nobody else can use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Codes that you bring along: up to 10,000, each of up to 64 characters. Public codes are always brought along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// What new codes begin with: up to 16 letters or digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// When they expire; the definition's `validity_days` may let them expire before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub expires_at: Option<Timestamp>,
}

/// A code that is given to a member, who alone can use it from then on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignCoupon {
    /// The code.
    pub code: String,
    /// Your number of the member.
    pub member_no: String,
}

/// A code, or all unused ones of a batch, that can be used no more.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidCoupons {
    /// The code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<Uuid>,
}

impl IssueCoupons {
    /// How many new codes it asks for.
    fn generated(&self) -> usize {
        self.count.map_or(self.members.len(), |count| count as usize)
    }

    fn check_codes(&self) -> Checked {
        count("/codes", self.codes.len(), 0, LISTED_MAX)?;
        let mut seen = HashSet::with_capacity(self.codes.len());
        for (i, code) in self.codes.iter().enumerate() {
            coupon_code::check(&format!("/codes/{i}"), code)?;
            if !seen.insert(coupon_code::key(code)) {
                let detail = "this code comes twice; case, blanks, hyphens and look-alikes do not tell codes apart";
                return Err(OltpError::invalid("oltp.duplicate_code", format!("/codes/{i}"), detail));
            }
        }
        Ok(())
    }
}

impl Asked for IssueCoupons {
    const NOUN: &'static str = "coupon_issue";
    const PATH: &'static str = "coupons/issue";
    const ABOUT: &'static str = "Issue a batch of codes";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"definition_code": "spring", "codes": ["SPRING10"]})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/definition_code", &self.definition_code, CODE_MAX)?;
        let ways = [self.count.is_some(), !self.members.is_empty(), !self.codes.is_empty()];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Err(OltpError::invalid("oltp.missing", "/count", "one of count, members and codes"));
        }
        self.count.map_or(Ok(()), |number| count("/count", number as usize, 1, GENERATED_MAX))?;
        count("/members", self.members.len(), 0, LISTED_MAX)?;
        for (i, member) in self.members.iter().enumerate() {
            text(&format!("/members/{i}"), member, CODE_MAX)?;
        }
        self.check_codes()?;
        if let Some(prefix) = &self.prefix {
            let plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !plain || !(1..=PREFIX_MAX).contains(&prefix.len()) || !self.codes.is_empty() {
                let detail = format!("new codes may begin with 1 to {PREFIX_MAX} ASCII letters or digits");
                return Err(OltpError::invalid("oltp.invalid_text", "/prefix", detail));
            }
        }
        far("/expires_at", self.expires_at)
    }

    fn unique(&self) -> String {
        self.definition_code.clone()
    }

    fn lines(&self) -> usize {
        self.generated().max(self.codes.len())
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        let given = !self.codes.is_empty();
        let made = if given { Vec::new() } else { coupon_code::generate(self.prefix.as_deref(), self.generated())? };
        let codes = if given { &self.codes } else { &made };
        write(&IssueBody {
            definition_code: &self.definition_code,
            codes,
            keys: codes.iter().map(|code| coupon_code::key(code)).collect(),
            members: &self.members,
            given,
            expires_at: self.expires_at,
        })
    }
}

#[derive(Serialize)]
struct IssueBody<'a> {
    definition_code: &'a str,
    codes: &'a [String],
    keys: Vec<String>,
    members: &'a [String],
    given: bool,
    expires_at: Option<Timestamp>,
}

impl Asked for AssignCoupon {
    const NOUN: &'static str = "coupon_assign";
    const PATH: &'static str = "coupons/assign";
    const ABOUT: &'static str = "Give a code to a member";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"code": "SPRING-7K3M9QWERTY0BCDF2", "member_no": "household-1"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        coupon_code::check("/code", &self.code)?;
        text("/member_no", &self.member_no, CODE_MAX)
    }

    fn unique(&self) -> String {
        coupon_code::key(&self.code)
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        write(&json!({"key": coupon_code::key(&self.code), "member_no": self.member_no}))
    }
}

impl Asked for VoidCoupons {
    const NOUN: &'static str = "coupon_void";
    const PATH: &'static str = "coupons/void";
    const ABOUT: &'static str = "Make a code or a batch void";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"code": "SPRING10"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        if self.code.is_some() == self.batch_id.is_some() {
            return Err(OltpError::invalid("oltp.missing", "/code", "either a code or a batch"));
        }
        self.code.as_ref().map_or(Ok(()), |code| coupon_code::check("/code", code))
    }

    fn unique(&self) -> String {
        let batch = || self.batch_id.map(|id| id.to_string());
        self.code.as_ref().map(|code| coupon_code::key(code)).or_else(batch).unwrap_or_default()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        write(&json!({"key": self.code.as_ref().map(|code| coupon_code::key(code)), "batch_id": self.batch_id}))
    }
}
