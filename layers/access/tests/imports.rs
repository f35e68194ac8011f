//! Imports: kept whole, run once, told exactly.

use crate::house::{House, order, problem};
use access::Config;
use engine_postgres::Version;
use rand::{Rng, SeedableRng};
use reqwest::Response;
use runtime::auth::Role;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

crate::on_both!(
    an_import_is_run_and_tells_its_failures,
    a_repeat_is_the_same_import,
    an_import_is_of_whoever_sent_it,
    lines_are_held_to_the_scopes_of_the_key,
    what_is_too_large_or_broken_is_not_run,
    a_worker_that_dies_loses_and_doubles_nothing,
);

fn line(noun: &str, body: &Value) -> String {
    json!({"type": noun, "body": body}).to_string() + "\n"
}

fn store(number: usize) -> String {
    line("store", &json!({"store_code": number.to_string(), "name": "S"}))
}

async fn send(house: &House, key: &str, body: String) -> Response {
    let request = house.post("/api/v1/imports").header("content-type", "application/x-ndjson");
    let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
    request.body(body).send().await.unwrap()
}

async fn sent(house: &House, body: String) -> String {
    let answer = send(house, "", body).await;
    assert_eq!(answer.status(), 202);
    let import: Value = answer.json().await.unwrap();
    import["id"].as_str().unwrap().to_owned()
}

