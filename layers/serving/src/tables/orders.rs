//! What was bought and came back.

use super::mirror;

mirror! { ORDERS: "orders" of "sales_order" by 1 {
    order_id: Uuid, source: Text, order_no: Text, channel: Text, store_id: Uuid, member_id: Uuid, contact: Text,
    anonymous_id: Text, business_date: Date, placed_at: Timestamp, currency: Text, status: Text, units: Decimal,
    gross_minor: Int, discount_minor: Int, tax_minor: Int, shipping_minor: Int, net_minor: Int, total_minor: Int,
    coupon_codes: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { ORDER_LINES: "order_lines" of "order_line" by 1 {
    order_line_id: Uuid, order_id: Uuid, line_no: Int, member_id: Uuid, sku_id: Uuid, product_id: Uuid,
    quantity: Decimal, unit_price_minor: Int, gross_minor: Int, discount_minor: Int, tax_minor: Int, net_minor: Int,
    voided: Bool, description: Text
} }

mirror! { PAYMENTS: "payments" of "payment" by 1 {
    payment_id: Uuid, order_id: Uuid, payment_no: Int, member_id: Uuid, tender_type: Text, amount_minor: Int,
    currency: Text, status: Text, processor_ref: Text, captured_at: Timestamp
} }

mirror! { RETURNS: "returns" of "sales_return" by 1 {
    return_id: Uuid, source: Text, return_no: Text, order_id: Uuid, member_id: Uuid, store_id: Uuid, status: Text,
    business_date: Date, returned_at: Timestamp, reason: Text, currency: Text, units: Decimal, net_minor: Int,
    tax_minor: Int, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { RETURN_LINES: "return_lines" of "return_line" by 1 {
    return_line_id: Uuid, return_id: Uuid, order_line_id: Uuid, member_id: Uuid, quantity: Decimal, net_minor: Int,
    tax_minor: Int
} }
