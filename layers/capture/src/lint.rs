//! Tables of a publication that make PostgreSQL refuse writes: publishing a table changes what its owner may do with it.

use crate::{CaptureError, Config};
use tokio_postgres::Client;

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Without a replica identity, every UPDATE and DELETE fails.
    NoIdentity,
    /// With a column list and `REPLICA IDENTITY FULL`, every UPDATE and DELETE fails.
    ColumnListWithFull,
    /// With a column list that lacks a column of the replica identity, every UPDATE and DELETE fails.
    ColumnListWithoutKey,
    /// With a generated column that is not published and `REPLICA IDENTITY FULL`, every UPDATE and DELETE fails; from version 18 on.
    GeneratedWithFull,
    /// With a generated column in the key that is not published, every UPDATE and DELETE fails; from version 18 on.
    GeneratedInKey,
}

/// A table with a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The table, with its schema, quoted.
    pub table: String,
    /// The publication.
    pub publication: String,
    /// What is wrong.
    pub fault: Fault,
}

impl Finding {
    /// The statement that mends it.
    #[must_use]
    pub fn mend(&self) -> String {
        let Self { table, publication, fault } = self;
        match fault {
            Fault::NoIdentity => {
                format!("alter table {table} add primary key (…)` or `alter table {table} replica identity full")
            }
            // Capture adds it again, whole.
            Fault::ColumnListWithFull | Fault::ColumnListWithoutKey => {
                format!("alter publication {publication} drop table {table}")
            }
            Fault::GeneratedWithFull => format!("alter table {table} replica identity default"),
            Fault::GeneratedInKey => format!("alter table {table} replica identity using index …"),
        }
    }

    fn why(&self) -> &'static str {
        match self.fault {
            Fault::NoIdentity => "it has neither a primary key nor a replica identity",
            Fault::ColumnListWithFull => "it is published with a column list and has replica identity full",
            Fault::ColumnListWithoutKey => "it is published with a column list that lacks a part of its key",
            Fault::GeneratedWithFull => "it has a generated column, which is not published, and replica identity full",
            Fault::GeneratedInKey => "its key has a generated column, which is not published",
        }
    }
}

/// All findings in words.
pub(crate) fn report(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let (table, why, mend) = (&finding.table, finding.why(), finding.mend());
        format!("updates and deletes of {table} fail while it is published, since {why}: run `{mend}`")
    };
    findings.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The configured tables, which are published or will be, and all others of the publication. PostgreSQL takes no index for an
/// identity that is checked late. Which generated columns are published is asked in a way that versions before 18 understand.
const TABLES: &str = "select format('%I.%I', n.nspname, c.relname), c.relreplident::text, i.indexrelid is not null, \
    r.prattrs is not null, coalesce(not k.attnums <@ r.prattrs::int2[], false), \
    current_setting('server_version_num')::int >= 180000 and exists (select from pg_attribute a \
        where a.attrelid = c.oid and not a.attisdropped and a.attgenerated <> '' \
        and (a.attgenerated = 'v' or coalesce(to_jsonb(p) ->> 'pubgencols', 'n') <> 's') \
        and (c.relreplident = 'f' or (r.prattrs is null and a.attnum = any (k.attnums)))) \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    left join pg_publication p on p.pubname = $1 \
    left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = c.oid \
    left join pg_index i on i.indrelid = c.oid and i.indisvalid and i.indimmediate \
        and ((c.relreplident = 'd' and i.indisprimary) or (c.relreplident = 'i' and i.indisreplident)) \
    left join lateral (select array_agg(attnum) from unnest(i.indkey::int2[]) with ordinality u(attnum, place) \
        where place <= i.indnkeyatts) k(attnums) on true \
    where (n.nspname = $2 and c.relname = any ($3)) \
    or (n.nspname, c.relname) in (select schemaname, tablename from pg_publication_tables where pubname = $1) order by 1";

/// Looks at every table that is published or will be.
pub(crate) async fn check(client: &Client, config: &Config) -> Result<Vec<Finding>, CaptureError> {
    let publication = &config.publication;
    let rows = client.query(TABLES, &[publication, &config.schema, &config.tables]).await?;
    let findings = rows.iter().filter_map(|row| {
        let fault = judge(row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))?;
        Some(Finding { table: row.get(0), publication: publication.clone(), fault })
    });
    Ok(findings.collect())
}

fn judge(identity: &str, index: bool, column_list: bool, without_key: bool, generated: bool) -> Option<Fault> {
    match identity {
        "f" if column_list => Some(Fault::ColumnListWithFull),
        "f" if generated => Some(Fault::GeneratedWithFull),
        "f" => None,
        "d" | "i" if !index => Some(Fault::NoIdentity),
        "d" | "i" if without_key => Some(Fault::ColumnListWithoutKey),
        "d" | "i" if generated => Some(Fault::GeneratedInKey),
        "d" | "i" => None,
        _ => Some(Fault::NoIdentity),
    }
}
