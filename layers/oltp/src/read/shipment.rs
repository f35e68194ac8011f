use super::entity::{Column, Entity, Filter, Key};
use crate::command::SHIPMENT_STATUSES;

impl Entity {
    /// A shipment, with what it holds and its checkpoints.
    pub const SHIPMENT: &Self = &Self {
        name: "shipment",
        path: "shipments",
        about: "A shipment, with what it holds and its checkpoints",
        table: "crm.shipment",
        id: Column::uuid("shipment_id"),
        key: Key::Numbered { number: "shipment_no" },
        whole: &[
            (
                "lines",
                "(select coalesce(jsonb_agg(jsonb_build_object('line_no', l.line_no,
                        'quantity', trim_scale(l.quantity)::text) order by l.line_no), '[]')
                    from crm.shipment_line l where l.shipment_id = t.shipment_id)",
            ),
            (
                "events",
                "(select coalesce(jsonb_agg(to_jsonb(e) - 'shipment_id' - 'member_id' order by e.at, e.shipment_event_id), '[]')
                    from crm.shipment_event e where e.shipment_id = t.shipment_id)",
            ),
        ],
        filters: &[Filter::UPDATED_SINCE, Filter::status(SHIPMENT_STATUSES), Filter::MEMBER, Filter::ORDER],
        sorts: &[Column::time("updated_at")],
        ..Self::BLANK
    };
}
