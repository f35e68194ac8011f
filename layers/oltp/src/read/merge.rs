use super::entity::{Column, Entity, Filter, Takes};

impl Entity {
    /// A merge of two members.
    pub const MEMBER_MERGE: &Self = &Self {
        name: "member_merge",
        path: "member-merges",
        about: "A merge of one member into another, and whether it was undone",
        table: "crm.member_merge",
        id: Column::uuid("merge_id"),
        shows: &[
            ("from_member_no", "(select m.member_no from crm.member m where m.member_id = t.from_member_id)"),
            ("into_member_no", "(select m.member_no from crm.member m where m.member_id = t.into_member_id)"),
        ],
        filters: &[Filter {
            name: "member",
            about: "Either member: our id or your number",
            takes: Takes::Code,
            sql: "coalesce((select m.member_id from crm.member m where m.member_id = {id}),
                (select m.member_id from crm.member m where m.member_no = {})) in (t.from_member_id, t.into_member_id)",
        }],
        sorts: &[Column::time("merged_at")],
        ..Self::BLANK
    };
}
