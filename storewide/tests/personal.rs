//! Personal data by every way out of the whole house: a key that may not see them sees none, in SQL, profiles, lists, pages, figures, what
//! is told of the inbox and of imports, and what is logged. The store's own doors are scanned where they are made, in `access`.

use crate::program::Program;
use reqwest::Method;
use serde_json::{Value, json};
use serving::tables;
use std::time::{Duration, Instant};
use storewide::client::Client;

/// Values that stand nowhere else.
const SECRETS: [&str; 7] = [
    "Zebedeeq",
    "Quillfeather",
    "1987-03-29",
    "zebedeeq.private@example.com",
    "15112345678",
    "4000123412341234",
    "Quincunx Lane",
];
/// How long it may take until what was sent is served; a busy machine is slow.
const SERVED_MAX: Duration = Duration::from_secs(60);

fn scan(place: &str, text: &str) {
    let lower = text.to_lowercase();
    for secret in SECRETS {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret} in {place}");
    }
}

/// A person at every door: as a member, as the buyer of an order, as a visitor, in an event that is refused, and in lines that fail.
async fn appear(program: &Program) -> String {
    let client = program.client();
    let identity = |kind: &str, value: &str| json!({"kind": kind, "value": value});
    let post = async |path: &str, body: &Value| client.send(client.request(Method::POST, path).json(body)).await;
    let member = json!({"member_no": "z1", "first_name": SECRETS[0], "last_name": SECRETS[1], "birth_date": SECRETS[2],
        "addresses": [{"label": "home", "lines": [SECRETS[6]]}],
        "identities": [identity("email", SECRETS[3]), identity("phone", "+4915112345678"), identity("card", SECRETS[5])]});
    post("/api/v1/members", &member).await.unwrap();
    let order = json!({"source": "till", "order_no": "z1", "channel": "pos", "store_code": "1", "currency": "EUR",
        "placed_at": "2026-01-31T12:00:00Z", "buyer": identity("email", SECRETS[3]),
        "lines": [{"line_no": 1, "sku_code": "1", "quantity": "1", "unit_price_minor": 100}]});
    let position = post("/api/v1/orders", &order).await.unwrap()["position"].as_str().unwrap().to_owned();
    let addresses = json!({"source": "till", "order_no": "z1",
        "addresses": [{"label": "shipping", "recipient": SECRETS[0], "lines": [SECRETS[6]]}]});
    post("/api/v1/orders/addresses", &addresses).await.unwrap();
    // Refused, each with something personal in it.
    let stranger = json!({"member_no": "z2", "birth_date": "soon", "first_name": SECRETS[0]});
    assert!(post("/api/v1/members", &stranger).await.is_err());
    let taken = json!({"member_no": "z3", "identities": [identity("email", SECRETS[3])]});
    assert!(post("/api/v1/members", &taken).await.is_err());
    let lines =
        format!("{}\n{}\n", json!({"type": "member", "body": taken}), json!({"type": "member", "body": stranger}));
    let import = client.request(Method::POST, "/api/v1/imports").header("content-type", "application/x-ndjson");
    client.send(import.body(lines)).await.unwrap();
    let doors = program.doors().await;
    let traits = json!({"firstName": SECRETS[0], "lastName": SECRETS[1], "birthday": SECRETS[2], "email": SECRETS[3],
        "phone": "+49 151 12345678", "address": {"street": SECRETS[6], "city": "Berlin"}});
    let page = format!("https://shop.example/thanks?email={}&q=bread", SECRETS[3].replace('@', "%40"));
    let gateway = reqwest::Client::new();
    for (call, event) in [
        ("identify", json!({"messageId": "z-1", "anonymousId": "z", "traits": traits})),
        (
            "track",
            json!({"messageId": "z-2", "anonymousId": "z", "event": "Product Viewed",
            "context": {"page": {"url": page}, "traits": traits},
            "properties": {"product_id": "1", "sku": "1", "note": format!("call {} or write to {}", "+4915112345678", SECRETS[3])}}),
        ),
        // No contract lets this pass: it goes to the quarantine.
        (
            "track",
            json!({"messageId": "z-3", "anonymousId": "z", "event": "Order Completed",
            "properties": {"email": SECRETS[3], "products": "none"}}),
        ),
    ] {
        let url = format!("http://{}/v1/{call}", program.addresses()[1]);
        let answer = gateway.post(url).basic_auth(&doors.write_key, Some("")).json(&event).send().await.unwrap();
        scan(call, &answer.text().await.unwrap());
    }
    position
}

/// What the API and the pages tell a key.
async fn scan_doors(analyst: &Client) {
    let get = async |path: &str| {
        let answer = analyst.request(Method::GET, path).send().await.unwrap();
        let status = answer.status();
        scan(path, &format!("{:?}", answer.headers()));
        scan(path, &answer.text().await.unwrap());
        status.as_u16()
    };
    for path in [
        "/api/v1/customers/z1",
        "/api/v1/members/z1",
        "/api/v1/members",
        "/api/v1/orders/till:z1",
        "/api/v1/inbox",
        "/api/v1/inbox/standing",
        "/api/v1/status",
        "/api/v1/asof",
        "/openapi.json",
        "/docs",
        "/",
        "/status.json",
        "/api/v1/decisions",
    ] {
        assert!(get(path).await < 400, "{path}");
    }
    for path in [
        "/api/v1/quarantine",
        "/api/v1/imports",
        "/api/v1/members/z1/export",
        "/api/v1/audit",
        "/api/v1/members/nobody",
    ] {
        get(path).await;
    }
    let lookup =
        analyst.request(Method::POST, "/api/v1/members/lookup").json(&json!({"kind": "email", "value": SECRETS[3]}));
    scan("a look-up", &lookup.send().await.unwrap().text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_the_scope_sees_none_anywhere() {
    let mut program = Program::start(&[("RUST_LOG", "trace")]).await;
    program.stock().await;
    let position = appear(&program).await;
    let client = program.client();
    let made = client.request(Method::POST, "/api/v1/keys").json(&json!({"name": "analyst", "role": "reader"}));
    let key = client.send(made).await.unwrap()["secret"].as_str().unwrap().to_owned();
    let analyst = Client::new(format!("http://{}", program.addresses()[0]), key).unwrap();

    let begin = Instant::now();
    while analyst
        .number("select count(*) from events where message_id in ('z-1', 'z-2')", Some(&position))
        .await
        .unwrap()
        < 2
    {
        assert!(begin.elapsed() < SERVED_MAX, "the events are not served");
    }
    let mut rows = 0;
    for name in tables::TABLES.iter().map(|table| table.name).chain(tables::VIEWS.iter().map(|view| view.name)) {
        let sql = format!("select * from {name}");
        let answer = analyst.sql_as("csv", &sql, None, 100_000).await.unwrap().text().await.unwrap();
        rows += answer.lines().count();
        scan(&sql, &answer);
    }
    assert!(rows > 200, "there was hardly anything to scan: {rows} rows");

    let texts = ["select 'x'::date + z1", "select * from customer_360 where member_no = 'z1' and nothing = 1"];
    for sql in texts {
        scan(sql, &format!("{:#}", analyst.sql(sql, None, 1).await.unwrap_err()));
    }
    scan_doors(&analyst).await;
    let metrics = reqwest::get(format!("http://{}/metrics", program.addresses()[2])).await.unwrap();
    scan("metrics", &metrics.text().await.unwrap());
    let log = std::fs::read_to_string(program.data().join("server.log")).unwrap();
    log.lines().for_each(|line| scan(line, line));
    program.stop();
}
