//! What is where.

use super::mirror;

mirror! { INVENTORY_LEVELS: "inventory_levels" of "inventory_level" by 1 {
    level_id: Uuid, store_id: Uuid, sku_id: Uuid, sku_type: Text, on_hand: Decimal, reserved: Decimal,
    in_transit: Decimal, oversold: Decimal, counted_at: Timestamp, source_version: Int, source_updated_at: Timestamp,
    row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { INVENTORY_MOVEMENTS: "inventory_movements" of "inventory_movement" by 1 {
    movement_id: Uuid, store_id: Uuid, sku_id: Uuid, type: Text, quantity: Decimal, entry_id: Uuid, order_id: Uuid,
    return_id: Uuid, transfer_id: Uuid, reservation_id: Uuid, derived: Bool, reference: Text, reason: Text,
    moved_at: Timestamp
} }

mirror! { INVENTORY_RESERVATIONS: "inventory_reservations" of "inventory_reservation" by 2 {
    reservation_id: Uuid, sku_id: Uuid, store_id: Uuid, level_id: Uuid, quantity: Decimal, status: Text,
    expires_at: Timestamp, order_source: Text, order_no: Text, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { INVENTORY_TRANSFERS: "inventory_transfers" of "inventory_transfer" by 1 {
    transfer_id: Uuid, transfer_no: Text, from_store_id: Uuid, to_store_id: Uuid, status: Text,
    shipped_at: Timestamp, received_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { INVENTORY_TRANSFER_LINES: "inventory_transfer_lines" of "inventory_transfer_line" by 2 {
    transfer_id: Uuid, sku_id: Uuid, shipped: Decimal, received: Decimal, lost: Decimal
} }
