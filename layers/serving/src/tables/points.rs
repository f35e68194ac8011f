//! Points.

use super::mirror;

mirror! { POINTS_ACCOUNTS: "points_accounts" of "points_account" by 1 {
    account_id: Uuid, kind: Text, member_id: Uuid, balance: Int, updated_at: Timestamp
} }

mirror! { POINTS_LEDGER: "points_ledger" of "points_ledger" by 2 {
    entry_id: Uuid, side: Int, account_id: Uuid, member_id: Uuid, type: Text, points: Int, order_id: Uuid,
    return_id: Uuid, occurred_at: Timestamp, reason: Text, reference: Text, origin_id: Uuid
} }

mirror! { POINTS_PROGRAMS: "points_programs" of "points_program" by 1 {
    program_id: Uuid, program_code: Text, valid_from: Timestamp, earn_points: Int, earn_units: Int,
    pending_days: Int, expiry_days: Int, transfer_points_max: Int, transfer_day_points_max: Int, row_version: Int,
    created_at: Timestamp, updated_at: Timestamp
} }

mirror! { POINTS_LOTS: "points_lots" of "points_lot" by 1 {
    lot_id: Uuid, member_id: Uuid, order_id: Uuid, entry_id: Uuid, points: Int, remaining: Int, pending: Bool,
    available_at: Timestamp, expires_at: Timestamp, created_at: Timestamp
} }

mirror! { POINTS_LOT_USES: "points_lot_uses" of "points_lot_use" by 1 {
    use_id: Int, lot_id: Uuid, member_id: Uuid, entry_id: Uuid, origin_id: Uuid, points: Int, at: Timestamp
} }

mirror! { POINTS_RESERVATIONS: "points_reservations" of "points_reservation" by 1 {
    reservation_id: Uuid, member_id: Uuid, points: Int, captured: Int, status: Text, expires_at: Timestamp,
    reference: Text, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }
