//! The publication, the rights to read its tables, and their shapes.

use crate::store::Published;
use crate::table::{Column, Table};
use crate::{CaptureError, Config};
use std::collections::HashMap;
use tokio_postgres::Client;

const ROLE: &str = "select r.rolname::text, r.rolsuper or r.rolreplication, r.rolsuper or r.rolbypassrls \
    from pg_roles r where r.rolname = current_user";

const UNREADABLE: &str = "select c.relname::text, current_user::text from pg_class c \
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = any ($2) \
    and not has_table_privilege(c.oid, 'select') limit 1";

/// Whether a publication sends all that we need.
const SENDS_ALL: &str = "select pubinsert and pubupdate and pubdelete and pubtruncate and pubviaroot from pg_publication \
    where pubname = $1";

/// What is published of the configured tables: name, mark, whether rows are filtered. The mark changes with everything that may
/// have kept changes from us: the publication, a change of its options, the table, its membership.
const TABLES: &str = "select c.relname::text, concat_ws('.', p.oid, p.xmin, c.oid, r.oid, s.oid), r.prqual is not null \
    from pg_publication p cross join pg_class c join pg_namespace n on n.oid = c.relnamespace \
    left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = c.oid \
    left join pg_publication_namespace s on s.pnpubid = p.oid and s.pnnspid = n.oid \
    where p.pubname = $1 and n.nspname = $2 and c.relname = any ($3) \
    and (p.puballtables or r.oid is not null or s.oid is not null)";

const PRIMARY_KEYS: &str = "select c.relname::text, array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum)) \
    from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace \
    join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey::int2[]) \
    where i.indisprimary and n.nspname = $1 group by 1";

/// The columns that the stream sends: those of the publication's list. Before version 18 the view names generated columns too,
/// which are never sent there.
const COLUMNS: &str = "select a.attname::text, a.atttypid from pg_publication_tables t \
    join pg_namespace n on n.nspname = t.schemaname \
    join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename \
    join pg_attribute a on a.attrelid = c.oid and a.attname = any (t.attnames) and a.attnum > 0 \
    where t.pubname = $1 and t.schemaname = $2 and t.tablename = $3 \
    and (a.attgenerated = '' or current_setting('server_version_num')::int >= 180000) order by a.attnum";

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

/// Checks that the role may read every captured table.
pub(crate) async fn check_tables(client: &Client, config: &Config) -> Result<(), CaptureError> {
    let Some(row) = client.query_opt(UNREADABLE, &[&config.schema, &config.tables]).await? else { return Ok(()) };
    let (table, role): (String, String) = (row.get(0), row.get(1));
    let table = format!("{}.{table}", config.schema);
    let (what, mend) = (format!("read {table}"), format!("grant select on {table} to {role}"));
    Err(CaptureError::Rights { role, what, mend })
}

/// The publication as it is.
pub(crate) struct Publication {
    /// Whether it sends every kind of change; none where there is no publication.
    sends_all: Option<bool>,
    /// The configured tables that are in it.
    pub(crate) published: Published,
}

/// Looks at the publication, and refuses one that holds rows back: which ones its owner wants to be seen is not ours to say.
pub(crate) async fn inspect(client: &Client, config: &Config) -> Result<Publication, CaptureError> {
    let name = &config.publication;
    let sends_all = client.query_opt(SENDS_ALL, &[name]).await?.map(|row| row.get(0));
    let rows = client.query(TABLES, &[name, &config.schema, &config.tables]).await?;
    if let Some(row) = rows.iter().find(|row| row.get(2)) {
        let (schema, table): (&str, &str) = (&config.schema, row.get(0));
        return Err(CaptureError::Config(format!(
            "publication {name} filters the rows of {schema}.{table}; run `alter publication {name} drop table {schema}.{table}`, \
             and capture adds it without a filter"
        )));
    }
    Ok(Publication { sends_all, published: rows.iter().map(|row| (row.get(0), row.get(1))).collect() })
}

impl Publication {
    /// What has to be run for it to send all changes of all configured tables.
    pub(crate) fn lacks(&self, config: &Config) -> Option<String> {
        let (name, schema) = (&config.publication, &config.schema);
        let missing = config.tables.iter().filter(|table| !self.published.contains_key(*table));
        let missing: Vec<String> = missing.map(|table| format!("{schema}.\"{table}\"")).collect();
        let missing = missing.join(", ");
        let sends = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";
        let mut statements = Vec::new();
        match self.sends_all {
            None => return Some(format!("create publication {name} for table {missing} with ({sends})")),
            Some(false) => statements.push(format!("alter publication {name} set ({sends})")),
            Some(true) => {}
        }
        if !missing.is_empty() {
            statements.push(format!("alter publication {name} add table {missing}"));
        }
        (!statements.is_empty()).then(|| statements.join("; "))
    }
}

/// Whether changes of a known table may have passed by unpublished.
pub(crate) fn changed(known: &Published, published: &Published) -> bool {
    known.iter().any(|(table, mark)| published.get(table) != Some(mark))
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
    let rows = client.query(COLUMNS, &[&config.publication, &config.schema, &name]).await?;
    if rows.is_empty() {
        return Err(CaptureError::Postgres(format!("{name} left the publication before it was read")));
    }
    let key = keys.get(name).map_or(&[][..], Vec::as_slice);
    let column = |name: &str, type_oid: u32| Column::new(name, type_oid, key.iter().any(|of| of == name));
    let columns = rows.iter().map(|row| column(row.get(0), row.get(1))).collect();
    Ok(Table::new(database, &config.schema, name, columns, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_lacking() {
        let config = Config { tables: vec!["a".to_owned(), "b".to_owned()], ..Config::default() };
        let lacks = |sends_all, tables: &[&str]| {
            let published = tables.iter().map(|table| ((*table).to_owned(), String::new())).collect();
            Publication { sends_all, published }.lacks(&config)
        };
        let sends = "(publish = 'insert, update, delete, truncate', publish_via_partition_root = true)";
        assert_eq!(
            lacks(None, &[]),
            Some(format!("create publication storewide for table crm.\"a\", crm.\"b\" with {sends}"))
        );
        let set = format!("alter publication storewide set {sends}");
        let add = "alter publication storewide add table crm.\"b\"";
        assert_eq!(lacks(Some(false), &["a"]), Some(format!("{set}; {add}")));
        assert_eq!(lacks(Some(false), &["a", "b"]), Some(set));
        assert_eq!(lacks(Some(true), &["a"]), Some(add.to_owned()));
        assert_eq!(lacks(Some(true), &["a", "b"]), None);
    }
}
