//! What hangs around a sale.

use super::mirror;

mirror! { CAMPAIGNS: "campaigns" of "campaign" by 1 {
    campaign_id: Uuid, campaign_code: Text, name: Text, channel: Text, status: Text, starts_at: Timestamp,
    ends_at: Timestamp, budget_minor: Int, currency: Text, attributes: Json, source_updated_at: Timestamp,
    row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { AD_SPEND: "ad_spend" of "ad_spend" by 1 {
    ad_spend_id: Uuid, platform: Text, account: Text, level: Text, level_no: Text, day: Date, breakdown: Text,
    campaign_id: Uuid, currency: Text, spend_minor: Int, impressions: Int, clicks: Int, conversions: Decimal,
    conversion_value_minor: Int, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp,
    updated_at: Timestamp
} }

mirror! { SHIPMENTS: "shipments" of "shipment" by 1 {
    shipment_id: Uuid, source: Text, shipment_no: Text, order_id: Uuid, member_id: Uuid, carrier: Text,
    tracking_no: Text, status: Text, status_at: Timestamp, estimated_delivery_at: Timestamp,
    source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { SHIPMENT_LINES: "shipment_lines" of "shipment_line" by 2 {
    shipment_id: Uuid, line_no: Int, member_id: Uuid, quantity: Decimal
} }

mirror! { SHIPMENT_EVENTS: "shipment_events" of "shipment_event" by 1 {
    shipment_event_id: Uuid, shipment_id: Uuid, member_id: Uuid, status: Text, at: Timestamp, message: Text,
    location: Text
} }

mirror! { TICKETS: "tickets" of "ticket" by 1 {
    ticket_id: Uuid, source: Text, ticket_no: Text, member_id: Uuid, contact: Text, order_id: Uuid, channel: Text,
    type: Text, priority: Text, status: Text, opened_at: Timestamp, first_reply_at: Timestamp, solved_at: Timestamp,
    csat_score: Int, tags: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp,
    updated_at: Timestamp
} }

mirror! { TICKET_EVENTS: "ticket_events" of "ticket_event" by 1 {
    ticket_event_id: Uuid, ticket_id: Uuid, member_id: Uuid, field: Text, before: Text, after: Text, at: Timestamp
} }

mirror! { SUBSCRIPTIONS: "subscriptions" of "subscription" by 1 {
    subscription_id: Uuid, source: Text, subscription_no: Text, member_id: Uuid, sku_id: Uuid, quantity: Decimal,
    status: Text, interval_unit: Text, interval_count: Int, price_minor: Int, currency: Text, started_at: Timestamp,
    next_order_at: Timestamp, cancelled_at: Timestamp, source_updated_at: Timestamp, row_version: Int,
    created_at: Timestamp, updated_at: Timestamp
} }
