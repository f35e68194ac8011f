//! Personal data by every way through the doors: a key without the scope sees none, in records, lists, errors, batches, the audit log, the
//! document, and what is logged.

use crate::house::{House, order, problem};
use engine_postgres::Version;
use oltp::Entity;
use oltp::command::KINDS;
use runtime::auth::Role;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing::subscriber::DefaultGuard;

crate::on_both!(a_key_without_the_scope_sees_none, the_scope_shows_them);

/// Values that stand nowhere else.
const SECRETS: [&str; 7] = [
    "Zebedeeq",
    "Quillfeather",
    "1987-03-29",
    "zebedeeq.private@example.com",
    "+4915112345678",
    "4000123412341234",
    "Quincunx Lane",
];

fn sent_to(order: &str) -> Value {
    json!({"source": "till", "order_no": order,
        "addresses": [{"label": "shipping", "recipient": SECRETS[0], "lines": [SECRETS[6]]}]})
}

fn zebedee() -> Value {
    let identity = |kind: &str, value: &str| json!({"kind": kind, "value": value});
    json!({"member_no": "m9", "first_name": SECRETS[0], "last_name": SECRETS[1], "birth_date": SECRETS[2],
        "addresses": [{"label": "home", "lines": [SECRETS[6]]}],
        "identities": [identity("email", SECRETS[3]), identity("phone", SECRETS[4]), identity("card", SECRETS[5])]})
}

/// What is logged while it is held, of every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Tests run on one thread, which is the one that the door runs on, too.
    fn begin(&self) -> DefaultGuard {
        let log = self.clone();
        let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || log.clone());
        tracing::subscriber::set_default(all.finish())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn scan(place: &str, text: &str) {
    let lower = text.to_lowercase();
    for secret in SECRETS {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret} in {place}");
    }
}

async fn scan_answer(house: &House, path: &str, key: &str) {
    let answer = house.get(path, key).await;
    scan(path, &format!("{:?}", answer.headers()));
    scan(path, &answer.text().await.unwrap());
}

async fn a_key_without_the_scope_sees_none(version: Version) {
    let log = Log::default();
    let _held = log.begin();
    let house = House::open(version).await;
    house.furnish().await;
    house.put("/api/v1/members", &zebedee()).await;
    let mut bought = order("o9");
    bought["member_no"] = json!("m9");
    house.put("/api/v1/orders", &bought).await;
    let mut guest = order("o10");
    guest["member_no"] = Value::Null;
    guest["buyer"] = json!({"kind": "email", "value": SECRETS[3]});
    house.put("/api/v1/orders", &guest).await;
    for order in ["o9", "o10"] {
        house.put("/api/v1/orders/addresses", &sent_to(order)).await;
    }
    let auditor = house.scoped(Role::Admin, &["audit:read", "members:read", "orders:read"]).await;
    for key in [&house.reader, &house.writer, &auditor] {
        for entity in Entity::ALL {
            scan_answer(&house, &format!("/api/v1/{}?limit=500", entity.path), key).await;
            for id in ["m9", "till:o9", "o10", "1", "2", "3"] {
                scan_answer(&house, &format!("/api/v1/{}/{id}", entity.path), key).await;
            }
        }
        scan_answer(&house, "/api/v1/members/m9?fields=member_no,identities", key).await;
        let (status, code, _) = problem(house.get("/api/v1/members/m9?fields=first_name", key).await).await;
        assert_eq!((status, code.as_str()), (422, "oltp.unknown_field"));
    }
    scan_answer(&house, "/openapi.json", &house.reader).await;
    scan_answer(&house, "/api/v1/keys", &house.admin).await;
    refusals(&house).await;
    assert!(log.text().contains("DEBUG"), "nothing was logged");
    scan("the log", &log.text());
    let kept = house.value("select string_agg(a::text, ' ') || coalesce((select string_agg(i::text, ' ') from crm.idempotency i), '') from crm.audit_log a").await;
    scan("the audit log and the answers kept", &kept);
}

/// Bodies that hold personal values and cannot be taken, one by one and as lines.
async fn refusals(house: &House) {
    let mut bodies = Vec::new();
    let mut taken = zebedee();
    taken["member_no"] = json!("m10");
    bodies.push(taken.to_string());
    for (field, value) in [
        ("status", json!(SECRETS[3])),
        ("birth_date", json!(SECRETS[3])),
        ("timezone", json!(SECRETS[1])),
        ("home_store_code", json!(SECRETS[3])),
        ("first_name", json!([SECRETS[0]])),
        ("identities", json!([{"kind": SECRETS[3], "value": SECRETS[4]}])),
    ] {
        let mut body = zebedee();
        body[field] = value;
        bodies.push(body.to_string());
    }
    bodies.push(zebedee().to_string().replace('}', ""));
    let mut lines = String::new();
    for body in &bodies {
        for path in KINDS.iter().map(|kind| kind.path) {
            let request = house.post(&format!("/api/v1/{path}")).header("Content-Type", "application/json");
            let answer = request.header("Idempotency-Key", format!("{path}-{}", body.len())).body(body.clone()).send();
            scan(path, &answer.await.unwrap().text().await.unwrap());
        }
        lines.push_str(&format!("{{\"type\": \"member\", \"body\": {body}}}\n"));
    }
    let batch = house.post("/api/v1/batch").header("Content-Type", "application/x-ndjson").body(lines).send();
    scan("batch", &batch.await.unwrap().text().await.unwrap());
}

async fn the_scope_shows_them(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    house.put("/api/v1/orders", &order("o9")).await;
    house.put("/api/v1/orders/addresses", &sent_to("o9")).await;
    let packer = house.scoped(Role::Reader, &["orders:read", "pii:read"]).await;
    let shown: Value = house.get("/api/v1/orders/till:o9", &packer).await.json().await.unwrap();
    assert_eq!(shown["addresses"][0]["recipient"], SECRETS[0]);
    house.put("/api/v1/members", &zebedee()).await;
    let clerk = house.scoped(Role::Reader, &["members:read", "pii:read"]).await;
    for key in [&clerk, &house.admin] {
        let shown = house.get("/api/v1/members/m9", key).await.text().await.unwrap();
        for secret in SECRETS {
            assert!(shown.contains(secret), "{secret}: {shown}");
        }
    }
}
