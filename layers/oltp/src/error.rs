//! What can go wrong in the store, whether to try again, and what to do.

use tokio_postgres::error::{Severity, SqlState};

/// Why the store did not do what it was asked. Texts hold no personal data and no database error as it came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OltpError {
    /// The command cannot be true as it stands; mend it.
    #[error("{code}: {detail}")]
    Invalid {
        /// Stable code, such as `oltp.unknown_sku`.
        code: &'static str,
        /// JSON pointer into the command's body; empty when it is about the whole.
        pointer: String,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// The command contradicts what the store holds.
    #[error("{code}: {detail}")]
    Conflict {
        /// Stable code, such as `oltp.identity_taken`.
        code: &'static str,
        /// JSON pointer into the command's body; empty when it is about the whole.
        pointer: String,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// There is no such record.
    #[error("oltp.not_found: {0}")]
    NotFound(String),
    /// The idempotency key was used before for another command.
    #[error("oltp.idempotency_mismatch: this key came before with another body; use a new key for a new command")]
    IdempotencyMismatch,
    /// The database cannot be reached or is busy; the same command may succeed later.
    #[error(
        "oltp.unavailable: {0}; retry with the same idempotency key, or without one with the record as it is by then"
    )]
    Unavailable(String),
    /// A fault of ours.
    #[error("oltp.internal: {0}")]
    Internal(String),
}

/// The record has another version than the one asked for.
const VERSION_MISMATCH: &str = "oltp.version_mismatch";

