use super::entity::{Column, Entity, Filter, Key, Takes};

impl Entity {
    /// A category, with its place in the tree.
    pub const CATEGORY: &Self = &Self {
        name: "category",
        path: "categories",
        about: "A category, with its place in the tree",
        table: "crm.category",
        id: Column::uuid("category_id"),
        key: Key::Code("category_code"),
        hides: &["parent_path"],
        shows: &[("parent_code", "t.parent_path[cardinality(t.parent_path)]")],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter { name: "active", about: "Whether it is in use", takes: Takes::Flag, sql: "t.active = {}" },
            Filter {
                name: "parent",
                about: "Code of the category right above it",
                takes: Takes::Text,
                sql: "t.parent_id = (select c.category_id from crm.category c where c.category_code = {})",
            },
            Filter {
                name: "below",
                about: "Code of a category: that one, and all below it",
                takes: Takes::Text,
                sql: "t.path @> array[{}]",
            },
        ],
        sorts: &[Column::time("updated_at"), Column::text("category_code"), Column::text("name")],
        ..Self::BLANK
    };
}
