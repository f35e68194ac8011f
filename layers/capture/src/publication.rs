//! The publication, the rights to read it, and the shapes of its tables.

use crate::table::{Column, Table};
use crate::{CaptureError, Config};
use std::collections::HashMap;
use tokio_postgres::Client;

const ROLE: &str = "select r.rolname::text, r.rolsuper or r.rolreplication, r.rolsuper or r.rolbypassrls \
    from pg_roles r where r.rolname = current_user";

const READABLE: &str = "select t.tablename::text from pg_publication_tables t where t.pubname = $1 \
    and not has_table_privilege(format('%I.%I', t.schemaname, t.tablename)::regclass, 'select') limit 1";

const PRIMARY_KEYS: &str = "select c.relname::text, array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum)) \
    from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace \
    join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey::int2[]) \
    where i.indisprimary and n.nspname = $1 group by 1";

const COLUMNS: &str = "select a.attname::text, a.atttypid from pg_attribute a join pg_class c on c.oid = a.attrelid \
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 \
    and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum";

/// Primary keys by table.
pub(crate) type PrimaryKeys = HashMap<String, Vec<String>>;

/// Checks that the role may replicate and that row policies hide nothing from it: a snapshot under a policy would be empty, and
/// nobody would notice.
pub(crate) async fn check_role(client: &Client) -> Result<(), CaptureError> {
    let row = client.query_one(ROLE, &[]).await?;
    let (role, replication, bypass): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let lacking = match (replication, bypass) {
        (false, _) => ("replicate", format!("alter role {role} replication")),
        (_, false) => ("pass by row policies", format!("alter role {role} bypassrls")),
        _ => return Ok(()),
    };
    Err(CaptureError::Rights { role, what: lacking.0.to_owned(), mend: lacking.1 })
}

/// Creates or completes the publication.
pub(crate) async fn ensure(client: &Client, config: &Config) -> Result<(), CaptureError> {
    let (name, schema) = (&config.publication, &config.schema);
    let list =
        |tables: &[&str]| tables.iter().map(|table| format!("{schema}.\"{table}\"")).collect::<Vec<_>>().join(", ");
    let exists = client.query_opt("select from pg_publication where pubname = $1", &[name]).await?.is_some();
    let published = "select tablename::text from pg_publication_tables where pubname = $1 and schemaname = $2";
    let rows = client.query(published, &[name, schema]).await?;
    let published: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let missing: Vec<&str> =
        config.tables.iter().map(String::as_str).filter(|table| !published.contains(table)).collect();
    let statement = match (exists, missing.is_empty()) {
        (_, true) => return Ok(()),
        (true, false) => format!("alter publication {name} add table {}", list(&missing)),
        (false, false) => {
            format!("create publication {name} for table {} with (publish_via_partition_root = true)", list(&missing))
        }
    };
    Ok(client.batch_execute(&statement).await?)
}

/// Whether any of some tables holds a row.
pub(crate) async fn any_rows(client: &Client, schema: &str, tables: &[&String]) -> Result<bool, CaptureError> {
    for table in tables {
        let row = client.query_one(&format!("select exists (select from {schema}.\"{table}\")"), &[]).await?;
        if row.get(0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks that the role may read every published table.
pub(crate) async fn check_tables(client: &Client, publication: &str) -> Result<(), CaptureError> {
    let Some(row) = client.query_opt(READABLE, &[&publication]).await? else { return Ok(()) };
    let role: String = client.query_one("select current_user::text", &[]).await?.get(0);
    let table: String = row.get(0);
    let (what, mend) = (format!("read {table}"), format!("grant select on {table} to {role}"));
    Err(CaptureError::Rights { role, what, mend })
}

/// The primary keys of a schema's tables.
pub(crate) async fn primary_keys(client: &Client, schema: &str) -> Result<PrimaryKeys, CaptureError> {
    let rows = client.query(PRIMARY_KEYS, &[&schema]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The shape of a table, with the columns that the stream sends.
pub(crate) async fn table(
    client: &Client,
    config: &Config,
    database: &str,
    name: &str,
    keys: &PrimaryKeys,
) -> Result<Table, CaptureError> {
    let rows = client.query(COLUMNS, &[&config.schema, &name]).await?;
    let key = keys.get(name).map_or(&[][..], Vec::as_slice);
    let column = |name: &str, type_oid: u32| Column::new(name, type_oid, key.iter().any(|of| of == name));
    let columns = rows.iter().map(|row| column(row.get(0), row.get(1))).collect();
    Ok(Table::new(database, &config.schema, name, columns, key))
}
