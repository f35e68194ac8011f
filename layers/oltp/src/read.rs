//! Reading records back, one or a page at a time.

use crate::command::{ORDER_STATUSES, PRODUCT_STATUSES, RETURN_STATUSES, STORE_TYPES};
use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Most records on a page.
pub const PAGE_MAX: u32 = 500;

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// A place of sale.
    Store,
    /// A product (SPU).
    Product,
    /// A sellable variant.
    Sku,
    /// A member.
    Member,
    /// An order, with lines and payments.
    Order,
    /// A return, with lines.
    Return,
}

impl Entity {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Store, Self::Product, Self::Sku, Self::Member, Self::Order, Self::Return];

    /// The kind's noun.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Product => "product",
            Self::Sku => "sku",
            Self::Member => "member",
            Self::Order => "order",
            Self::Return => "return",
        }
    }

    /// What a list can be narrowed to: the statuses, of stores the types.
    const fn statuses(self) -> &'static [&'static str] {
        match self {
            Self::Store => STORE_TYPES,
            Self::Product => PRODUCT_STATUSES,
            Self::Sku => &["active", "inactive"],
            Self::Member => &["active", "suspended", "closed", "merged", "erased"],
            Self::Order => ORDER_STATUSES,
            Self::Return => RETURN_STATUSES,
        }
    }

    const fn statements(self) -> (&'static str, &'static str) {
        match self {
            Self::Store => (statement::GET_STORE, statement::LIST_STORE),
            Self::Product => (statement::GET_PRODUCT, statement::LIST_PRODUCT),
            Self::Sku => (statement::GET_SKU, statement::LIST_SKU),
            Self::Member => (statement::GET_MEMBER, statement::LIST_MEMBER),
            Self::Order => (statement::GET_ORDER, statement::LIST_ORDER),
            Self::Return => (statement::GET_RETURN, statement::LIST_RETURN),
        }
    }
}

/// Which records a list shows. What a kind does not have does not narrow it: only orders and returns have a `member`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Changed at or after.
    pub updated_since: Option<Timestamp>,
    /// Status (for stores the type; for SKUs `active` or `inactive`).
    pub status: Option<String>,
    /// The member: our id or your number.
    pub member: Option<String>,
}

/// A page of records, oldest first.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The records, without what hangs on them (lines, identities …).
    pub items: Vec<Value>,
    /// Where the next page starts; none on the last.
    pub next: Option<String>,
}

impl Oltp {
    /// One record by our id or by its natural key: code, number, `source:order_no` or `source:return_no`; for orders and returns
    /// the bare number is enough while one source only has it. Members come with identities (masked unless `with_pii`, which
    /// also shows name and birth date), consents and points; orders with lines and payments; returns with lines.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn get(&self, entity: Entity, id: &str, with_pii: bool) -> Result<Option<Value>, OltpError> {
        if id.is_empty() || id.len() > 512 || id.contains('\0') {
            return Ok(None);
        }
        let uuid = Uuid::parse_str(id).ok();
        let (sql, _) = entity.statements();
        let rows = match entity {
            Entity::Member => self.query(sql, &[&uuid, &id, &with_pii]).await?,
            Entity::Order | Entity::Return => {
                let (source, number) = id.split_once(':').map_or((None, id), |(source, number)| (Some(source), number));
                self.query(sql, &[&uuid, &source, &number]).await?
            }
            Entity::Store | Entity::Product | Entity::Sku => self.query(sql, &[&uuid, &id]).await?,
        };
        // Two orders of one bare number: neither is meant for sure.
        Ok(if rows.len() == 1 { rows.first().map(|row| row.get(0)) } else { None })
    }

    /// A page of records in the order in which they were made. `limit` is held between 1 and [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`OltpError::Invalid`] when the cursor is none of ours or a filter cannot be; [`OltpError::Unavailable`] when the
    /// server does not answer.
    pub async fn list(
        &self,
        entity: Entity,
        cursor: Option<&str>,
        limit: u32,
        filter: &Filter,
    ) -> Result<Page, OltpError> {
        let after = cursor.map(parse_cursor).transpose()?.unwrap_or(Uuid::nil());
        let fail = |detail: &str| Err(OltpError::invalid("oltp.invalid_filter", "", detail));
        if filter.member.as_ref().is_some_and(|member| member.contains('\0') || member.len() > 512) {
            return fail("the member has at most 512 bytes and no NUL");
        }
        if filter.status.as_ref().is_some_and(|status| !entity.statuses().contains(&status.as_str())) {
            return fail(&format!("the status is one of {}", entity.statuses().join(", ")));
        }
        let size = limit.clamp(1, PAGE_MAX);
        // One more than asked for tells whether there is a next page.
        let fetch = i64::from(size) + 1;
        let member = filter.member.as_deref();
        let member_id = member.and_then(|text| Uuid::parse_str(text).ok());
        let (_, sql) = entity.statements();
        let rows = match entity {
            Entity::Order | Entity::Return => {
                self.query(sql, &[&after, &fetch, &filter.updated_since, &filter.status, &member_id, &member]).await?
            }
            _ => self.query(sql, &[&after, &fetch, &filter.updated_since, &filter.status]).await?,
        };
        let more = rows.len() > size as usize;
        let shown = &rows[..rows.len().min(size as usize)];
        let last: Option<Uuid> = shown.last().map(|row| row.get(0));
        let next = last.filter(|_| more).map(|id| id.simple().to_string());
        Ok(Page { items: shown.iter().map(|row| row.get(1)).collect(), next })
    }
}

fn parse_cursor(text: &str) -> Result<Uuid, OltpError> {
    Uuid::parse_str(text)
        .map_err(|_| OltpError::invalid("oltp.invalid_cursor", "", "pass on the `next` of the page before, unchanged"))
}
