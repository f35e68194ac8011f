//! The read-only door.

use crate::rows::{LIMITS, ask, batch, open, put, query, store};
use serving::value::Value;
use serving::{Analytics, Limits, ServingError};
use std::process::{Command, Stdio};
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
        "with s as materialized (select * from stores) select name from s",
        "select name, 'a materialized view' from stores",
        "from stores select name",
        "table stores",
        "values (1), (2)",
        "describe stores",
        "show tables",
        "summarize stores",
        "explain select 1",
        "EXPLAIN ANALYZE select count(*) from stores",
        "pivot (select 1 as a, 2 as b) on a in (1) using sum(b)",
        "select count(*) from stores, generate_series(1, 3) s(n), unnest([1, 2]) u(n)",
        "select x.key, list_transform([1, 2], y -> y + 1), name ilike 'o%', count(*) over w, try_cast(name as int) \
         from stores, json_each('{\"a\": 1}') x window w as (order by name rows 1 preceding) order by all limit 3",
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

/// What is no reading statement of tables, or reads what is no table. `{secret}` is a file that is there, `{out}` one that is not.
const REFUSED: [&str; 75] = [
    "insert into stores (store_id) values (uuid())",
    "update stores set name = 'x'",
    "delete from stores",
    "truncate stores",
    "drop table stores",
    "create table x (a int)",
    "create temp table x (a int)",
    "create view x as select 1",
    "create macro f(a) as a",
    "alter table stores add column x int",
    "select 1; select 2",
    "select 1; drop table stores",
    "explain analyze delete from stores",
    "explain delete from stores",
    "with x as (delete from stores returning *) select * from x",
    "begin",
    "commit",
    "set memory_limit = '10GB'",
    "reset memory_limit",
    "pragma database_list",
    "pragma enable_profiling",
    "install httpfs",
    "load httpfs",
    "attach ':memory:' as x",
    "attach '{out}' as x",
    "copy stores to '{out}'",
    "copy stores from '{secret}'",
    "export database '{out}'",
    "select * from read_csv('{secret}')",
    "select * from '{secret}'",
    "select * from read_text('{secret}')",
    "select * from glob('{secret}')",
    "select * from read_blob('{secret}')",
    "select * from enable_logging('QueryLog')",
    "select * from enable_logging('QueryLog', storage='file', storage_path='{out}')",
    "select * from disable_logging()",
    "select * from duckdb_logs",
    "select * from \"DUCKDB_LOGS\"",
    "from duckdb_logs()",
    "select * from truncate_duckdb_logs()",
    "select write_log('x')",
    "select * from enable_profiling()",
    "select * from enable_profiling(save_location='{out}')",
    "from checkpoint()",
    "select (select count(*) from force_checkpoint())",
    "explain analyze select * from checkpoint()",
    "describe (select * from checkpoint())",
    "with x as (select * from checkpoint()) select 1",
    "select * from query('select 1')",
    "select * from query_table('stores')",
    "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "select * from duckdb_settings()",
    "select current_setting('temp_directory')",
    "select getvariable('x')",
    "select getenv('HOME')",
    "select system.main.current_query()",
    "select 1 order by sleep_ms(1)",
    "select sum(1) over (order by \"Sleep_MS\"(1))",
    "select list_transform([1], x -> sleep_ms(x))",
    "select '1'.json_structure()",
    "with a as (select 1), b as not materialized (select * from a, a as c) select * from b, b as c",
    "with a as (select 1), b as not -- as\n materialized (select * from a) select * from b",
    "with a as (select 1), b as not /* as */ materialized (select * from a) select * from b",
    "select '1'::json::variant[]",
    "select 'POINT(1 1)'::geometry",
    "call pragma_version()",
    "prepare p as select 1",
    "vacuum",
    "checkpoint",
    "use main",
    "select * from no_such_table",
    "selec 1",
    "",
    ";",
    "select 'a\0b'",
];

