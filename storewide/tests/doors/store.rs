//! What PostgreSQL itself holds.

use crate::program::Program;
use std::collections::BTreeMap;

/// Tables that refused commands must leave alone.
const TABLES: [&str; 14] = [
    "store",
    "product",
    "sku",
    "member",
    "member_pii",
    "member_identity",
    "consent",
    "sales_order",
    "order_line",
    "payment",
    "sales_return",
    "return_line",
    "points_account",
    "points_ledger",
];

/// Rows of the store, and its members' balances, as PostgreSQL itself counts them.
pub async fn counts(program: &Program) -> BTreeMap<&'static str, i64> {
    let folder = program.data().join("postgres");
    let note = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let note: Vec<_> = note.lines().collect();
    let mut config = tokio_postgres::Config::new();
    config
        .user("storewide")
        .dbname("storewide")
        .options("-c search_path=crm")
        .port(note[3].parse().unwrap())
        .host_path(note[4]);
    config.password(std::fs::read_to_string(folder.join("password")).unwrap().trim());
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let mut counts = BTreeMap::new();
    for table in TABLES {
        let row = client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap();
        counts.insert(table, row.get(0));
    }
    let balance = client.query_one("select coalesce(sum(balance), 0)::bigint from points_account", &[]).await.unwrap();
    counts.insert("balance", balance.get(0));
    counts
}
