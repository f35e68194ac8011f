use super::entity::{Column, Entity, Filter, Key, Takes};

/// Statuses of members.
const STATUSES: &[&str] = &["active", "suspended", "closed", "merged", "erased"];

impl Entity {
    /// A member.
    pub const MEMBER: &Self = &Self {
        name: "member",
        path: "members",
        about: "A member, with identities, consents and points",
        table: "crm.member",
        id: Column::uuid("member_id"),
        key: Key::Code("member_no"),
        whole: &[
            ("home_store_code", "(select s.store_code from crm.store s where s.store_id = t.home_store_id)"),
            (
                "identities",
                // Values are there for whoever may see them; tokens of the other kinds are the values themselves.
                "(select coalesce(jsonb_agg(jsonb_build_object('identity_id', i.identity_id, 'kind', i.kind,
                        'strength', i.strength, 'verified_at', i.verified_at, 'first_seen_at', i.first_seen_at,
                        'last_seen_at', i.last_seen_at, 'confidence', i.confidence, 'created_at', i.created_at, 'value',
                        case when i.kind in ('anonymous', 'external') then i.token
                            else coalesce(v.value, crm.masked(i.identity_id)) end) order by i.identity_id), '[]')
                    from crm.member_identity i left join crm.member_identity_value v using (identity_id)
                    where i.member_id = t.member_id)",
            ),
            (
                "consents",
                "(select coalesce(jsonb_agg(to_jsonb(c) - 'member_id' order by c.purpose, c.channel), '[]')
                    from crm.consent c where c.member_id = t.member_id)",
            ),
            (
                "memberships",
                "(select coalesce(jsonb_agg(to_jsonb(x) - 'member_id' order by x.program, x.external_no), '[]')
                    from crm.external_membership x where x.member_id = t.member_id)",
            ),
            // As of now, whether or not what fell due is booked yet.
            ("points", "(crm.points_now(t.member_id, now()) ->> 'spendable')::bigint"),
            ("points_balances", "crm.points_now(t.member_id, now())"),
        ],
        merges: &[
            "(select to_jsonb(p) - 'member_id' - 'updated_at' from crm.member_pii p where p.member_id = t.member_id)",
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(STATUSES),
            Filter { name: "tier", about: "Tier", takes: Takes::Text, sql: "t.tier_code = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::time("enrolled_at"), Column::text("member_no")],
        ..Self::BLANK
    };
}
