//! Tables of a publication that make PostgreSQL refuse writes: publishing a table changes what its owner may do with it.

use crate::CaptureError;
use tokio_postgres::Client;

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Without a replica identity, every UPDATE and DELETE fails.
    NoIdentity,
    /// With a column list and `REPLICA IDENTITY FULL`, every UPDATE and DELETE fails.
    ColumnListWithFull,
    /// With a stored generated column and `REPLICA IDENTITY FULL`, every UPDATE and DELETE fails (from version 18).
    GeneratedWithFull,
}

/// A table with a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The table, with its schema, quoted.
    pub table: String,
    /// What is wrong.
    pub fault: Fault,
}

impl Finding {
    /// The statement that mends it.
    #[must_use]
    pub fn mend(&self) -> String {
        let table = &self.table;
        match self.fault {
            Fault::NoIdentity => {
                format!("alter table {table} add primary key (…)` or `alter table {table} replica identity full")
            }
            Fault::ColumnListWithFull | Fault::GeneratedWithFull => {
                format!("alter table {table} replica identity default")
            }
        }
    }

    fn why(&self) -> &'static str {
        match self.fault {
            Fault::NoIdentity => "it has neither a primary key nor a replica identity",
            Fault::ColumnListWithFull => "it is published with a column list and has replica identity full",
            Fault::GeneratedWithFull => "it has a stored generated column and replica identity full",
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

const TABLES: &str = "select format('%I.%I', n.nspname, c.relname), c.relreplident::text, \
    exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary), \
    exists (select from pg_index i where i.indrelid = c.oid and i.indisreplident), \
    exists (select from pg_attribute a where a.attrelid = c.oid and a.attgenerated = 's' and not a.attisdropped), \
    exists (select from pg_publication_rel r where r.prpubid = p.oid and r.prrelid = c.oid and r.prattrs is not null) \
    from pg_publication p join pg_publication_tables t on t.pubname = p.pubname \
    join pg_namespace n on n.nspname = t.schemaname join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename \
    where p.pubname = $1 and (p.pubupdate or p.pubdelete) order by 1";

/// Looks at every table of a publication.
pub(crate) async fn check(client: &Client, publication: &str) -> Result<Vec<Finding>, CaptureError> {
    let rows = client.query(TABLES, &[&publication]).await?;
    let findings = rows.iter().filter_map(|row| {
        let identity: &str = row.get(1);
        let fault = judge(identity, row.get(2), row.get(3), row.get(4), row.get(5))?;
        Some(Finding { table: row.get(0), fault })
    });
    Ok(findings.collect())
}

fn judge(identity: &str, primary_key: bool, index: bool, generated: bool, column_list: bool) -> Option<Fault> {
    match identity {
        "f" if column_list => Some(Fault::ColumnListWithFull),
        "f" if generated => Some(Fault::GeneratedWithFull),
        "f" => None,
        "d" => (!primary_key).then_some(Fault::NoIdentity),
        "i" => (!index).then_some(Fault::NoIdentity),
        _ => Some(Fault::NoIdentity),
    }
}
