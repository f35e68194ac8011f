//! What may be asked: one reading statement, made of served functions, types and tables.
//!
//! DuckDB's own parser reads the text: `json_serialize_sql` takes SELECT statements only, and the tree that it gives names every
//! function, type and table in it. How deep a text may nest is a setting of the parser ([`crate::schema`]), so the text is bounded
//! before anything walks it.

use crate::functions::{is_served, is_served_as_table};
use crate::message;
use duckdb::Connection;
use serde::Deserialize;
use serving::ServingError;

/// What the parser finds in a text, each name once.
const FIND: &str = "with parsed as (
        select json_serialize_sql(cast(? as varchar), skip_null := true, skip_empty := true, skip_default := true) as tree
    )
    select to_json({
        error: tree->>'error' = 'true', error_type: tree->>'error_type', error_message: tree->>'error_message',
        statements: coalesce(json_array_length(tree->'statements'), 0),
        functions: list_distinct(tree->>'$..function_name'),
        table_functions: list_distinct(tree->>'$..function.function_name'),
        types: list_distinct(tree->>'$..id'),
        named_types: list_distinct(list_concat(tree->>'$..type_info.name', tree->>'$..type_info.alias')),
        tables: list_distinct(tree->>'$..table_name'),
        ctes: len(tree->'$..cte_map.map[0]') > 0
    })
    from parsed";

/// Types that are known by their name alone.
const NAMED_TYPES: [&str; 2] = ["json", "enum"];

/// Views of DuckDB that tell what others ask, or where files lie.
const HIDDEN: [&str; 5] =
    ["duckdb_logs", "duckdb_databases", "pragma_database_list", "pg_prepared_statements", "pg_settings"];

#[derive(Deserialize)]
struct Found {
    error: bool,
    error_type: Option<String>,
    error_message: Option<String>,
    statements: i64,
    functions: Vec<String>,
    table_functions: Vec<String>,
    types: Vec<String>,
    named_types: Vec<String>,
    tables: Vec<String>,
    ctes: bool,
}

/// A text that DuckDB has read as one reading statement.
pub(crate) enum Gated<'a> {
    /// A query; it may be put in parentheses.
    Query(&'a str),
    /// An EXPLAIN of one.
    Explain(&'a str),
}

/// Lets a text pass.
pub(crate) fn gate<'a>(connection: &Connection, sql: &'a str) -> Result<Gated<'a>, ServingError> {
    let text = sql.trim_start();
    if let Some(rest) = explained(text) {
        check(rest, find(connection, rest)?)?;
        return Ok(Gated::Explain(text));
    }
    check(text, find(connection, text)?)?;
    Ok(Gated::Query(text))
}

/// What stands behind `EXPLAIN` and `ANALYZE`; it is parsed for itself.
fn explained(text: &str) -> Option<&str> {
    let word = |text: &'_ str, word: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let rest = word(text, "explain").then(|| text.get("explain".len()..))??;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    if word(rest, "analyze") { rest.get("analyze".len()..) } else { Some(rest) }
}

fn find(connection: &Connection, sql: &str) -> Result<Found, ServingError> {
    let failed = |error: duckdb::Error| ServingError::Query(message(&error));
    let mut read = connection.prepare_cached(FIND).map_err(failed)?;
    let text: String = read.query_row([sql], |row| row.get(0)).map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| ServingError::Store(error.to_string()))
}

fn check(sql: &str, found: Found) -> Result<(), ServingError> {
    if found.error {
        let text = found.error_message.unwrap_or_default();
        let parser = found.error_type.as_deref() == Some("parser");
        return Err(if parser { ServingError::Query(text) } else { ServingError::NotARead(text) });
    }
    if found.statements != 1 {
        return Err(ServingError::NotARead(format!("there are {} statements", found.statements)));
    }
    let refused = |kind: &str, name: &str| Err(ServingError::NotServed(format!("{kind} `{name}`")));
    if let Some(name) = found.functions.iter().find(|name| !is_served(name)) {
        return refused("the function", name);
    }
    if let Some(name) = found.table_functions.iter().find(|name| !is_served_as_table(name)) {
        return refused("the table function", name);
    }
    // Text and JSON become a VARIANT level by level, on the stack.
    if found.types.iter().any(|id| id == "VARIANT") {
        return refused("the type", "variant");
    }
    if let Some(name) = found.named_types.iter().find(|name| !is_one_of(name, &NAMED_TYPES)) {
        return refused("the type", name);
    }
    if let Some(name) = found.tables.iter().find(|name| is_one_of(name, &HIDDEN)) {
        return refused("the table", name);
    }
    if found.ctes && may_be_planned_anew(sql) {
        return refused("the hint", "not materialized");
    }
    Ok(())
}

/// Whether a WITH may be `not materialized`: each use of it is planned anew then, and twenty that use each other twice are a
/// million. The tree does not tell, so every place of the word counts but `as materialized`, whatever stands between.
fn may_be_planned_anew(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let before = |at| sql.get(..at).map_or("", |text| text.trim_end_matches([' ', '\t']));
    sql.match_indices("materialized").any(|(at, _)| !before(at).ends_with("as"))
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
