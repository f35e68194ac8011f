//! The statements of reading, put together from what the nouns declare. No text of a caller becomes SQL: it comes as a parameter,
//! always of type text, and is cast to the type that the declaration says.

use super::ask::Ask;
use super::entity::{Column, Entity, Field, Filter, Key, Takes};

/// The statement that gets one record. `$1` is our id; `$2` the caller's code or number, `$3` its source, where the entity has such.
/// Two rows mean that the number is not enough to tell the record.
pub(crate) fn one(entity: &Entity) -> String {
    let Entity { table, id, key, .. } = entity;
    let ours = format!("select t.* from {table} t where t.{} = $1::text::{}", id.name, id.kind);
    let theirs = match key {
        Key::Ours => return format!("select {} from ({ours}) t", record(entity, true)),
        Key::Code(column) => format!("t.{column} = $2::text"),
        Key::Numbered { number } => format!("t.{number} = $2::text and ($3::text is null or t.source = $3)"),
    };
    // Our id is meant where there is one: a number of theirs may look like it.
    format!(
        "with ours as ({ours}), hit as (select * from ours union all \
         select t.* from {table} t where {theirs} and not exists (select from ours)) \
         select {} from hit t limit 2",
        record(entity, true)
    )
}

/// The statement that gives a page, and its parameters. Each row has the values that the next page starts behind, and the record.
pub(crate) fn page(ask: &Ask) -> (String, Vec<Option<String>>) {
    let entity = ask.entity;
    let mut parameters = vec![Some(ask.fetch().to_string())];
    let mut conditions = String::new();
    for (filter, value) in &ask.narrowed {
        conditions.push_str(if conditions.is_empty() { " where (" } else { " and (" });
        conditions.push_str(&condition(filter, value, &mut parameters));
        conditions.push(')');
    }
    let columns: Vec<&Column> = ask.columns().collect();
    let (direction, beyond) = if ask.descending { ("desc", "<") } else { ("asc", ">") };
    let listed =
        |each: &dyn Fn(&Column) -> String| columns.iter().map(|column| each(column)).collect::<Vec<_>>().join(", ");
    if let Some(after) = &ask.after {
        let values: Vec<String> = columns
            .iter()
            .zip(after)
            .map(|(column, value)| {
                parameters.push(Some(value.clone()));
                format!("${}::text::{}", parameters.len(), column.kind)
            })
            .collect();
        let names = listed(&|column| format!("t.{}", column.name));
        conditions.push_str(if conditions.is_empty() { " where " } else { " and " });
        conditions.push_str(&format!("({names}) {beyond} ({})", values.join(", ")));
    }
    let sql = format!(
        "select array[{}], {} from {} t{conditions} order by {} limit $1::text::bigint",
        listed(&|column| format!("t.{}::text", column.name)),
        record(entity, false),
        entity.table,
        listed(&|column| format!("t.{} {direction}", column.name)),
    );
    (sql, parameters)
}

/// A filter's condition, with its value bound.
fn condition(filter: &Filter, value: &str, parameters: &mut Vec<Option<String>>) -> String {
    let cast = match filter.takes {
        Takes::OneOf(_) | Takes::Text | Takes::Code => "",
        Takes::Time => "::timestamptz",
        Takes::Day => "::date",
        Takes::Flag => "::boolean",
        Takes::Whole => "::bigint",
    };
    parameters.push(Some(value.to_owned()));
    let mut sql = filter.sql.replace("{}", &format!("${}::text{cast}", parameters.len()));
    if sql.contains("{id}") {
        parameters.push(uuid::Uuid::parse_str(value).ok().map(|id| id.to_string()));
        sql = sql.replace("{id}", &format!("${}::text::uuid", parameters.len()));
    }
    sql
}

/// The record as JSON.
fn record(entity: &Entity, whole: bool) -> String {
    let mut sql = "to_jsonb(t)".to_owned();
    if !entity.hides.is_empty() {
        sql.push_str(&format!(" - '{{{}}}'::text[]", entity.hides.join(",")));
    }
    let more: &[Field] = if whole { entity.whole } else { &[] };
    let fields: Vec<String> =
        entity.shows.iter().chain(more).map(|(name, value)| format!("'{name}', {value}")).collect();
    if !fields.is_empty() {
        sql.push_str(&format!(" || jsonb_build_object({})", fields.join(", ")));
    }
    if whole {
        for object in entity.merges {
            sql.push_str(&format!(" || coalesce({object}, '{{}}')"));
        }
    }
    sql
}

/// Every statement that reading an entity can come to, but that filters go together as they like: none, each alone, and all.
pub(crate) fn all(entity: &'static Entity) -> Vec<String> {
    let example = |filter: &Filter| match filter.takes {
        Takes::OneOf(words) => words.first().copied().unwrap_or_default(),
        Takes::Text | Takes::Code => "x",
        Takes::Time => "2026-01-31T12:00:00Z",
        Takes::Day => "2026-01-31",
        Takes::Flag => "true",
        Takes::Whole => "1",
    };
    let every: Vec<(&Filter, String)> =
        entity.filters.iter().map(|filter| (filter, example(filter).to_owned())).collect();
    let mut narrowed: Vec<Vec<(&'static Filter, String)>> = every.iter().map(|one| vec![one.clone()]).collect();
    narrowed.extend([Vec::new(), every]);
    let mut statements = if entity.is_single() { vec![one(entity)] } else { Vec::new() };
    for sort in std::iter::once(&entity.id).chain(entity.sorts) {
        for descending in [false, true] {
            for narrowed in &narrowed {
                let mut ask = Ask { sort, descending, narrowed: narrowed.clone(), ..Ask::of(entity) };
                statements.push(page(&ask).0);
                ask.after = Some(vec![String::new(); ask.columns().count()]);
                statements.push(page(&ask).0);
            }
        }
    }
    statements
}
