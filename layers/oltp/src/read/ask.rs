//! What a list is asked for, read from the pairs of a query. Pure.

use super::entity::{Column, Entity, Filter, Takes};
use crate::error::OltpError;
use jiff::civil::{Date, date};
use model::Timestamp;
use serde_json::Value;

/// Most records on a page.
pub const PAGE_MAX: u32 = 500;
/// Records on a page when the caller does not say.
pub const PAGE: u32 = 100;
/// Longest text of a filter, in bytes.
const TEXT_MAX: usize = 512;
/// Longest cursor, in characters.
const CURSOR_MAX: usize = 4096;
/// Most fields that are picked.
const FIELDS_MAX: usize = 64;
/// Longest name of a field, in bytes.
const FIELD_MAX: usize = 63;
/// The store's calendar begins here, as far as both sides write it alike.
const FIRST_DAY: Date = date(1, 1, 1);

/// What a list is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(super) entity: &'static Entity,
    pub(super) narrowed: Vec<(&'static Filter, String)>,
    pub(super) sort: &'static Column,
    pub(super) descending: bool,
    /// The last values of the page before: of the column sorted by, and of those that identify a row.
    pub(super) after: Option<Vec<String>>,
    pub(super) fields: Option<Fields>,
    pub(super) limit: u32,
}

/// Fields that are picked from each record.
#[derive(Clone, Debug)]
pub struct Fields(Vec<String>);

impl Ask {
    /// The first page of all records, oldest first.
    #[must_use]
    pub const fn of(entity: &'static Entity) -> Self {
        Self {
            entity,
            narrowed: Vec::new(),
            sort: &entity.id,
            descending: false,
            after: None,
            fields: None,
            limit: PAGE,
        }
    }

    /// Reads the pairs of a query: `cursor`, `limit` (1 to [`PAGE_MAX`]), `sort`, `fields`, and the entity's filters.
    ///
    /// # Errors
    /// `oltp.invalid_query` for a name that there is not or that comes twice, and for what cannot be read;
    /// `oltp.invalid_filter` for a word that the filter does not take; `oltp.invalid_cursor` for a cursor that is not of this list.
    pub fn parse<'a>(
        entity: &'static Entity,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, OltpError> {
        let mut ask = Self::of(entity);
        let (mut cursor, mut seen) = (None, Vec::new());
        for (name, value) in pairs {
            if seen.contains(&name) {
                return Err(invalid("a parameter of the query comes twice"));
            }
            seen.push(name);
            match name {
                "cursor" => cursor = Some(value),
                "limit" => ask.limit = limit(value)?,
                "sort" => (ask.sort, ask.descending) = sort(entity, value)?,
                "fields" => ask.fields = Some(Fields::parse(value)?),
                _ => {
                    let filter = entity.filters.iter().find(|filter| filter.name == name);
                    let filter = filter.ok_or_else(|| unknown(entity))?;
                    ask.narrowed.push((filter, read(filter, value)?));
                }
            }
        }
        if let Some(text) = cursor {
            ask.after = Some(ask.unpack(text).ok_or_else(invalid_cursor)?);
        }
        Ok(ask)
    }

    /// The columns that order the list without doubt: the one sorted by, then what identifies a row.
    pub(super) fn columns(&self) -> impl Iterator<Item = &'static Column> {
        let first = (self.sort.name != self.entity.id.name).then_some(self.sort);
        first.into_iter().chain(std::iter::once(&self.entity.id)).chain(self.entity.tie)
    }

    /// How many rows to fetch: one more than the page has tells whether there is a next one.
    pub(super) fn fetch(&self) -> usize {
        self.size() + 1
    }

    pub(super) const fn size(&self) -> usize {
        self.limit as usize
    }

    /// Leaves what was asked for of a page's records.
    pub(super) fn pick(&self, records: &mut [Value]) -> Result<(), OltpError> {
        self.fields.as_ref().map_or(Ok(()), |fields| fields.pick(records))
    }

    /// The cursor of the page behind a row. It names list and order, so that it is no use to another.
    pub(super) fn pack(&self, mut values: Vec<String>) -> String {
        values.push(self.order());
        hex::encode(Value::from(values).to_string())
    }

    fn unpack(&self, cursor: &str) -> Option<Vec<String>> {
        let bytes = (cursor.len() <= CURSOR_MAX).then(|| hex::decode(cursor).ok())??;
        let mut values: Vec<String> = serde_json::from_slice(&bytes).ok()?;
        let ours = values.pop()? == self.order();
        let sane = values.len() == self.columns().count() && values.iter().all(|value| !value.contains('\0'));
        (ours && sane).then_some(values)
    }

    fn order(&self) -> String {
        format!("{} {}{}", self.entity.name, if self.descending { "-" } else { "" }, self.sort.name)
    }
}