#[tokio::test]
async fn nothing_else_passes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let secret = folder.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let secret = secret.to_str().unwrap();
    let out = folder.path().join("out.csv");
    let out = out.to_str().unwrap();
    let refused = REFUSED.map(|sql| sql.replace("{secret}", secret).replace("{out}", out));
    for sql in refused.into_iter().chain(["(".repeat(20_000)]) {
        let result = query(&engine, &sql).await;
        let shown: String = sql.chars().take(60).collect();
        use ServingError::{NotARead, NotServed, Query};
        assert!(matches!(result, Err(Query(_) | NotARead(_) | NotServed(_))), "{shown}: {result:?}");
    }
    assert_eq!(ask(&engine, "select count(*) from stores").await, "[[0]]");
    assert!(!std::path::Path::new(out).exists());
    // Nothing of it has harmed the writer either.
    engine.apply(batch([put("stores", (1, 0), true, vec![store(1, "one")])], 1)).await.unwrap();
    engine.checkpoint().await.unwrap();
}

/// Set in the child, which then asks until it has an answer to everything.
const ASK: &str = "STOREWIDE_TEST_DOOR_ASK";

/// Texts and documents that go deep; as they stand, DuckDB alone follows some of them until its stack ends.
fn deep() -> Vec<String> {
    let nested = |open: &str, middle: &str, close: &str, levels: usize| {
        format!("select {}{middle}{}", open.repeat(levels), close.repeat(levels))
    };
    let document = "(repeat('[', 1000000) || repeat(']', 1000000))";
    let object = "(repeat('{\"a\":', 1000000) || '1' || repeat('}', 1000000))";
    let chain = |links: usize| {
        let link = |number: usize| format!("c{number} as (select * from c{})", number - 1);
        let links: Vec<String> = (1..links).map(link).collect();
        format!("with c0 as (select 1 as a), {} select count(*) from c{}", links.join(", "), links.len())
    };
    vec![
        format!("select json_contains({document}, '1')"),
        format!("select json_structure({document})"),
        format!("select json_merge_patch({object}, {object})"),
        format!("select json_group_structure({document}::json)"),
        format!("select {document}::json::variant"),
        format!("select {document}::variant"),
        format!("select from_json('1', {document})"),
        format!("select json_transform('1', {document})"),
        format!("select json_valid({document}), json_keys({object}), json_extract({document}, '$[0]') is null"),
        format!("select {document}::json::varchar[]"),
        chain(450),
        chain(1_500),
        nested("(", "1", ")", 20_000),
        nested("abs(", "1", ")", 900),
        nested("1 + ", "1", "", 900),
        nested("(select ", "1", ")", 900),
        nested("[", "1", "]", 900),
        nested("case when true then 1 else ", "2", " end", 900),
        nested("", "null::int", "[]", 900),
        nested("", "a", ".b", 20_000) + " from (select 1 as a)",
        nested("", "1 from (select 1)", ", (select 1)", 900),
    ]
}

#[tokio::test]
async fn no_depth_ends_the_process() {
    if std::env::var_os(ASK).is_some() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path()).await;
        for sql in deep() {
            let shown: String = sql.chars().take(80).collect();
            eprintln!("{shown}");
            let answer = query(&engine, &sql).await;
            assert!(!matches!(answer, Err(ServingError::Timeout(_) | ServingError::Store(_))), "{shown}: {answer:?}");
        }
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["door::no_depth_ends_the_process", "--exact", "--nocapture"])
        .env(ASK, "1")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{} after {}", child.status, said.lines().last().unwrap_or_default());
}

#[tokio::test]
async fn tools_may_ask_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    for sql in [
        "select table_name from information_schema.tables where table_name = 'stores'",
        "select column_name from information_schema.columns where table_name = 'stores'",
        "select relname from pg_catalog.pg_class where relname = 'stores'",
        "select table_name from duckdb_tables()",
        "select column_name from duckdb_columns where table_name = 'stores'",
        "select view_name from duckdb_views() where not internal",
        "select name from pragma_table_info('stores')",
        "select current_database(), current_schema(), current_user, version(), current_date, now(), pg_typeof(1)",
    ] {
        let result = query(&engine, sql).await;
        assert!(result.as_ref().is_ok_and(|result| !result.rows.is_empty()), "{sql}: {result:?}");
    }
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
    // At once, too: the query has not begun then, and does not hear the first interrupt.
    for _ in 0..4 {
        let gone = tokio::time::timeout(Duration::ZERO, engine.query(endless, Vec::new(), LIMITS)).await;
        assert!(gone.is_err());
    }
    assert_eq!(ask(&engine, "select 1").await, "[[1]]");
}
