//! Applying batches: the result depends on versions alone.

use crate::rows::{ask, batch, gone, open, put, row, sample, store};
use bus::TopicPartition;
use proptest::prelude::*;
use serving::Analytics;
use serving::batch::{RowChange, RowOp};
use serving::tables::{TABLES, number};
use serving::value::Value;
use std::collections::BTreeMap;

#[tokio::test]
async fn every_kind_of_value_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    for (number, table) in TABLES.iter().enumerate() {
        let row: Vec<Value> = table.columns.iter().map(|column| sample(column.kind)).collect();
        let key = row[..table.key].to_vec();
        let change = RowChange::Put { rows: vec![row.clone()], created: false };
        engine.apply(batch([RowOp { table: number, key, version: (3, 4), change }], 1)).await.unwrap();
        let names: Vec<String> = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        let [first, second] = table.hidden();
        let found =
            crate::rows::query(&engine, &format!("select {}, {first}, {second} from {}", names.join(","), table.name))
                .await;
        let found = found.unwrap();
        let mut expected: Vec<serde_json::Value> = table
            .columns
            .iter()
            .zip(&row)
            .map(|(column, value)| match value {
                Value::Decimal(_) => serde_json::json!("12.5000"),
                Value::Text(text) => serde_json::json!(text),
                value => value.to_json(column.kind),
            })
            .collect();
        expected.extend([serde_json::json!(3), serde_json::json!(4)]);
        assert_eq!(found.rows, [expected], "{}", table.name);
    }
}

#[tokio::test]
async fn a_set_replaces_a_set() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let tags = |offset, tags: &[&str]| {
        let row = |tag: &&str| row("member_tags", &[("person", Value::text("m:1")), ("tag", Value::text(*tag))]);
        let rows: Vec<_> = tags.iter().map(row).collect();
        put("member_tags", (0, offset), false, rows)
    };
    engine.apply(batch([tags(0, &["a", "b"])], 1)).await.unwrap();
    engine.apply(batch([tags(1, &["b", "c", "d"])], 2)).await.unwrap();
    assert_eq!(ask(&engine, "select tag from member_tags order by tag").await, r#"[["b"],["c"],["d"]]"#);
    // A replay of the first changes nothing; another partition's rows are its own.
    engine.apply(batch([tags(0, &["a", "b"])], 2)).await.unwrap();
    engine.apply(batch([gone("member_tags", (1, 9), vec![Value::text("m:1")])], 3)).await.unwrap();
    assert_eq!(ask(&engine, "select count(*) from member_tags").await, "[[3]]");
    engine.apply(batch([gone("member_tags", (0, 2), vec![Value::text("m:1")])], 4)).await.unwrap();
    assert_eq!(ask(&engine, "select count(*) from member_tags").await, "[[0]]");
}

#[tokio::test]
async fn unchanged_columns_keep_the_served_value() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let mut part = store(1, "new name");
    let place = TABLES[number("stores").unwrap()].column("attributes").unwrap();
    let mut whole = store(1, "old name");
    whole[place] = Value::text(r#"{"size":"large"}"#);
    part[place] = Value::Unchanged;
    engine.apply(batch([put("stores", (1, 0), true, vec![whole])], 1)).await.unwrap();
    engine.apply(batch([put("stores", (2, 0), false, vec![part])], 2)).await.unwrap();
    let found = ask(&engine, "select name, attributes from stores").await;
    assert_eq!(found, r#"[["new name","{\"size\":\"large\"}"]]"#);
}

#[tokio::test]
async fn positions_and_the_memory_of_what_is_gone_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = open(folder.path()).await;
        engine.apply(batch([put("stores", (5, 0), true, vec![store(1, "a")])], 1)).await.unwrap();
        engine.apply(batch([gone("stores", (9, 0), vec![Value::Uuid(1)])], 2)).await.unwrap();
        engine.checkpoint().await.unwrap();
        engine.apply(batch([], 3)).await.unwrap();
    }
    let engine = open(folder.path()).await;
    let positions = engine.positions().await.unwrap();
    assert_eq!(positions, BTreeMap::from([(TopicPartition::new("crm.store", 0), 3)]));
    engine.apply(batch([put("stores", (8, 0), false, vec![store(1, "late")])], 4)).await.unwrap();
    assert_eq!(ask(&engine, "select count(*) from stores").await, "[[0]]");
    engine.apply(batch([put("stores", (10, 0), true, vec![store(1, "again")])], 5)).await.unwrap();
    assert_eq!(ask(&engine, "select name from stores").await, r#"[["again"]]"#);
    // Far more commits than the log of positions keeps.
    for reach in 6..40 {
        let mut many = batch([], reach);
        for partition in 0..1000 {
            many.reach(&TopicPartition::new("derived.signals", partition), reach);
        }
        engine.apply(many).await.unwrap();
    }
    let positions = engine.positions().await.unwrap();
    assert!(positions.len() == 1001 && positions.values().all(|next| *next == 39));
    let rows = crate::rows::query(&engine, "select count(*) from _serving.positions").await.unwrap().rows;
    assert!(rows[0][0].as_i64().unwrap() <= 21_000, "{rows:?}");
}