/// Faults that the SQL functions answer, with the code that callers see. Conflicts are with other records.
const FAULTS: &[(&str, &str, bool)] = &[
    ("not_versioned", "oltp.not_versioned", false),
    ("version_mismatch", VERSION_MISMATCH, true),
    ("unknown_store", "oltp.unknown_store", false),
    ("unknown_product", "oltp.unknown_product", false),
    ("unknown_sku", "oltp.unknown_sku", false),
    ("unknown_member", "oltp.unknown_member", false),
    ("unknown_order", "oltp.unknown_order", false),
    ("unknown_campaign", "oltp.unknown_campaign", false),
    ("unknown_line", "oltp.unknown_line", false),
    ("unknown_timezone", "oltp.unknown_timezone", false),
    ("unknown_tier", "oltp.unknown_tier", false),
    ("over_return", "oltp.over_return", false),
    ("unknown_payment", "oltp.unknown_payment", false),
    ("overpaid", "oltp.overpaid", false),
    ("over_refund", "oltp.over_refund", false),
    ("below_returned", "oltp.below_returned", true),
    ("below_refunded", "oltp.below_refunded", true),
    ("identity_taken", "oltp.identity_taken", true),
    ("member_closed", "oltp.member_closed", true),
    ("not_merged", "oltp.not_merged", true),
    ("merged_since", "oltp.merged_since", true),
    ("membership_taken", "oltp.membership_taken", true),
    ("tier_rank_taken", "oltp.tier_rank_taken", true),
    ("other_order", "oltp.other_order", true),
    ("unknown_program", "oltp.unknown_program", false),
    ("unknown_reservation", "oltp.unknown_reservation", false),
    ("unknown_entry", "oltp.unknown_entry", false),
    ("too_early", "oltp.too_early", false),
    ("same_member", "oltp.same_member", false),
    ("insufficient_points", "oltp.insufficient_points", true),
    ("reservation_over", "oltp.reservation_over", true),
    ("transfer_limit", "oltp.transfer_limit", true),
    ("unknown_coupon_definition", "oltp.unknown_coupon_definition", false),
    ("unknown_redemption", "oltp.unknown_redemption", false),
    ("coupon_definition_ended", "oltp.coupon_definition_ended", true),
    ("coupon_definition_issued", "oltp.coupon_definition_issued", true),
    ("coupon_public_code", "oltp.coupon_public_code", false),
    ("coupon_code_taken", "oltp.coupon_code_taken", true),
    ("coupon_not_free", "oltp.coupon_not_free", true),
    ("coupon_unknown_code", "oltp.coupon_unknown_code", false),
    ("coupon_duplicate_code", "oltp.coupon_duplicate_code", false),
    ("coupon_void", "oltp.coupon_void", true),
    ("coupon_not_active", "oltp.coupon_not_active", true),
    ("coupon_not_yet_valid", "oltp.coupon_not_yet_valid", true),
    ("coupon_expired", "oltp.coupon_expired", true),
    ("coupon_already_redeemed", "oltp.coupon_already_redeemed", true),
    ("coupon_reserved", "oltp.coupon_reserved", true),
    ("coupon_member_required", "oltp.coupon_member_required", true),
    ("coupon_other_member", "oltp.coupon_other_member", true),
    ("coupon_wrong_tier", "oltp.coupon_wrong_tier", true),
    ("coupon_not_first_order", "oltp.coupon_not_first_order", true),
    ("coupon_wrong_store", "oltp.coupon_wrong_store", true),
    ("coupon_wrong_channel", "oltp.coupon_wrong_channel", true),
    ("coupon_wrong_currency", "oltp.coupon_wrong_currency", true),
    ("coupon_not_stackable", "oltp.coupon_not_stackable", true),
    ("coupon_stack_group_taken", "oltp.coupon_stack_group_taken", true),
    ("coupon_no_eligible_lines", "oltp.coupon_no_eligible_lines", true),
    ("coupon_below_min_quantity", "oltp.coupon_below_min_quantity", true),
    ("coupon_below_min_spend", "oltp.coupon_below_min_spend", true),
    ("coupon_discount_too_high", "oltp.coupon_discount_too_high", false),
    ("coupon_discount_not_in_order", "oltp.coupon_discount_not_in_order", false),
    ("coupon_no_discount", "oltp.coupon_no_discount", true),
    ("coupon_per_member_limit", "oltp.coupon_per_member_limit", true),
    ("coupon_global_limit", "oltp.coupon_global_limit", true),
    ("coupon_budget_spent", "oltp.coupon_budget_spent", true),
    ("unknown_brand", "oltp.unknown_brand", false),
    ("unknown_category", "oltp.unknown_category", false),
    ("category_cycle", "oltp.category_cycle", true),
    ("category_depth", "oltp.category_depth", true),
    ("gln_taken", "oltp.gln_taken", true),
    ("gtin_taken", "oltp.gtin_taken", true),
    ("not_a_bundle", "oltp.not_a_bundle", true),
    ("nested_bundle", "oltp.nested_bundle", true),
    ("other_sku", "oltp.other_sku", true),
    ("price_overlaps", "oltp.price_overlaps", true),
    ("bundle_stock", "oltp.bundle_stock", true),
    ("not_stocked", "oltp.not_stocked", true),
    ("insufficient_stock", "oltp.insufficient_stock", true),
    ("unknown_transfer", "oltp.unknown_transfer", false),
    ("transfer_exists", "oltp.transfer_exists", true),
    ("not_in_transfer", "oltp.not_in_transfer", true),
    ("over_receive", "oltp.over_receive", true),
    ("reservation_ended", "oltp.reservation_ended", true),
];

impl OltpError {
    pub(crate) fn invalid(code: &'static str, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { code, pointer: pointer.into(), detail: detail.into() }
    }

    /// The error behind a fault that a SQL function answered.
    pub(crate) fn from_fault(fault: &str, pointer: String, detail: String) -> Self {
        if fault == "idempotency_mismatch" {
            return Self::IdempotencyMismatch;
        }
        match FAULTS.iter().find(|(name, ..)| *name == fault) {
            Some((_, code, true)) => Self::Conflict { code, pointer, detail },
            Some((_, code, false)) => Self::Invalid { code, pointer, detail },
            None => Self::Internal(format!("the store answered an unknown fault `{fault}`")),
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { code, .. } | Self::Conflict { code, .. } => code,
            Self::NotFound(_) => "oltp.not_found",
            Self::IdempotencyMismatch => "oltp.idempotency_mismatch",
            Self::Unavailable(_) => "oltp.unavailable",
            Self::Internal(_) => "oltp.internal",
        }
    }

