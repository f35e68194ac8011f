use super::entity::{Column, Entity, Field, Filter, Key, Takes};
use crate::command::{MOVEMENT_TYPES, RESERVATION_STATUSES, TRANSFER_STATUSES};

const SKU_CODE: Field = ("sku_code", "(select k.sku_code from crm.sku k where k.sku_id = t.sku_id)");
const STORE_CODE: Field = ("store_code", "(select s.store_code from crm.store s where s.store_id = t.store_id)");

impl Entity {
    /// What there is of a SKU in a store.
    pub const INVENTORY_LEVEL: &Self = &Self {
        name: "inventory_level",
        path: "inventory",
        about: "What there is of a SKU in a store",
        table: "crm.inventory_level",
        id: Column::uuid("level_id"),
        key: Key::Ours,
        hides: &["sku_type"],
        shows: &[
            SKU_CODE,
            STORE_CODE,
            ("on_hand", "trim_scale(t.on_hand)::text"),
            ("reserved", "trim_scale(t.reserved)::text"),
            ("in_transit", "trim_scale(t.in_transit)::text"),
            ("oversold", "trim_scale(t.oversold)::text"),
            ("available", "trim_scale(t.available)::text"),
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::SKU,
            Filter::STORE,
            Filter {
                name: "oversold",
                about: "Whether more was sold or promised than there is",
                takes: Takes::Flag,
                sql: "(t.oversold > 0) = {}",
            },
        ],
        sorts: &[Column::time("updated_at")],
        ..Self::BLANK
    };

    /// A movement of stock.
    pub const INVENTORY_MOVEMENT: &Self = &Self {
        name: "inventory_movement",
        path: "inventory/movements",
        about: "A movement of stock",
        table: "crm.inventory_movement",
        id: Column::uuid("movement_id"),
        key: Key::Ours,
        shows: &[SKU_CODE, STORE_CODE, ("quantity", "trim_scale(t.quantity)::text")],
        filters: &[
            Filter::SKU,
            Filter::STORE,
            Filter {
                name: "entry",
                about: "Our id of what it is part of: an order, a return, or the answer to a command",
                takes: Takes::Code,
                sql: "t.entry_id = {id} and {} is not null",
            },
            Filter { name: "type", about: "Type", takes: Takes::OneOf(MOVEMENT_TYPES), sql: "t.type = {}" },
            Filter {
                name: "moved_since",
                about: "Moved at or after this time",
                takes: Takes::Time,
                sql: "t.moved_at >= {}",
            },
        ],
        ..Self::BLANK
    };

    /// A line of a reservation of stock.
    pub const INVENTORY_RESERVATION: &Self = &Self {
        name: "inventory_reservation",
        path: "inventory/reservations",
        about: "A SKU of a reservation of stock",
        table: "crm.inventory_reservation",
        id: Column::uuid("reservation_id"),
        tie: &[Column::uuid("sku_id")],
        key: Key::Ours,
        hides: &["level_id"],
        shows: &[SKU_CODE, STORE_CODE, ("quantity", "trim_scale(t.quantity)::text")],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(RESERVATION_STATUSES),
            Filter::SKU,
            Filter::STORE,
            Filter {
                name: "order_no",
                about: "Number of the order that it is for",
                takes: Takes::Text,
                sql: "t.order_no = {}",
            },
        ],
        sorts: &[Column::time("expires_at")],
        ..Self::BLANK
    };

    /// A transfer of goods between stores.
    pub const INVENTORY_TRANSFER: &Self = &Self {
        name: "inventory_transfer",
        path: "inventory/transfers",
        about: "A transfer of goods between stores, with its lines",
        table: "crm.inventory_transfer",
        id: Column::uuid("transfer_id"),
        key: Key::Code("transfer_no"),
        shows: &[
            ("from_store_code", "(select s.store_code from crm.store s where s.store_id = t.from_store_id)"),
            ("to_store_code", "(select s.store_code from crm.store s where s.store_id = t.to_store_id)"),
        ],
        whole: &[(
            "lines",
            "(select coalesce(jsonb_agg(jsonb_build_object('sku_code', k.sku_code, 'shipped', trim_scale(l.shipped)::text,
                    'received', trim_scale(l.received)::text, 'lost', trim_scale(l.lost)::text) order by k.sku_code), '[]')
                from crm.inventory_transfer_line l join crm.sku k using (sku_id) where l.transfer_id = t.transfer_id)",
        )],
        filters: &[Filter::UPDATED_SINCE, Filter::status(TRANSFER_STATUSES)],
        sorts: &[Column::time("updated_at"), Column::time("shipped_at")],
        ..Self::BLANK
    };
}
