//! Points.

use super::mirror;

mirror! { POINTS_ACCOUNTS: "points_accounts" of "points_account" by 1 {
    account_id: Uuid, kind: Text, member_id: Uuid, balance: Int, updated_at: Timestamp
} }

mirror! { POINTS_LEDGER: "points_ledger" of "points_ledger" by 2 {
    entry_id: Uuid, side: Int, account_id: Uuid, member_id: Uuid, type: Text, points: Int, order_id: Uuid,
    return_id: Uuid, occurred_at: Timestamp
} }