    /// The HTTP status that says the same.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { .. } | Self::IdempotencyMismatch => 422,
            Self::Conflict { code, .. } if *code == VERSION_MISMATCH => 412,
            Self::Conflict { .. } => 409,
            Self::NotFound(_) => 404,
            Self::Unavailable(_) => 503,
            Self::Internal(_) => 500,
        }
    }

    /// Where in the command's body the problem is, as a JSON pointer.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Invalid { pointer, .. } | Self::Conflict { pointer, .. } if !pointer.is_empty() => Some(pointer),
            _ => None,
        }
    }

    /// What is wrong, in words for the caller.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Invalid { detail, .. } | Self::Conflict { detail, .. } | Self::NotFound(detail) => detail.clone(),
            Self::IdempotencyMismatch => {
                "this key came before with another body; use a new key for a new command".to_owned()
            }
            Self::Unavailable(_) => {
                "the store cannot answer now; retry with the same idempotency key, or without one with the record as it is by then"
                    .to_owned()
            }
            Self::Internal(_) => "a fault of ours; the log has the details".to_owned(),
        }
    }

    /// Whether the same command may succeed later.
    #[must_use]
    pub const fn retry(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What a failed statement means for whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection or the server went away, or two transactions were in each other's way: the same again may work now.
    Transient,
    /// It took too long: the caller may try later.
    Slow,
    /// Two commands made the same thing at the same time.
    Duplicate,
    /// A value is outside of what the store can hold.
    Range,
    /// A fault of ours.
    Fault,
}

/// Sorts database errors by what to do about them.
pub(crate) fn failure(error: &tokio_postgres::Error) -> Failure {
    let Some(state) = error.code() else {
        // No SQLSTATE: it never came from the server. Errors of conversion are ours, all else is the connection.
        let ours = error.to_string().contains("serializing") || error.to_string().contains("deserializing");
        return if ours { Failure::Fault } else { Failure::Transient };
    };
    let code = state.code();
    if *state == SqlState::QUERY_CANCELED || *state == SqlState::LOCK_NOT_AVAILABLE {
        Failure::Slow
    } else if *state == SqlState::UNIQUE_VIOLATION {
        Failure::Duplicate
    } else if *state == SqlState::CHECK_VIOLATION || code.starts_with("22") {
        Failure::Range
    } else if ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) {
        Failure::Transient
    } else {
        Failure::Fault
    }
}

/// Whether a statement that failed so may have been committed all the same: the connection ended before its answer was here.
pub(crate) fn end_is_unknown(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(|error| error.parsed_severity() != Some(Severity::Error))
}

/// An error that a person outside may see, of a statement that will not be tried again.
pub(crate) fn outward(error: &tokio_postgres::Error) -> OltpError {
    // Only SQLSTATE and the name of the constraint travel: the message may quote values.
    let state = error.code().map_or("no SQLSTATE", |state| state.code());
    let constraint = error.as_db_error().and_then(|db| db.constraint()).unwrap_or("");
    match failure(error) {
        Failure::Transient => OltpError::Unavailable(format!("the database did not answer ({state})")),
        Failure::Slow => OltpError::Unavailable(format!("the database took too long ({state})")),
        Failure::Duplicate => OltpError::Conflict {
            code: "oltp.duplicate",
            pointer: String::new(),
            detail: format!("another command made the same record at the same time ({constraint})"),
        },
        Failure::Range => OltpError::invalid(
            "oltp.out_of_range",
            "",
            format!("a value is outside of what the store can hold {constraint}"),
        ),
        Failure::Fault => OltpError::Internal(format!("a statement failed ({state} {constraint})")),
    }
}
