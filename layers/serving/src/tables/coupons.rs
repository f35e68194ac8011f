//! Coupons. Their codes are secrets and do not come here.

use super::mirror;

mirror! { COUPON_DEFINITIONS: "coupon_definitions" of "coupon_definition" by 1 {
    definition_id: Uuid, definition_code: Text, title: Text, kind: Text, status: Text, discount_type: Text,
    percent_bp: Int, amount_minor: Int, currency: Text, max_discount_minor: Int, min_spend_minor: Int,
    min_quantity: Decimal, valid_from: Timestamp, valid_to: Timestamp, validity_days: Int, tier_codes: Json,
    members_only: Bool, first_order_only: Bool, include: Json, exclude: Json, store_codes: Json, channels: Json,
    stacking: Text, stack_group: Text, priority: Int, uses_per_code: Int, per_member_limit: Int, global_limit: Int,
    budget_minor: Int, restore_on_return: Bool, source_updated_at: Timestamp, row_version: Int,
    created_at: Timestamp, updated_at: Timestamp
} }

mirror! { COUPON_BATCHES: "coupon_batches" of "coupon_batch" by 1 {
    batch_id: Uuid, definition_id: Uuid, codes: Int, issued_at: Timestamp
} }

mirror! { COUPONS: "coupons" of "coupon" by 1 {
    coupon_id: Uuid, definition_id: Uuid, batch_id: Uuid, code_hint: Text, member_id: Uuid, status: Text, uses: Int,
    reserved: Int, uses_max: Int, issued_at: Timestamp, expires_at: Timestamp, row_version: Int,
    updated_at: Timestamp
} }

mirror! { COUPON_REDEMPTIONS: "coupon_redemptions" of "coupon_redemption" by 1 {
    redemption_id: Uuid, coupon_id: Uuid, definition_id: Uuid, member_id: Uuid, status: Text, discount_minor: Int,
    currency: Text, order_source: Text, order_no: Text, order_id: Uuid, reservation_id: Uuid,
    reserved_until: Timestamp, redeemed_at: Timestamp, ended_at: Timestamp, row_version: Int, created_at: Timestamp,
    updated_at: Timestamp
} }

mirror! { COUPON_EVENTS: "coupon_events" of "coupon_event" by 1 {
    event_id: Int, type: Text, coupon_id: Uuid, definition_id: Uuid, member_id: Uuid, redemption_id: Uuid, uses: Int,
    discount_minor: Int, currency: Text, order_source: Text, order_no: Text, at: Timestamp
} }
