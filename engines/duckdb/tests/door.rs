//! The read-only door.

use crate::rows::{LIMITS, ask, batch, open, put, query, store};
use serving::value::Value;
use serving::{Analytics, Limits, ServingError};
use std::time::Duration;

#[tokio::test]
async fn reading_statements_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    engine.apply(batch([put("stores", (1, 0), true, vec![store(1, "one")])], 1)).await.unwrap();
    for sql in [
        "select name from stores",
        "  SELECT name FROM stores ; -- the end",
        "with s as (select * from stores) select name from s;",
        "from stores select name",
        "table stores",
        "values (1), (2)",
        "describe stores",
        "show tables",
        "summarize stores",
        "explain select 1",
        "EXPLAIN ANALYZE select count(*) from stores",
        "pivot (select 1 as a, 2 as b) on a in (1) using sum(b)",
        "select [1, 2] as list, {'a': 1} as struct, 1.50::decimal(9,2), 'x'::blob, interval 1 day, sum(1), 1e400::double",
    ] {
        let result = query(&engine, sql).await;
        assert!(result.as_ref().is_ok_and(|result| !result.rows.is_empty()), "{sql}: {result:?}");
    }
    let sql = "select 1::tinyint, 2.50, date '2024-02-29', timestamp '2024-01-01 00:00:00.5', true, null, [1], {'a': 'b'}, \
               170141183460469231731687303715884105727::hugeint, '018f0000-0000-7000-8000-000000000001'::uuid, time '01:02:03'";
    let expected = r#"[[1,"2.50","2024-02-29","2024-01-01T00:00:00.5Z",true,null,[1],{"a":"b"},"170141183460469231731687303715884105727","018f0000-0000-7000-8000-000000000001","01:02:03"]]"#;
    assert_eq!(ask(&engine, sql).await, expected);
    let params = vec![Value::text("one"), Value::Uuid(1)];
    let found =
        engine.query("select name from stores where name = ? and store_id = ?::uuid", params, LIMITS).await.unwrap();
    assert_eq!(found.rows.len(), 1);
}

#[tokio::test]
async fn nothing_else_passes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let secret = folder.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let secret = secret.to_str().unwrap();
    let out = folder.path().join("out.csv");
    let out = out.to_str().unwrap();
    let refused = [
        "insert into stores (store_id) values (uuid())".to_owned(),
        "update stores set name = 'x'".to_owned(),
        "delete from stores".to_owned(),
        "truncate stores".to_owned(),
        "drop table stores".to_owned(),
        "create table x (a int)".to_owned(),
        "create temp table x (a int)".to_owned(),
        "create view x as select 1".to_owned(),
        "create macro f(a) as a".to_owned(),
        "alter table stores add column x int".to_owned(),
        "select 1; select 2".to_owned(),
        "select 1; drop table stores".to_owned(),
        "explain analyze delete from stores".to_owned(),
        "explain delete from stores".to_owned(),
        "with x as (delete from stores returning *) select * from x".to_owned(),
        "begin".to_owned(),
        "commit".to_owned(),
        "set memory_limit = '10GB'".to_owned(),
        "reset memory_limit".to_owned(),
        "pragma database_list".to_owned(),
        "pragma enable_profiling".to_owned(),
        "install httpfs".to_owned(),
        "load httpfs".to_owned(),
        "attach ':memory:' as x".to_owned(),
        format!("attach '{out}' as x"),
        format!("copy stores to '{out}'"),
        format!("copy stores from '{secret}'"),
        format!("export database '{out}'"),
        format!("select * from read_csv('{secret}')"),
        format!("select * from '{secret}'"),
        format!("select * from read_text('{secret}')"),
        format!("select * from glob('{secret}')"),
        format!("select * from read_blob('{secret}')"),
        "call pragma_version()".to_owned(),
        "prepare p as select 1".to_owned(),
        "vacuum".to_owned(),
        "checkpoint".to_owned(),
        "use main".to_owned(),
        "select * from no_such_table".to_owned(),
        "selec 1".to_owned(),
        String::new(),
        ";".to_owned(),
        "select 'a\0b'".to_owned(),
        "(".repeat(20_000),
    ];
    for sql in refused {
        let result = query(&engine, &sql).await;
        let shown: String = sql.chars().take(60).collect();
        assert!(matches!(result, Err(ServingError::Query(_) | ServingError::NotARead(_))), "{shown}: {result:?}");
    }
    assert_eq!(ask(&engine, "select count(*) from stores").await, "[[0]]");
    assert!(!std::path::Path::new(out).exists());
    assert!(
        query(&engine, "select current_setting('enable_external_access')").await.is_ok_and(|r| r.rows == [[false]])
    );
}

#[tokio::test]
async fn an_answer_has_limits() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let few = Limits { rows: 10, ..LIMITS };
    let result = engine.query("select range as n from range(1000000) order by n desc", Vec::new(), few).await.unwrap();
    assert!(result.truncated);
    assert_eq!(result.rows.first().unwrap(), &[serde_json::json!(999_999)]);
    assert_eq!(result.rows.last().unwrap(), &[serde_json::json!(999_990)]);
    let exact = engine.query("select * from range(10)", Vec::new(), few).await.unwrap();
    assert!(!exact.truncated && exact.rows.len() == 10);
    let small = Limits { bytes: 1000, ..LIMITS };
    let large = engine.query("select repeat('x', 2000)", Vec::new(), small).await;
    assert!(matches!(large, Err(ServingError::TooLarge(1000))), "{large:?}");
    let short = Limits { sql_bytes: 10, ..LIMITS };
    assert!(engine.query("select 1 + 1 + 1", Vec::new(), short).await.is_err());
}

#[tokio::test]
async fn a_query_ends_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let endless = "select count(*) from range(1000000000) a, range(1000000000) b where a.range * b.range % 7 = 3";
    let short = Limits { time: Duration::from_millis(100), ..LIMITS };
    for _ in 0..3 {
        let result = engine.query(endless, Vec::new(), short).await;
        assert!(matches!(result, Err(ServingError::Timeout(100))), "{result:?}");
    }
    // Callers that go away free their places too.
    for _ in 0..4 {
        let gone = tokio::time::timeout(Duration::from_millis(30), engine.query(endless, Vec::new(), LIMITS)).await;
        assert!(gone.is_err());
    }
    assert_eq!(ask(&engine, "select 1").await, "[[1]]");
}