#[derive(Clone, Debug)]
enum Change {
    Put(String),
    Remove,
    Truncate,
}

/// A history of one table as the store would make it: versions grow, creations only of what is not there.
fn history() -> impl Strategy<Value = Vec<RowOp>> {
    let change = prop_oneof![
        8 => "[a-z]{1,4}".prop_map(Change::Put),
        2 => Just(Change::Remove),
        1 => Just(Change::Truncate),
    ];
    proptest::collection::vec((0_u128..6, change), 1..40).prop_map(|changes| {
        let mut alive = std::collections::BTreeSet::new();
        let mut ops = Vec::new();
        for (lsn, (id, change)) in (1_i64..).zip(changes) {
            ops.push(match change {
                Change::Put(name) => put("stores", (lsn, 0), alive.insert(id), vec![store(id, &name)]),
                Change::Remove => {
                    alive.remove(&id);
                    gone("stores", (lsn, 0), vec![Value::Uuid(id)])
                }
                Change::Truncate => {
                    alive.clear();
                    RowOp { change: RowChange::Truncate, ..gone("stores", (lsn, 0), vec![]) }
                }
            });
        }
        ops
    })
}

fn naive(history: &[RowOp]) -> BTreeMap<u128, String> {
    let mut rows = BTreeMap::new();
    for op in history {
        match (&op.change, op.key.first()) {
            (RowChange::Truncate, _) => rows.clear(),
            (RowChange::Put { rows: new, .. }, Some(Value::Uuid(id))) => match new.first().map(|row| &row[2]) {
                Some(Value::Text(name)) => {
                    rows.insert(*id, name.clone());
                }
                _ => {
                    rows.remove(id);
                }
            },
            _ => unreachable!("stores have one key column"),
        }
    }
    rows
}

/// The same history, with all versions raised by a base.
fn raised(op: &RowOp, base: i64) -> RowOp {
    RowOp { version: (op.version.0 + base, 0), ..op.clone() }
}

#[test]
fn replays_and_reorders_end_in_the_same_rows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = runtime.block_on(open(folder.path()));
    let strategy = (
        history(),
        proptest::collection::vec((any::<u16>(), 1_usize..8), 40),
        proptest::collection::vec(any::<bool>(), 40),
    );
    let base = std::cell::Cell::new(0);
    let config =
        ProptestConfig { cases: 100, max_shrink_iters: 500, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = proptest::test_runner::TestRunner::new(config).run(&strategy, |(history, order, repeats)| {
        // Each case has versions of its own and begins with an empty table.
        base.set(base.get() + 1000);
        let mut shuffled: Vec<(u16, RowOp)> = Vec::new();
        for ((op, (place, _)), repeat) in history.iter().zip(&order).zip(&repeats) {
            shuffled.push((*place, raised(op, base.get())));
            if *repeat {
                shuffled.push((place.wrapping_mul(31), raised(op, base.get())));
            }
        }
        shuffled.sort_by_key(|(place, _)| *place);
        let mut left: Vec<RowOp> = shuffled.into_iter().map(|(_, op)| op).collect();
        let expected: Vec<_> =
            naive(&history).into_iter().map(|(id, name)| serde_json::json!([format!("S{id}"), name])).collect();
        let found = runtime.block_on(async {
            let emptied = RowOp { change: RowChange::Truncate, ..gone("stores", (base.get(), 0), vec![]) };
            engine.apply(batch([emptied], 0)).await.unwrap();
            for (reach, (_, size)) in (1_i64..).zip(&order) {
                let rest = left.split_off((*size).min(left.len()));
                let now = std::mem::replace(&mut left, rest);
                if !now.is_empty() {
                    engine.apply(batch(now, reach)).await.unwrap();
                }
            }
            engine.apply(batch(left, 99)).await.unwrap();
            ask(&engine, "select store_code, name from stores order by store_id").await
        });
        prop_assert_eq!(found, serde_json::to_string(&expected).unwrap());
        Ok(())
    });
    outcome.unwrap();
}
