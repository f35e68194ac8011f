//! A lost store comes back to the very write that was asked for, and the whole house stands on it.

use crate::program::Program;
use engine_postgres::Version;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use storewide::client::Client;

/// Writes orders with these numbers, one after the other; gives the position behind the last one.
async fn write(client: &Client, numbers: std::ops::Range<u32>) -> String {
    let mut position = String::new();
    for number in numbers {
        let order = json!({ "source": "till", "order_no": number.to_string(), "channel": "pos", "store_code": "1",
            "member_no": storewide::import::member_no(1), "placed_at": "2026-01-05T10:00:00Z", "currency": "USD",
            "lines": [{ "line_no": 1, "sku_code": "1", "quantity": "2", "unit_price_minor": 150 }],
            "payments": [{ "payment_no": 1, "tender_type": "card", "amount_minor": 300 }] });
        let request = client.request(Method::POST, "/api/v1/orders").json(&order);
        let answer = client.response(request).await.unwrap();
        position = answer.headers()["storewide-position"].to_str().unwrap().to_owned();
    }
    position
}

fn storewide(arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storewide"));
    command.args(arguments).arg("--data-dir").arg(data).output().unwrap()
}

fn facts(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.trim()).unwrap()
}

/// Waits until the log is archived up to a position.
async fn archived(program: &Program, position: &str) {
    for _ in 0..600 {
        let status = program.command(&["oltp", "status", "--json"]);
        // Positions of one kind sort as their text does.
        if status["archived_to"].as_str().is_some_and(|to| to >= position) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the log is not archived");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_comes_back_to_the_write_that_was_asked_for() {
    let backups = tempfile::Builder::new().prefix("storewide-backup").tempdir_in("/tmp").unwrap();
    let folder = backups.path().join("of the shop");
    let to = folder.to_str().unwrap();
    let bin_dir = Version::Wheel18.installation().unwrap().bin_dir.display().to_string();
    let archive = [("STOREWIDE_OLTP__ARCHIVE_DIR", to), ("STOREWIDE_OLTP__ARCHIVE_TIMEOUT_S", "2")];
    let mut program = Program::start(&[archive[0], archive[1], ("STOREWIDE_POSTGRES__BIN_DIR", &bin_dir)]).await;
    program.stock().await;
    let client = program.client();
    write(&client, 0..5).await;
    let taken = program.command(&["backup", "--to", to, "--json"]);
    let wanted = write(&client, 5..10).await;
    write(&client, 10..15).await;
    archived(&program, &wanted).await;
    let listed = program.command(&["backup", "--list", "--json"]);
    assert_eq!(listed["backups"][0]["name"], taken["name"]);
    assert!(listed["backups"][0]["archived_to"].as_str().unwrap() >= wanted.as_str(), "{listed}");
    let was = program.command(&["status", "--json"])["deployment"].clone();
    program.kill();
    program.kill_postgres();

    // Not where there is something, not before the backup, and not where the log does not reach.
    let again = storewide(&["restore", "--from", to], program.data());
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("is not empty"));
    let mut second = Program::empty(&[archive[0], ("STOREWIDE_POSTGRES__BIN_DIR", &bin_dir)]);
    std::fs::remove_dir_all(second.data().join("secrets")).unwrap();
    let early = second.run(&["restore", "--from", to, "--to-position", "w-0000000000000001"]);
    assert!(!early.status.success() && String::from_utf8_lossy(&early.stderr).contains("no backup"), "{early:?}");
    let late = second.run(&["restore", "--from", to, "--to-time", "2999-01-01T00:00:00Z"]);
    assert!(String::from_utf8_lossy(&late.stderr).contains("the log ends before"), "{late:?}");
    assert_eq!(std::fs::read_dir(second.data()).unwrap().count(), 0, "a failed restore leaves nothing");

    let restored = facts(&second.run(&["restore", "--from", to, "--to-position", &wanted, "--json"]));
    assert_eq!(restored["backup"], taken["name"]);
    assert_eq!(restored["was"], was);
    assert_ne!(restored["deployment"], was);
    // Its log is another one from now on, and does not go where the old one is.
    let refused = second.run(&["oltp", "status"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("oltp.archive_dir"), "{refused:?}");
    second.set("STOREWIDE_OLTP__ARCHIVE_DIR", folder.join("second").to_str().unwrap());
    second.restart().await;
    let position = write(&second.client(), 20..22).await;
    let mut served = second.column("orders", "order_no", "source = 'till'", Some(&position)).await;
    served.sort_by_key(|number| number.parse::<u32>().unwrap());
    let expected: Vec<String> = (0..10).chain(20..22).map(|number| number.to_string()).collect();
    assert_eq!(served, expected);
    let audit = second.command(&["audit", "--json"]);
    assert_eq!((&audit["missing"], &audit["extra"], &audit["different"]), (&0.into(), &0.into(), &0.into()), "{audit}");
    second.stop();

    // The lost directory with the restored store in it: what it derived is about another course of events.
    std::fs::rename(program.data().join("postgres"), program.data().join("lost")).unwrap();
    let copied = Command::new("cp").arg("-a").arg(second.data().join("postgres")).arg(program.data()).status().unwrap();
    assert!(copied.success());
    program.set("STOREWIDE_OLTP__ARCHIVE_DIR", folder.join("third").to_str().unwrap());
    let mixed = program.run(&["status"]);
    assert!(String::from_utf8_lossy(&mixed.stderr).contains("before it was restored"), "{mixed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_writes_come_from_the_lost_disk() {
    let backups = tempfile::Builder::new().prefix("storewide-backup").tempdir_in("/tmp").unwrap();
    let to = backups.path().to_str().unwrap();
    let mut program = Program::start(&[]).await;
    program.stock().await;
    // Nothing is archived: there is the backup, and the disk.
    program.command(&["backup", "--to", to, "--json"]);
    let client = program.client();
    write(&client, 0..3).await;
    program.kill();
    program.kill_postgres();
    let mut second = Program::empty(&[]);
    std::fs::remove_dir_all(second.data().join("secrets")).unwrap();
    let old = program.data().to_str().unwrap();
    facts(&second.run(&["restore", "--from", to, "--old-data-dir", old, "--json"]));
    second.restart().await;
    let position = write(&second.client(), 3..4).await;
    let served = second.column("orders", "order_no", "source = 'till'", Some(&position)).await;
    assert_eq!(served, ["0", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_looked_after_where_somebody_serves_and_where_nobody_does() {
    let mut program = Program::start(&[("STOREWIDE_OLTP__SLOW_MS", "0")]).await;
    program.stock().await;
    for served in [true, false] {
        if !served {
            program.stop();
        }
        let status = program.command(&["oltp", "status", "--json"]);
        assert_eq!(status["schema"]["version"], status["schema"]["program"], "{status}");
        let slow = status["slow"].as_array().unwrap();
        assert_eq!(slow.iter().any(|slow| slow["statement"] == "run"), served, "{status}");
        let vacuum = program.command(&["oltp", "vacuum-report", "--json"]);
        assert!(
            vacuum["tables"].as_array().unwrap().iter().any(|table| table["table"] == "crm.sales_order"),
            "{vacuum}"
        );
        assert!(program.command(&["oltp", "partitions", "--json"])["partitions"].is_array());
        let planned = program.command(&["oltp", "migrate", "--dry-run", "--json"]);
        assert_eq!(planned["pending"], json!([]));
        assert_eq!(program.command(&["oltp", "migrate", "--json"])["applied"], json!([]));
        let shown = program.run(&["oltp", "status"]);
        assert!(
            shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("crm.sales_order"),
            "{shown:?}"
        );
    }
    let far = program.run(&["oltp", "partitions", "--make", "0"]);
    assert!(!far.status.success());
    let away = program.run(&["oltp", "migrate", "--server", "http://127.0.0.1:9"]);
    assert!(!away.status.success() && String::from_utf8_lossy(&away.stderr).contains("--pg-url"), "{away:?}");
}
