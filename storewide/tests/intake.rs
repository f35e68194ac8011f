//! What was taken in raw is run once, whatever is killed before, while or after it is run: imports, and deliveries of sources.

use crate::program::Program;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use runtime::standard_webhooks::Secret;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Kills in one test.
const KILLS: u64 = 4;
/// Orders of the import; one in ten names a SKU that there is not.
const ORDERS: u64 = 6_000;
/// How long the import may take to come as far as the next kill; a busy machine is slow.
const ADVANCE_MAX: Duration = Duration::from_secs(180);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const ENVIRONMENT: [(&str, &str); 3] = [
    ("EXAMPLE_SHOP_SECRET", SECRET),
    // A killed server's leases end before the test's patience does.
    ("STOREWIDE_ACCESS__IMPORTS__LEASE_S", "2"),
    ("STOREWIDE_ACCESS__INBOX__LEASE_S", "2"),
];

fn order(number: u64) -> String {
    let sku = if number.is_multiple_of(10) { "none".to_owned() } else { (1 + number % 40).to_string() };
    let body = json!({"source": "import", "order_no": number.to_string(), "channel": "pos", "store_code": "1",
        "placed_at": "2026-01-31T12:00:00Z", "currency": "USD",
        "lines": [{"line_no": 1, "sku_code": sku, "quantity": "1", "unit_price_minor": 100}]});
    json!({"type": "order", "body": body}).to_string() + "\n"
}

/// How an import stands; none while the server or its store is away.
async fn standing(program: &Program, id: &str) -> Option<Value> {
    let client = program.client();
    client.send(client.request(Method::GET, &format!("/api/v1/imports/{id}"))).await.ok()
}

/// Waits until so many lines are settled, or the import is over.
async fn advanced(program: &Program, id: &str, lines: u64) -> bool {
    let start = Instant::now();
    loop {
        if let Some(import) = standing(program, id).await {
            if import["status"] == "done" {
                return true;
            }
            if import["done"].as_u64().unwrap() + import["failed"].as_u64().unwrap() >= lines {
                return false;
            }
        }
        assert!(start.elapsed() < ADVANCE_MAX, "the import does not come further:\n{}", program.log_tail());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_under_kills_is_its_lines() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut program = Program::start(&ENVIRONMENT).await;
    program.stock().await;
    let body: String = (1..=ORDERS).map(order).collect();
    let client = program.client();
    let request = client.request(Method::POST, "/api/v1/imports").header("content-type", "application/x-ndjson");
    let import = client.send(request.header("idempotency-key", "i-1").body(body)).await.unwrap();
    let id = import["id"].as_str().unwrap().to_owned();
    for kill in 0..KILLS {
        let share = ORDERS / (KILLS + 1);
        if advanced(&program, &id, kill * share + rng.random_range(1..share)).await {
            break;
        }
        if kill % 2 == 0 {
            program.kill();
        }
        program.kill_postgres();
        if kill % 2 == 0 {
            program.restart().await;
        }
    }
    advanced(&program, &id, u64::MAX).await;
    program.ready().await;
    let import = standing(&program, &id).await.unwrap();
    let failed = ORDERS / 10;
    assert_eq!((&import["done"], &import["failed"]), (&(ORDERS - failed).into(), &failed.into()), "{import}");
    let client = program.client();
    let failures =
        client.response(client.request(Method::GET, &format!("/api/v1/imports/{id}/failures"))).await.unwrap();
    assert_eq!(failures.text().await.unwrap().lines().count() as u64, failed);
    let served = program.column("orders", "order_no", "source = 'import'", import["position"].as_str()).await;
    assert_eq!(served.len() as u64, ORDERS - failed, "orders were lost or doubled");
    let audit = program.command(&["audit", "--json"]);
    assert_eq!((&audit["missing"], &audit["extra"], &audit["different"]), (&0.into(), &0.into(), &0.into()), "{audit}");
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_outlives_its_server() {
    let mut program = Program::start(&ENVIRONMENT).await;
    program.stock().await;
    let [api, ..] = program.addresses();
    let body = include_str!("../../contracts/sources/payloads/example_shop.order_paid.json").replace("1039126", "7");
    let now = jiff::Timestamp::now().as_second();
    let signature = SECRET.parse::<Secret>().unwrap().sign("msg_1", now, body.as_bytes());
    let hook = || {
        let request = reqwest::Client::new().post(format!("http://{api}/hooks/standard_webhooks/main"));
        let request = request.header("webhook-id", "msg_1").header("webhook-timestamp", now.to_string());
        request.header("webhook-signature", &signature).body(body.clone()).send()
    };
    let receipt: Value = hook().await.unwrap().json().await.unwrap();
    program.kill();
    program.kill_postgres();
    program.restart().await;
    let again = hook().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap()["id"], receipt["id"]);
    let start = Instant::now();
    loop {
        let list = program.command(&["inbox", "list", "--status", "done", "--json"]);
        if list["items"].as_array().unwrap().iter().any(|one| one["id"] == receipt["id"]) {
            break;
        }
        assert!(start.elapsed() < ADVANCE_MAX, "the delivery is not done: {list}");
    }
    let shown = program.command(&["inbox", "show", receipt["id"].as_str().unwrap()]);
    assert_eq!(shown["payload"]["data"]["order_no"], "W-1001", "{shown}");
    assert!(program.run(&["inbox", "replay", receipt["id"].as_str().unwrap()]).status.success());
    assert_eq!(program.command(&["inbox", "standing", "--json"])["dead"], 0);
    program.stop();
}

#[test]
fn contracts_are_checked_without_a_server() {
    let storewide = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_storewide")).args(arguments).output().unwrap()
    };
    let sound = storewide(&["contract", "check", concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts"), "--json"]);
    let counts: Value = serde_json::from_slice(&sound.stdout).unwrap();
    assert!(sound.status.success() && counts["sources"].as_u64() >= Some(2), "{counts}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sources")).unwrap();
    let shop = include_str!("../../contracts/sources/example_shop.yaml").replace(".data.total", ".data.total | cents");
    std::fs::write(folder.path().join("sources/shop.yaml"), shop).unwrap();
    let broken = storewide(&["contract", "check", folder.path().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&broken.stderr);
    assert!(
        !broken.status.success() && said.contains("mappings.order.paid: line ") && said.contains(" column "),
        "{said}"
    );
}
