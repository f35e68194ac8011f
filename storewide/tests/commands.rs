//! The commands as people and scripts use them: on a running server, on a directory that nobody serves, and against a wrong
//! state, which they must see.

use crate::program::Program;
use serde_json::Value;
use std::process::Command;

/// Rows that are wrong on purpose, made while nobody serves, and what an audit must say of their table: missing, extra, different.
const DAMAGE: [(&str, &str, [u64; 3]); 5] = [
    ("skus", "delete from skus where sku_code = '7'", [1, 0, 0]),
    ("consents", "insert into consents select * from consents limit 1", [0, 1, 0]),
    ("products", "update products set title = 'Another' where product_code = '9'", [0, 0, 1]),
    (
        "stores",
        "insert into stores by name select * replace (gen_random_uuid() as store_id) from stores limit 1",
        [0, 1, 0],
    ),
    ("members", "update members set attributes = '{\"a\": 1}' where member_no = 'household-3'", [0, 0, 1]),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_sees_every_kind_of_damage() {
    let mut program = Program::start(&[]).await;
    program.stock().await;
    let clean = program.run(&["audit", "--json"]);
    let report: Value = serde_json::from_slice(&clean.stdout).unwrap();
    assert!(clean.status.success(), "{report}");
    assert!(report["tables"].as_u64().unwrap() > 15 && report["rows"].as_u64().unwrap() > 100, "{report}");
    program.stop();
    let file = std::fs::read_dir(program.data().join("serving")).unwrap().flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "duckdb")).unwrap();
    let tables = duckdb::Connection::open(file).unwrap();
    for (table, sql, _) in DAMAGE {
        assert_eq!(tables.execute(sql, []).unwrap(), 1, "{table}");
    }
    drop(tables);
    // Nobody serves: the audit starts what it needs.
    let damaged = program.run(&["audit", "--json"]);
    let report: Value = serde_json::from_slice(&damaged.stdout).unwrap();
    assert!(!damaged.status.success(), "{report}");
    for of in report["by_table"].as_array().unwrap() {
        let expected =
            DAMAGE.iter().find(|(table, ..)| of["table"] == **table).map_or([0, 0, 0], |(.., expected)| *expected);
        assert_eq!([&of["missing"], &of["extra"], &of["different"]], expected.map(Value::from).each_ref(), "{of}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_where_nobody_serves() {
    let mut program = Program::start(&[]).await;
    program.stock().await;
    program.stop();
    let made = program.command(&["keys", "create", "till-7", "--role", "writer", "--json"]);
    assert!(made["secret"].as_str().unwrap().len() > 20);
    let keys = program.command(&["keys", "list", "--json"]);
    assert!(keys["items"].as_array().unwrap().iter().any(|key| key["name"] == "till-7"), "{keys}");
    let answer = program.command(&["sql", "select count(*) from products", "--format", "json"]);
    assert_eq!(answer["rows"][0][0].to_string().trim_matches('"'), "40", "{answer}");
    let status = program.command(&["status", "--json"]);
    assert_eq!(status["layers"].as_array().unwrap().len(), 8, "{status}");
    let refused = program.command(&["quarantine", "list", "--json"]);
    assert_eq!(refused["entries"].as_array().unwrap().len(), 0, "{refused}");
    let csv = program.run(&["sql", "select product_code from products order by 1", "--format", "csv", "--limit", "3"]);
    assert!(csv.status.success());
    assert_eq!(String::from_utf8_lossy(&csv.stdout).lines().count(), 4, "a header and three rows");
    assert!(String::from_utf8_lossy(&csv.stderr).contains("more were left out"), "a cut answer says so");
    let wrong = program.run(&["sql", "drop table products"]);
    assert!(!wrong.status.success() && !wrong.stderr.is_empty());
    // A directory that belongs to one store is not opened with another.
    std::fs::write(program.data().join("deployment"), "another").unwrap();
    let other = program.run(&["status"]);
    assert!(!other.status.success());
    assert!(String::from_utf8_lossy(&other.stderr).contains("another PostgreSQL database"));
}

#[test]
fn a_demo_answers_for_itself() {
    let data = tempfile::tempdir_in("/tmp").unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_storewide"));
    demo.args(["demo", "--for", "8", "--rate", "200", "--json", "--data-dir"]).arg(data.path());
    for door in ["--api", "--gateway", "--health"] {
        demo.args([door, "127.0.0.1:0"]);
    }
    let output = demo.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.trim().lines().count(), 1, "one object and nothing else");
    let report: Value = serde_json::from_str(&text).unwrap();
    let number =
        |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path}: {report}"));
    for path in ["/lost", "/duplicated", "/audit/missing", "/audit/extra", "/audit/different"] {
        assert!(number(path).abs() < f64::EPSILON, "{path}: {report}");
    }
    for path in [
        "/accepted/facts",
        "/accepted/events",
        "/freshness_ms/p50",
        "/freshness_ms/p99",
        "/tags_changed",
        "/audit/tables",
    ] {
        assert!(number(path) > 0.0, "{path}: {report}");
    }
    for path in
        ["/intents", "/decisions/recommended", "/decisions/blocked", "/decisions/executed", "/decisions/outcomes"]
    {
        assert!(number(path) >= 0.0, "{path}: {report}");
    }
    for of in ["facts", "events"] {
        assert_eq!(report["accepted"][of], report["served"][of], "{report}");
    }
}

#[test]
fn every_command_helps_with_an_example() {
    let mut pages: Vec<Vec<&str>> = vec![vec![]];
    while let Some(page) = pages.pop() {
        let output = Command::new(env!("CARGO_BIN_EXE_storewide")).args(&page).arg("--help").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{page:?}");
        let commands = text.split_once("Commands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default());
        let below = commands
            .into_iter()
            .flat_map(str::lines)
            .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
        let below: Vec<String> = below.filter(|name| *name != "help").map(str::to_owned).collect();
        assert!(!below.is_empty() || text.contains("Example"), "{page:?} shows no example:\n{text}");
        pages.extend(below.into_iter().map(|name| [page.clone(), vec![&*name.leak()]].concat()));
    }
}
