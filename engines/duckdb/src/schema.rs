//! Opening the file, making tables and views, and closing every other way in.

use crate::{Config, store};
use duckdb::Connection;
use serving::ServingError;
use serving::tables::{Table, View};
use serving::value::Kind;
use std::fmt::Write;
use std::path::Path;

/// Log that DuckDB would checkpoint by itself, in the middle of a commit. The loop checkpoints long before, at quiet moments.
const CHECKPOINT_THRESHOLD: &str = "1GB";

/// How deep a text may nest. Planning takes the third power of it: a thousand levels took 15 s.
const NESTING_MAX: &str = "200";

pub(crate) fn open(file: &Path, scratch: &Path, config: &Config) -> duckdb::Result<Connection> {
    let settings = duckdb::Config::default()
        .max_memory(&format!("{}MiB", config.memory_mb))?
        .threads(i64::from(config.threads))?
        .enable_autoload_extension(false)?
        .with("autoinstall_known_extensions", "false")?
        .with("temp_directory", scratch.to_string_lossy())?
        .with("max_temp_directory_size", format!("{}MiB", config.scratch_mb))?
        .with("max_expression_depth", NESTING_MAX)?
        .with("preserve_insertion_order", "false")?
        .with("checkpoint_threshold", CHECKPOINT_THRESHOLD)?;
    Connection::open_with_flags(file, settings)
}

/// Makes what is missing, then locks the settings: from here on no statement reaches a file, a network or a setting.
pub(crate) fn migrate(connection: &Connection, tables: &[Table], views: &[View]) -> Result<(), ServingError> {
    let ours = "create schema if not exists _serving;
        create table if not exists _serving.meta (fingerprint varchar);
        create table if not exists _serving.positions (topic varchar, part integer, next bigint);
        create table if not exists _serving.gone (tbl varchar, key varchar, v1 bigint, v2 bigint);";
    connection.execute_batch(ours).map_err(store)?;
    let ddl: Vec<String> = tables.iter().map(create).collect();
    let fingerprint = fingerprint(&ddl);
    let found: Option<String> =
        connection.query_row("select max(fingerprint) from _serving.meta", [], |row| row.get(0)).map_err(store)?;
    match found {
        Some(found) if found != fingerprint => return Err(ServingError::Version { found, needed: fingerprint }),
        Some(_) => {}
        None => {
            let insert = format!("insert into _serving.meta values ('{fingerprint}')");
            connection.execute_batch(&format!("begin; {} {insert}; commit;", ddl.concat())).map_err(store)?;
        }
    }
    for view in views {
        connection.execute_batch(&format!("create or replace view {} as {}", view.name, view.sql)).map_err(store)?;
    }
    connection
        .execute_batch("set global TimeZone = 'UTC'; set global enable_external_access = false; set global lock_configuration = true;")
        .map_err(store)
}

fn create(table: &Table) -> String {
    let mut sql = format!("create table {} (", table.name);
    for column in table.columns {
        let _ = write!(sql, "\"{}\" {}, ", column.name, type_of(column.kind));
    }
    let [first, second] = table.hidden();
    let _ = write!(sql, "{first} bigint not null, {second} bigint not null);");
    sql
}

pub(crate) const fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "boolean",
        Kind::Int => "bigint",
        Kind::Decimal => "decimal(18,4)",
        Kind::Text => "varchar",
        Kind::Timestamp => "timestamp",
        Kind::Date => "date",
        Kind::Uuid => "uuid",
        Kind::Json => "json",
    }
}

/// FNV-1a over the statements: tells a file of another version.
fn fingerprint(ddl: &[String]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in ddl.iter().flat_map(|statement| statement.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("tables-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_reaches_a_file_or_a_setting_once_the_tables_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch");
        let connection = open(&folder.path().join("a.duckdb"), &scratch, &Config::default()).unwrap();
        migrate(&connection, &[], &[]).unwrap();
        let file = folder.path().join("a.csv");
        std::fs::write(&file, "a\n1\n").unwrap();
        let reader = connection.try_clone().unwrap();
        for sql in [
            format!("from read_csv('{}')", file.display()),
            format!("copy (select 1) to '{}'", file.display()),
            "set enable_external_access = true".to_owned(),
            "set max_expression_depth = 1000".to_owned(),
        ] {
            assert!(reader.execute_batch(&sql).is_err(), "{sql}");
        }
        let settings =
            "select current_setting('max_temp_directory_size'), current_setting('max_expression_depth')::varchar";
        let found: (String, String) = reader.query_row(settings, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(found, ("4.0 GiB".to_owned(), NESTING_MAX.to_owned()));
    }
}
