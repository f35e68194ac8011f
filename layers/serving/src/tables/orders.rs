//! What was bought and came back.

use super::mirror;

mirror! { ORDERS: "orders" of "sales_order" by 1 {
    order_id: Uuid, source: Text, order_no: Text, channel: Text, store_id: Uuid, member_id: Uuid, contact: Text,
    anonymous_id: Text, business_date: Date, placed_at: Timestamp, currency: Text, status: Text, units: Decimal,
    gross_minor: Int, discount_minor: Int, tax_minor: Int, shipping_minor: Int, net_minor: Int, total_minor: Int,
    coupon_codes: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp,
    source_status: Text, payment_status: Text, fulfilment_status: Text, tax_included: Bool,
    order_discount_minor: Int, order_tax_minor: Int, change_minor: Int, source_version: Int
} }

mirror! { ORDER_LINES: "order_lines" of "order_line" by 1 {
    order_line_id: Uuid, order_id: Uuid, line_no: Int, member_id: Uuid, sku_id: Uuid, product_id: Uuid,
    quantity: Decimal, unit_price_minor: Int, gross_minor: Int, discount_minor: Int, tax_minor: Int, net_minor: Int,
    voided: Bool, description: Text, line_type: Text, tax_included: Bool, order_discount_minor: Int,
    fulfilled_quantity: Decimal
} }

mirror! { PAYMENTS: "payments" of "payment" by 1 {
    payment_id: Uuid, order_id: Uuid, payment_no: Int, member_id: Uuid, tender_type: Text, amount_minor: Int,
    currency: Text, status: Text, processor_ref: Text, captured_at: Timestamp
} }

mirror! { RETURNS: "returns" of "sales_return" by 1 {
    return_id: Uuid, source: Text, return_no: Text, order_id: Uuid, member_id: Uuid, store_id: Uuid, status: Text,
    business_date: Date, returned_at: Timestamp, reason: Text, currency: Text, units: Decimal, net_minor: Int,
    tax_minor: Int, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp,
    exchange_order_id: Uuid, source_version: Int
} }

mirror! { RETURN_LINES: "return_lines" of "return_line" by 1 {
    return_line_id: Uuid, return_id: Uuid, order_line_id: Uuid, member_id: Uuid, quantity: Decimal, net_minor: Int,
    tax_minor: Int, line_no: Int, sku_id: Uuid, product_id: Uuid, reason: Text, restock: Bool
} }

mirror! { REFUNDS: "refunds" of "refund" by 1 {
    refund_id: Uuid, return_id: Uuid, refund_no: Int, order_id: Uuid, member_id: Uuid, payment_no: Int,
    tender_type: Text, amount_minor: Int, currency: Text, status: Text, processor_ref: Text, refunded_at: Timestamp
} }

mirror! { ORDER_EVENTS: "order_events" of "order_event" by 1 {
    event_id: Uuid, order_id: Uuid, member_id: Uuid, type: Text, status: Text, payment_status: Text,
    fulfilment_status: Text, from_status: Text, return_id: Uuid, amount_minor: Int, source: Text,
    occurred_at: Timestamp, recorded_at: Timestamp
} }