impl Fields {
    /// Reads `a,b,c`.
    ///
    /// # Errors
    /// `oltp.invalid_query` when these cannot be names of fields.
    pub fn parse(text: &str) -> Result<Self, OltpError> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let name = |name: &String| {
            (1..=FIELD_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if names.len() > FIELDS_MAX || !names.iter().all(name) {
            return Err(invalid(&format!(
                "fields are up to {FIELDS_MAX} names of the record's own, with commas between"
            )));
        }
        Ok(Self(names))
    }

    /// Leaves these fields of each record.
    ///
    /// # Errors
    /// `oltp.unknown_field` when none of the records has one of them.
    pub fn pick(&self, records: &mut [Value]) -> Result<(), OltpError> {
        let has = |name: &String| records.iter().any(|record| record.get(name).is_some());
        if !records.is_empty() && !self.0.iter().all(has) {
            return Err(OltpError::invalid(
                "oltp.unknown_field",
                "",
                "`fields` names one that these records do not have",
            ));
        }
        for record in records {
            if let Value::Object(fields) = record {
                fields.retain(|name, _| self.0.contains(name));
            }
        }
        Ok(())
    }
}

fn invalid(detail: &str) -> OltpError {
    OltpError::invalid("oltp.invalid_query", "", detail)
}

pub(super) fn invalid_cursor() -> OltpError {
    let detail = "pass on the `next` of the page before, unchanged and with the same `sort`";
    OltpError::invalid("oltp.invalid_cursor", "", detail)
}

fn unknown(entity: &Entity) -> OltpError {
    let mut known = vec!["cursor", "limit", "sort", "fields"];
    known.extend(entity.filters.iter().map(|filter| filter.name));
    invalid(&format!("the query has a parameter that this list does not; there are {}", known.join(", ")))
}

fn limit(text: &str) -> Result<u32, OltpError> {
    let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    limit.ok_or_else(|| invalid(&format!("limit is between 1 and {PAGE_MAX}")))
}

fn sort(entity: &'static Entity, text: &str) -> Result<(&'static Column, bool), OltpError> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let mut columns = std::iter::once(&entity.id).chain(entity.sorts);
    columns.find(|column| column.name == name).map(|column| (column, descending)).ok_or_else(|| {
        let names: Vec<_> = std::iter::once(&entity.id).chain(entity.sorts).map(|column| column.name).collect();
        invalid(&format!("sort is one of {}, with `-` before it for the other way round", names.join(", ")))
    })
}

/// Checks the value of a filter; gives it as the store reads it.
fn read(filter: &Filter, value: &str) -> Result<String, OltpError> {
    let name = filter.name;
    match filter.takes {
        Takes::OneOf(words) if words.contains(&value) => Ok(value.to_owned()),
        Takes::OneOf(words) => {
            let detail = format!("{name} is one of {}", words.join(", "));
            Err(OltpError::invalid("oltp.invalid_filter", "", &detail))
        }
        Takes::Text | Takes::Code => {
            let sane = (1..=TEXT_MAX).contains(&value.len()) && !value.contains('\0');
            let told = format!("{name} has 1 to {TEXT_MAX} bytes, and no NUL");
            if sane { Ok(value.to_owned()) } else { Err(invalid(&told)) }
        }
        Takes::Time => {
            let time = value.parse::<Timestamp>().ok();
            let time = time.filter(|time| time.to_zoned(jiff::tz::TimeZone::UTC).date() >= FIRST_DAY);
            time.map(|time| time.to_string()).ok_or_else(|| {
                invalid(&format!("{name} is a time such as 2026-01-31T12:00:00Z; in a query, write + as %2B"))
            })
        }
        Takes::Day => {
            let day = value.parse::<Date>().ok().filter(|day| *day >= FIRST_DAY);
            day.map(|day| day.to_string()).ok_or_else(|| invalid(&format!("{name} is a day such as 2026-01-31")))
        }
        Takes::Flag if ["true", "false"].contains(&value) => Ok(value.to_owned()),
        Takes::Flag => Err(invalid(&format!("{name} is true or false"))),
        Takes::Whole => {
            let number = value.parse::<i64>();
            number.map(|number| number.to_string()).map_err(|_| invalid(&format!("{name} is a whole number")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pairs: &[(&str, &str)]) -> &'static str {
        Ask::parse(Entity::ORDER, pairs.iter().copied()).unwrap_err().code()
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for pair in [
            ("colour", "red"),
            ("", ""),
            ("limit", "0"),
            ("limit", "501"),
            ("limit", "1.0"),
            ("sort", "total_minor"),
            ("sort", "--placed_at"),
            ("sort", ""),
            ("fields", ""),
            ("fields", "order_no,"),
            ("fields", "order_no;--"),
            ("placed_since", "yesterday"),
            ("placed_since", "-009999-01-01T00:00:00Z"),
            ("business_date", "2026-02-30"),
            ("member", ""),
            ("member", "a\0b"),
        ] {
            assert_eq!(refused(&[pair]), "oltp.invalid_query", "{pair:?}");
        }
        assert_eq!(refused(&[("limit", "1"), ("limit", "2")]), "oltp.invalid_query");
        assert_eq!(refused(&[("status", "payed")]), "oltp.invalid_filter");
    }

    #[test]
    fn a_cursor_is_of_its_list_and_order_only() {
        let by_time = Ask::parse(Entity::ORDER, [("sort", "-placed_at")]).unwrap();
        let cursor = by_time.pack(vec!["2026-01-31 12:00:00+00".to_owned(), "id".to_owned()]);
        let next = Ask::parse(Entity::ORDER, [("cursor", cursor.as_str()), ("sort", "-placed_at")]).unwrap();
        assert_eq!(next.after.unwrap(), ["2026-01-31 12:00:00+00", "id"]);
        for pairs in [vec![], vec![("sort", "placed_at")], vec![("sort", "-updated_at")]] {
            let pairs = pairs.into_iter().chain([("cursor", cursor.as_str())]);
            assert_eq!(Ask::parse(Entity::ORDER, pairs).unwrap_err().code(), "oltp.invalid_cursor");
        }
        for cursor in ["", "x", "5b5d", &hex::encode(r#"["a","b","order -placed_at","x"]"#), &"00".repeat(9999)] {
            assert_eq!(refused(&[("sort", "-placed_at"), ("cursor", cursor)]), "oltp.invalid_cursor", "{cursor}");
        }
    }
}
