//! What can be read, as its noun's file declares it: where it is stored, how it is named, narrowed and sorted, what hangs on it.

/// A kind of record that can be read. Each noun declares its own in a file of its own, as an associated constant:
///
/// ```text
/// impl Entity {
///     /// A brand.
///     pub const BRAND: &Self = &Self {
///         name: "brand",
///         path: "brands",
///         about: "A brand",
///         table: "crm.brand",
///         id: Column::uuid("brand_id"),
///         key: Key::Code("brand_code"),
///         filters: &[Filter::UPDATED_SINCE],
///         sorts: &[Column::time("updated_at"), Column::text("brand_code")],
///         ..Self::BLANK
///     };
/// }
/// ```
///
/// and has its line in [`Entity::ALL`]. The rows stand under the name `t` in all fragments of SQL; whatever a caller says comes to them
/// as a bound parameter.
#[derive(Debug)]
pub struct Entity {
    /// The noun, as it stands in answers and in the audit log: `order`.
    pub name: &'static str,
    /// The noun in paths, below `/api/v1/`: `orders`, `inventory/levels`.
    pub path: &'static str,
    /// What it is, as a sentence's beginning for readers of the API: `An order, with its lines`.
    pub about: &'static str,
    /// Whether only admins read it, and keys with its scope by name.
    pub guarded: bool,
    /// Table or view.
    pub(crate) table: &'static str,
    /// What identifies a row.
    pub(crate) id: Column,
    /// More columns, where the first does not identify a row alone; such rows are listed, and not got one by one.
    pub(crate) tie: &'static [Column],
    /// How callers name a record.
    pub(crate) key: Key,
    /// Columns that are not shown.
    pub(crate) hides: &'static [&'static str],
    /// What is shown beside the columns, or in their stead, also in lists.
    pub(crate) shows: &'static [Field],
    /// What is shown beside that where one record is asked for: its lines, and all that hangs on it.
    pub(crate) whole: &'static [Field],
    /// Objects (`jsonb`) whose fields are laid over one record. Personal data come by one: where the reader may not see them, there
    /// is nothing to lay.
    pub(crate) merges: &'static [&'static str],
    /// What a list can be narrowed by.
    pub filters: &'static [Filter],
    /// What a list can be sorted by, beside the id. Columns that are never null.
    pub sorts: &'static [Column],
}

impl Entity {
    /// What most nouns do not have.
    pub(crate) const BLANK: Self = Self {
        name: "",
        path: "",
        about: "",
        guarded: false,
        table: "",
        id: Column::uuid(""),
        tie: &[],
        key: Key::Ours,
        hides: &[],
        shows: &[],
        whole: &[],
        merges: &[],
        filters: &[],
        sorts: &[],
    };

    /// The entity of a noun.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().copied().find(|entity| entity.name == name)
    }

    /// The area of a key's scopes that it is of: the first word of its path.
    #[must_use]
    pub fn area(&self) -> &'static str {
        self.path.split('/').next().unwrap_or(self.path)
    }

    /// Whether one record can be asked for.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        self.tie.is_empty()
    }

    /// What names one record, in words; none where records are listed only.
    #[must_use]
    pub fn named_by(&self) -> Option<String> {
        self.is_single().then(|| match self.key {
            Key::Ours => "Our id".to_owned(),
            Key::Code(column) => format!("Our id, or your own `{column}`"),
            Key::Numbered { number } => {
                format!("Our id, `source:{number}`, or the `{number}` alone where one source only has it")
            }
        })
    }
}

/// How callers name a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    /// By our id only.
    Ours,
    /// By our id or by a column that is unique.
    Code(&'static str),
    /// By our id, by `source:number`, or by the number alone while one source only has it. The other column is named `source`.
    Numbered {
        /// Column of the number.
        number: &'static str,
    },
}

/// A column, with the type that its text is read back as.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// Type in SQL.
    pub(crate) kind: &'static str,
}

impl Column {
    pub(crate) const fn uuid(name: &'static str) -> Self {
        Self { name, kind: "uuid" }
    }

    pub(crate) const fn time(name: &'static str) -> Self {
        Self { name, kind: "timestamptz" }
    }

    pub(crate) const fn whole(name: &'static str) -> Self {
        Self { name, kind: "bigint" }
    }

    pub(crate) const fn text(name: &'static str) -> Self {
        Self { name, kind: "text" }
    }
}

/// A field of an answer: its name, and an expression of type `jsonb` or of one that becomes it.
pub(crate) type Field = (&'static str, &'static str);

/// What a list can be narrowed by.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Name in the query.
    pub name: &'static str,
    /// What it does, for readers of the API.
    pub about: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// The condition. `{}` is the value; `{id}`, of a code, the value as our id, null where it cannot be one.
    pub(crate) sql: &'static str,
}

/// What a filter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// Text of 1 to 512 bytes.
    Text,
    /// Our id or a code of the caller's, of 1 to 512 bytes.
    Code,
    /// A time, RFC 3339.
    Time,
    /// A day, `YYYY-MM-DD`.
    Day,
    /// `true` or `false`.
    Flag,
    /// A whole number of 64 bits.
    Whole,
}

impl Filter {
    /// For all that says when it last changed.
    pub(crate) const UPDATED_SINCE: Self = Self {
        name: "updated_since",
        about: "Changed at or after this time",
        takes: Takes::Time,
        sql: "t.updated_at >= {}",
    };

    /// For all that belongs to a member, by the column `member_id`.
    pub(crate) const MEMBER: Self = Self {
        name: "member",
        about: "The member: our id or your number",
        takes: Takes::Code,
        sql: "t.member_id = coalesce((select m.member_id from crm.member m where m.member_id = {id}),
            (select m.member_id from crm.member m where m.member_no = {}))",
    };

    /// For all that is about an order, by the column `order_id`.
    pub(crate) const ORDER: Self = Self {
        name: "order",
        about: "The order: our id or `source:order_no`",
        takes: Takes::Code,
        sql: "t.order_id = coalesce((select o.order_id from crm.sales_order o where o.order_id = {id}),
            (select o.order_id from crm.sales_order o
                where (o.source, o.order_no) = (split_part({}, ':', 1), substr({}, strpos({}, ':') + 1))))",
    };

    /// For all that belongs to a store, by the column `store_id`.
    pub(crate) const STORE: Self = Self {
        name: "store",
        about: "The store: our id or your code",
        takes: Takes::Code,
        sql: "t.store_id = coalesce((select s.store_id from crm.store s where s.store_id = {id}),
            (select s.store_id from crm.store s where s.store_code = {}))",
    };

    /// For all that is about a SKU, by the column `sku_id`.
    pub(crate) const SKU: Self = Self {
        name: "sku",
        about: "The SKU: our id or your code",
        takes: Takes::Code,
        sql: "t.sku_id = coalesce((select k.sku_id from crm.sku k where k.sku_id = {id}),
            (select k.sku_id from crm.sku k where k.sku_code = {}))",
    };

    /// A status, by the column `status`.
    pub(crate) const fn status(statuses: &'static [&'static str]) -> Self {
        Self { name: "status", about: "Status", takes: Takes::OneOf(statuses), sql: "t.status = {}" }
    }
}
