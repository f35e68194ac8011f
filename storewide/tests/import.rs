//! `storewide import` ends in what the files hold, whatever is killed on the way, and however often it is run.

use crate::journey::{compare, rows};
use crate::program::Program;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Kills in one test.
const KILLS: u64 = 6;
/// How long an import may take to come as far as the next kill; a busy machine is slow.
const ADVANCE_MAX: Duration = Duration::from_secs(120);

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn start(program: &Program, folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storewide"));
    command.args(["import", "completejourney"]).arg(folder).arg("--json").arg("--data-dir").arg(program.data());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs an import to its end and gives what it says.
fn import(program: &Program, folder: &Path) -> Value {
    program.command(&["import", "completejourney", &folder.display().to_string(), "--json"])
}

/// The note of how far the only import on a server has come.
fn note(program: &Program) -> Option<PathBuf> {
    let notes = std::fs::read_dir(program.data().join("import")).into_iter().flatten().flatten();
    notes.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|extension| extension == "json"))
}

/// Waits until so many records are noted as acknowledged, or the import has ended.
async fn advanced(program: &Program, importer: &mut Child, records: u64) {
    let start = Instant::now();
    while importer.try_wait().unwrap().is_none() {
        let note = note(program).and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        let note: Value = serde_json::from_slice(&note).unwrap_or_default();
        if note["records"].as_u64().unwrap_or(0) >= records {
            return;
        }
        assert!(start.elapsed() < ADVANCE_MAX, "the import does not come further:\n{}", program.log_tail());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_under_kills_is_the_files() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let sample = folder("../examples/completejourney");
    let all = records(&sample);
    let mut program = Program::start(&[]).await;
    let mut importer = start(&program, &sample);
    for kill in 0..KILLS {
        let share = all / (KILLS + 1);
        advanced(&program, &mut importer, kill * share + rng.random_range(1..share)).await;
        if kill % 3 != 1 {
            importer.kill().unwrap();
            importer.wait().unwrap();
        }
        if kill % 3 != 0 {
            // An importer that is not killed goes on by itself once the server is back.
            program.kill();
            program.kill_postgres();
            program.restart().await;
        }
        if importer.try_wait().unwrap().is_some() {
            importer = start(&program, &sample);
        }
    }
    assert!(importer.wait().unwrap().success(), "the import that was left alone ends well");

    let again = import(&program, &sample);
    assert_eq!((&again["records"], &again["resumed"]), (&0.into(), &all.into()), "nothing was left to do: {again}");
    compare(&program, &sample, again["position"].as_str().unwrap()).await;

    // Whoever loses the note sends everything again, and changes nothing.
    std::fs::remove_file(note(&program).unwrap()).unwrap();
    let again = import(&program, &sample);
    assert_eq!((&again["records"], &again["resumed"]), (&all.into(), &0.into()), "{again}");
    compare(&program, &sample, again["position"].as_str().unwrap()).await;
    program.stop();
}

/// Number of commands of a folder: stores, households, products twice (with their SKU), baskets.
fn records(folder: &Path) -> u64 {
    let counted = rows(
        folder,
        "select count(distinct store_id) + count(distinct household_id) + count(distinct basket_id) + 2 * (select count(*)
            from (select product_id from {products} union select product_id from {transactions})) from {transactions}",
    );
    counted[0][0].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn weeks_of_the_whole_journey_are_the_files() {
    let whole = folder("../../shared/data/completejourney");
    if !whole.join("transactions.parquet").is_file() {
        println!("skipped: {} is not there", whole.display());
        return;
    }
    let part = tempfile::tempdir().unwrap();
    let to = |file: &str| part.path().join(format!("{file}.parquet")).display().to_string();
    let weeks = "select * from {transactions} where week <= 2";
    rows(&whole, &format!("copy ({weeks}) to '{}'", to("transactions")));
    let products = format!("select * from {{products}} where product_id in (select product_id from ({weeks}))");
    rows(&whole, &format!("copy ({products}) to '{}'", to("products")));
    rows(&whole, &format!("copy (select * from {{demographics}}) to '{}'", to("demographics")));

    let mut program = Program::start(&[]).await;
    let loaded = import(&program, part.path());
    assert_eq!(loaded["records"], records(part.path()), "{loaded}");
    compare(&program, part.path(), loaded["position"].as_str().unwrap()).await;
    program.stop();
}
