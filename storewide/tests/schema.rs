//! The store's schema as the database itself knows it, against what the rest of the house declares of it.

use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use model::{Layer, Tokeniser, topic};
use oltp::{Config, Oltp};
use runtime::Telemetry;
use serving::tables;
use serving::value::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Tables that must not travel: personal data, secrets, what only the store itself needs. Each with its reason.
const UNPUBLISHED: &[(&str, &str)] = &[
    ("member_pii", "names, birth dates and postal addresses"),
    ("order_pii", "postal addresses"),
    ("member_identity_value", "addresses, numbers"),
    ("consent_evidence", "what a member wrote or signed"),
    ("coupon_code", "codes are worth money"),
    ("coupon_allowance", "counters, which the redemptions sum up to"),
    ("coupon_move", "what a merge moved, for its way back"),
    ("member_merge_item", "what a merge moved, for its way back"),
    ("owned_relation", "which tables follow a member, the same in every house"),
    ("idempotency", "answers, for repeats"),
    ("api_key", "hashes of keys"),
    ("points_merge", "what an un-merge gives back"),
    ("points_merge_part", "what an un-merge gives back"),
    ("record_kind", "how commands name records, the same in every house"),
    ("inbox", "deliveries as they came"),
    ("import_job", "what waits to be run"),
    ("import_chunk", "lines as they came"),
    ("import_failure", "what an import tells its sender"),
];

/// Columns that serve the store alone.
const UNSERVED: &[(&str, &str)] = &[("action", "outcome_open")];

async fn migrated() -> tokio_postgres::Client {
    let pg = fresh_database(Version::System).await.unwrap();
    let meter = Telemetry::default().meter(Layer::Oltp);
    Oltp::new(&Config::default(), pg.clone(), Tokeniser::new(b"test"), meter).unwrap().migrate().await.unwrap();
    connect(&pg).await.unwrap()
}

/// Tables of the store with the names and types of their columns, without those that are reckoned from others, which do not travel.
/// Partitions are their table's.
async fn columns() -> BTreeMap<String, Vec<(String, String)>> {
    let sql = "select c.relname::text, a.attname::text, format_type(a.atttypid, null) from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1, a.attnum";
    let mut tables = BTreeMap::<String, Vec<_>>::new();
    for row in migrated().await.query(sql, &[]).await.unwrap() {
        tables.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    tables
}

fn kinds(sql: &str) -> &'static [Kind] {
    match sql {
        "boolean" => &[Kind::Bool],
        "smallint" | "integer" | "bigint" => &[Kind::Int],
        "numeric" => &[Kind::Decimal],
        "text" | "interval" | "bytea" => &[Kind::Text],
        "timestamp with time zone" => &[Kind::Timestamp],
        "date" => &[Kind::Date],
        "uuid" => &[Kind::Uuid],
        _ => &[Kind::Json, Kind::Text],
    }
}

#[tokio::test]
async fn every_table_is_captured_or_says_why_not() {
    let stored: BTreeSet<String> = columns().await.into_keys().collect();
    let captured: BTreeSet<String> = topic::CRM_TABLES.map(str::to_owned).into();
    let kept: BTreeSet<String> = UNPUBLISHED.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert!(captured.is_disjoint(&kept));
    let told: BTreeSet<String> = captured.union(&kept).cloned().collect();
    assert_eq!(stored.symmetric_difference(&told).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test]
async fn every_captured_column_is_served() {
    let stored = columns().await;
    for table in tables::crm() {
        let name = table.store.unwrap();
        let ours = |column: &&(String, String)| !UNSERVED.contains(&(name, column.0.as_str()));
        let columns: Vec<_> = stored[name].iter().filter(ours).collect();
        let names: BTreeSet<&str> = columns.iter().map(|column| column.0.as_str()).collect();
        let served: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(names.symmetric_difference(&served).collect::<Vec<_>>(), Vec::<&&str>::new(), "{}", table.name);
        for (name, kind) in columns {
            let found = table.columns[table.column(name).unwrap()].kind;
            assert!(kinds(kind).contains(&found), "{}.{name} is {kind}, served as {found:?}", table.name);
        }
    }
}

#[tokio::test]
async fn every_table_and_column_says_what_it_means() {
    let sql = "select c.relname || coalesce('.' || a.attname, '') from pg_class c
        left join lateral (select a.attname, a.attnum from pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            union all select null, 0) a on true
        where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and col_description(c.oid, a.attnum) is null and (a.attnum > 0 or obj_description(c.oid, 'pg_class') is null)";
    let silent: Vec<String> = migrated().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(silent.is_empty(), "without a comment: {silent:?}");
}