async fn becomes(house: &House, id: &str, status: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let import: Value = house.get(&format!("/api/v1/imports/{id}"), &house.writer).await.json().await.unwrap();
        if import["status"] == status {
            return import;
        }
        assert!(Instant::now() < deadline, "it does not become {status}: {import}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn an_import_is_run_and_tells_its_failures(version: Version) {
    let mut config = Config::default();
    (config.chunk_lines_max, config.line_bytes_max) = (3, 10_000);
    let house = House::with(version, config).await;
    house.furnish().await;
    let mut bad = order("o2");
    bad["lines"][0]["quantity"] = json!("-2");
    let long = line("store", &json!({"store_code": "x", "name": "x".repeat(20_000)}));
    let body = [
        store(1),
        "\n".to_owned(),
        "{\"type\":\"store\",\n".to_owned(),
        line("order", &order("o1")),
        line("order", &bad),
        long,
        line("rocket", &json!({})),
        "\n \n".to_owned(),
        line("order", &order("o3")).trim_end().to_owned(),
    ];
    let id = sent(&house, body.concat()).await;
    let before: Value = house.get(&format!("/api/v1/imports/{id}"), &house.writer).await.json().await.unwrap();
    assert_eq!((&before["status"], &before["lines"], &before["done"]), (&"queued".into(), &7.into(), &0.into()));
    house.start();
    let import = becomes(&house, &id, "done").await;
    assert_eq!((&import["done"], &import["failed"]), (&3.into(), &4.into()), "{import}");
    assert!(import["position"].as_str().unwrap().starts_with("w-") && import["lines_per_second"].is_number());
    let failures = house.get(&format!("/api/v1/imports/{id}/failures"), &house.writer).await;
    assert_eq!(failures.headers()["content-type"], "application/x-ndjson");
    let failures: Vec<Value> =
        failures.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short: Vec<_> = failures
        .iter()
        .map(|one| (one["line"].as_u64().unwrap(), one["status"].as_u64().unwrap(), one["pointer"].as_str()))
        .collect();
    assert_eq!(
        short,
        [(3, 400, None), (5, 422, Some("/body/lines/0/quantity")), (6, 413, None), (7, 422, Some("/type"))]
    );
    assert_eq!(house.get("/api/v1/orders/till:o3", &house.reader).await.status(), 200);
    let who = house.value("select string_agg(distinct k.name, ',') from crm.audit_log a join crm.api_key k on k.api_key_id::text = a.actor where a.entity in ('order', 'import')").await;
    assert_eq!(who, "till");
    let nothing = sent(&house, String::new()).await;
    assert_eq!(becomes(&house, &nothing, "done").await["lines"], 0);
}

async fn a_repeat_is_the_same_import(version: Version) {
    let house = House::open(version).await;
    let first: Value = send(&house, "k", store(1)).await.json().await.unwrap();
    let again = send(&house, "k", store(1)).await;
    assert_eq!(again.status(), 200);
    let again: Value = again.json().await.unwrap();
    assert_eq!((&again["id"], &again["repeated"]), (&first["id"], &true.into()));
    let (status, code, _) = problem(send(&house, "k", store(2)).await).await;
    assert_eq!((status, code.as_str()), (422, "oltp.idempotency_mismatch"));
    let list: Value = house.get("/api/v1/imports", &house.writer).await.json().await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

async fn an_import_is_of_whoever_sent_it(version: Version) {
    let house = House::open(version).await;
    let id = sent(&house, store(1)).await;
    let path = format!("/api/v1/imports/{id}");
    assert_eq!(house.get(&path, &house.reader).await.status(), 403);
    assert_eq!(house.get(&path, &house.admin).await.status(), 200);
    let (_, other) = house.oltp.create_api_key(&oltp::NewKey::new("other", Role::Writer)).await.unwrap();
    assert_eq!(house.get(&path, &other).await.status(), 404);
    assert_eq!(house.get(&format!("{path}/failures"), &other).await.status(), 404);
    let cancel = |key: &str| house.client.post(house.url(&format!("{path}/cancel"))).bearer_auth(key.to_owned()).send();
    assert_eq!(cancel(&other).await.unwrap().status(), 404);
    assert_eq!(cancel(&house.writer).await.unwrap().status(), 202);
    house.start();
    let import = becomes(&house, &id, "cancelled").await;
    assert_eq!((&import["done"], &import["lines"]), (&0.into(), &1.into()));
    assert_eq!(problem(cancel(&house.admin).await.unwrap()).await.1, "access.import_over");
    assert_eq!(house.value("select count(*)::text from crm.store").await, "0");
}

async fn lines_are_held_to_the_scopes_of_the_key(version: Version) {
    let house = House::open(version).await;
    let till = house.scoped(Role::Writer, &["imports:write", "stores:write"]).await;
    let body = store(1) + &line("product", &json!({"product_code": "1", "title": "P"})) + &store(2);
    let request = house.client.post(house.url("/api/v1/imports")).bearer_auth(&till);
    let sent = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let import: Value = sent.json().await.unwrap();
    let path = format!("/api/v1/imports/{}", import["id"].as_str().unwrap());
    house.start();
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let import: Value = house.get(&path, &till).await.json().await.unwrap();
        if import["status"] == "done" {
            assert_eq!((&import["done"], &import["failed"]), (&2.into(), &1.into()));
            break;
        }
        assert!(Instant::now() < deadline, "{import}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failures = house.get(&format!("{path}/failures"), &till).await.text().await.unwrap();
    let failure: Value = serde_json::from_str(failures.trim()).unwrap();
    assert_eq!(
        (&failure["line"], &failure["status"], &failure["code"]),
        (&2.into(), &403.into(), &"access.forbidden".into())
    );
    assert!(failure["detail"].as_str().unwrap().contains("products:write"), "{failure}");
    assert_eq!(house.value("select count(*)::text from crm.product").await, "0");
}

async fn what_is_too_large_or_broken_is_not_run(version: Version) {
    let mut config = Config::default();
    (config.imports.bytes_max, config.imports.lines_max, config.chunk_lines_max) = (5_000, 50, 10);
    let house = House::with(version, config).await;
    house.start();
    let small = "{}\n".repeat(51);
    assert_eq!(problem(send(&house, "", small).await).await.0, 413);
    assert_eq!(problem(send(&house, "", store(1).repeat(500)).await).await.0, 413);
    let wrong = house.post("/api/v1/imports").json(&json!({})).send().await.unwrap();
    assert_eq!(problem(wrong).await.0, 415);
    // Whoever goes away in the middle leaves nothing that is run.
    let pieces = futures_util::stream::iter([Ok(store(1).repeat(12)), Err(std::io::Error::other("gone"))]);
    let request = house.post("/api/v1/imports").header("content-type", "application/x-ndjson");
    assert!(request.body(reqwest::Body::wrap_stream(pieces)).send().await.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(house.value("select count(*)::text from crm.import_job where status <> 'receiving'").await, "0");
    assert_eq!(house.value("select count(*)::text from crm.store").await, "0");
}

/// Workers are killed again and again; whoever comes next goes on.
#[allow(clippy::print_stdout, reason = "a history that fails tells its seed")]
async fn a_worker_that_dies_loses_and_doubles_nothing(version: Version) {
    const LINES: usize = 3_000;
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut config = Config::default();
    (config.chunk_lines_max, config.imports.lease_s) = (50, 1);
    let house = House::with(version, config).await;
    let id = sent(&house, (0..LINES).map(store).collect()).await;
    for _ in 0..8 {
        let worker = tokio::spawn(house.intake.clone().run_imports(CancellationToken::new()));
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
        worker.abort();
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
    }
    house.start();
    let import = becomes(&house, &id, "done").await;
    assert_eq!((&import["done"], &import["failed"]), (&LINES.into(), &0.into()));
    let counts = "select concat_ws(' ', count(*), max(row_version), (select count(*) from crm.audit_log where entity = 'store')) from crm.store";
    assert_eq!(house.value(counts).await, format!("{LINES} 1 {LINES}"));
}
