//! What is tried at the doors, as tables.

use super::wire::Body;
use serde_json::{Value, json};

/// Personal values and a key that the requests carry, and that nothing may repeat.
pub const SEEDS: [&str; 5] =
    ["seed.kowalski@pii.test", "491701234987", "Zbigniewseed", "Kowalskiseed", "swk_seedseedseedseedseedseed"];

/// The listeners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Door {
    Api,
    Gateway,
    Health,
}

/// One try.
pub struct Case {
    pub name: String,
    pub door: Door,
    /// Method and target.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// Statuses that are right.
    pub right: Vec<u16>,
}

impl Case {
    pub fn new(name: &str, door: Door, line: &str, right: &[u16]) -> Self {
        let (name, line) = (format!("{line}: {name}"), line.to_owned());
        Self { name, door, line, headers: Vec::new(), body: Body::None, right: right.to_vec() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        let body = Body::Bytes(body.into());
        Self { body, ..self.header("content-type", "application/json") }
    }

    pub fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }
}

/// Bodies that are wrong at every door that takes a JSON object.
pub fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000)).into_bytes();
    vec![
        ("nothing", Vec::new()),
        ("broken JSON", b"{\"a\":".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a number", b"1".to_vec()),
        ("an absurd number", b"1e400".to_vec()),
        ("NaN", b"{\"a\":NaN}".to_vec()),
        ("deep arrays", deep("[", "]")),
        ("deep objects", deep("{\"a\":", "}")),
        ("invalid UTF-8", b"{\"name\":\"\xff\xfe\"}".to_vec()),
        ("a lone surrogate", b"{\"name\":\"\\ud800\"}".to_vec()),
        ("raw NUL", b"{\"a\":\"\0\"}".to_vec()),
        ("an unknown field", format!("{{\"surprise\":\"{}\"}}", SEEDS[0]).into_bytes()),
        ("two objects", b"{}{}".to_vec()),
    ]
}

/// An order that is right, with a change.
pub fn order(no: &str, change: impl Fn(&mut Value)) -> String {
    let mut order = json!({ "source": "till", "order_no": no, "channel": "pos", "store_code": "1",
        "member_no": storewide::import::member_no(1), "placed_at": "2026-01-05T10:00:00Z", "currency": "USD",
        "lines": [{ "line_no": 1, "sku_code": "1", "quantity": "2", "unit_price_minor": 150 }],
        "payments": [{ "payment_no": 1, "tender_type": "card", "amount_minor": 300 }] });
    change(&mut order);
    order.to_string()
}

/// Orders that are wrong in one place.
pub fn orders() -> Vec<(&'static str, String)> {
    let set = |pointer: &'static str, value: Value| {
        order("bad", |order| match order.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => order[pointer.trim_start_matches('/')] = value.clone(),
        })
    };
    let text = |from: &str, to: &str| {
        let order = order("bad", |_| {});
        assert!(order.contains(from), "{from}");
        order.replace(from, to)
    };
    vec![
        ("negative quantity", set("/lines/0/quantity", json!("-1"))),
        ("absurd quantity", set("/lines/0/quantity", json!("9".repeat(60)))),
        ("quantity 1e400", text("\"quantity\":\"2\"", "\"quantity\":1e400")),
        ("price over 64 bits", text("\"unit_price_minor\":150", "\"unit_price_minor\":99999999999999999999")),
        ("price at the edge", set("/lines/0/unit_price_minor", json!(i64::MAX))),
        ("price as text", set("/lines/0/unit_price_minor", json!("150"))),
        ("payment at the edge", set("/payments/0/amount_minor", json!(i64::MIN))),
        ("NaN", text("\"amount_minor\":300", "\"amount_minor\":NaN")),
        ("far future", set("/placed_at", json!("2999-01-01T00:00:00Z"))),
        ("no date", set("/placed_at", json!(SEEDS[0]))),
        ("unknown SKU", set("/lines/0/sku_code", json!("no-such-sku"))),
        ("SKU with SQL", set("/lines/0/sku_code", json!("1'; drop table store; --"))),
        ("unknown store", set("/store_code", json!("no-such-store"))),
        ("unknown member", set("/member_no", json!("no-such-member"))),
        ("unknown field", set("/first_name", json!(SEEDS[2]))),
        ("unknown channel", set("/channel", json!(SEEDS[3]))),
        ("huge text", set("/order_no", json!("x".repeat(1 << 20)))),
        ("NUL", set("/order_no", json!("a\u{0}b"))),
        ("NUL in a description", set("/lines/0/description", json!("a\u{0}b"))),
        ("duplicate key", text("\"currency\":\"USD\"", "\"currency\":\"USD\",\"currency\":\"EUR\"")),
        ("line twice", order("bad", |order| order["lines"] = json!([order["lines"][0], order["lines"][0]]))),
        ("no lines", set("/lines", json!([]))),
        ("2,000 lines", order("bad", |order| order["lines"] = json!(vec![order["lines"][0].clone(); 2_000]))),
        ("bad buyer", set("/buyer", json!({ "kind": "email", "value": SEEDS[1] }))),
        ("currency", set("/currency", json!("dollars"))),
    ]
}

/// Writes of other kinds that are wrong in one place.
pub fn records() -> Vec<(&'static str, &'static str, Value)> {
    let member = |change: fn(&mut Value)| {
        let mut member = json!({ "member_no": "bad", "first_name": SEEDS[2], "last_name": SEEDS[3],
            "identities": [{ "kind": "email", "value": SEEDS[0] }, { "kind": "phone", "value": "+491701234987" }] });
        change(&mut member);
        member
    };
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        ("members", "no e-mail", member(|m| m["identities"][0]["value"] = json!("seed.kowalski.pii"))),
        ("members", "unknown kind", member(|m| m["identities"][0]["kind"] = json!(SEEDS[3]))),
        ("members", "unborn", member(|m| m["birth_date"] = json!("2999-01-01"))),
        ("members", "no date", member(|m| m["birth_date"] = json!(SEEDS[2]))),
        ("members", "unknown store", member(|m| m["home_store_code"] = json!("no-such-store"))),
        ("members", "NUL in a name", member(|m| m["first_name"] = json!("Zbigniewseed\u{0}"))),
        ("members", "NUL in an attribute", member(|m| m["attributes"] = json!({ "a": ["\u{0}"] }))),
        ("members", "NUL in an attribute's name", member(|m| m["attributes"] = json!({ "\u{0}": 1 }))),
        ("members", "time zone", member(|m| m["timezone"] = json!("Mars/Olympus"))),
        ("members", "identity of another", {
            let value = storewide::import::email(1);
            let mut member = member(|_| {});
            member["identities"][0]["value"] = json!(value);
            member
        }),
        ("products", "status", json!({ "product_code": "bad", "title": "x", "status": SEEDS[2] })),
        ("products", "huge title", json!({ "product_code": "bad", "title": "x".repeat(100_000) })),
        ("products", "deep", json!({ "product_code": "bad", "title": "x", "attributes": { "a": deep } })),
        ("skus", "unknown product", json!({ "sku_code": "bad", "product_code": "no-such-product" })),
        ("skus", "GTIN", json!({ "sku_code": "bad", "product_code": "1", "gtin": "12345678901234" })),
        ("skus", "price", json!({ "sku_code": "bad", "product_code": "1", "list_price_minor": -1, "currency": "USD" })),
        ("stores", "time zone", json!({ "store_code": "bad", "name": "x", "timezone": "../../etc/passwd" })),
        ("stores", "wrong type", json!({ "store_code": 1, "name": ["x"] })),
        (
            "returns",
            "unknown order",
            json!({ "source": "till", "return_no": "bad", "order_source": "till",
            "order_no": "no-such-order", "returned_at": "2026-01-06T10:00:00Z", "lines": [{ "line_no": 1, "quantity": "1" }] }),
        ),
        (
            "returns",
            "more than sold",
            json!({ "source": "till", "return_no": "bad", "order_source": "till",
            "order_no": "good", "returned_at": "2026-01-06T10:00:00Z", "lines": [{ "line_no": 1, "quantity": "3" }] }),
        ),
        ("keys", "role", json!({ "name": "x", "role": "owner" })),
        ("keys", "no role", json!({ "name": "x" })),
        ("keys", "NUL", json!({ "name": "a\u{0}", "role": "reader" })),
        ("keys", "empty name", json!({ "name": " ", "kind": "write" })),
    ]
}

/// Paths and queries that make no sense, for readers.
pub fn targets() -> Vec<(String, &'static [u16])> {
    let ids =
        ["%00", "%ff%fe", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%zz", "'%20or%201=1--", "%F0%9F%92%A9", "a%0d%0aX:1"];
    let paths = ["members", "products", "skus", "stores", "orders", "returns", "decisions", "customers"];
    let mut targets: Vec<(String, &'static [u16])> = Vec::new();
    for path in paths {
        let huge = "x".repeat(4_000);
        for id in ids.iter().copied().chain([huge.as_str()]) {
            targets.push((format!("/api/v1/{path}/{id}"), &[400, 404, 422]));
        }
        targets.push((format!("/api/v1/{path}/../../../etc/passwd"), &[404]));
    }
    for path in ["members", "products", "skus", "stores", "orders", "returns", "decisions", "quarantine"] {
        for query in ["limit=-1", "limit=1e9", "limit=0", "limit=1000000000", "limit=99999999999999999999", "limit="] {
            targets.push((format!("/api/v1/{path}?{query}"), &[400]));
        }
        targets.push((format!("/api/v1/{path}?nonsense={}", SEEDS[0]), &[400]));
    }
    for query in ["cursor=garbage", "cursor=%00", "cursor=%ff", "updated_since=tomorrow", "status=%00", "member=%00"] {
        targets.push((format!("/api/v1/orders?{query}"), &[400, 422]));
    }
    for query in ["cursor=garbage", "status=garbage", "member_id=garbage", "cursor=%00"] {
        targets.push((format!("/api/v1/decisions?{query}"), &[400]));
    }
    for query in
        ["by=shoe", "at_least=garbage", "at_least=w-zz", "wait_ms=-1", "wait_ms=1e9", "at_least=w-%00", "at_least="]
    {
        targets.push((format!("/api/v1/customers/1?{query}"), &[400]));
    }
    targets.push((format!("/api/v1/customers/{}?by=email", SEEDS[0]), &[404]));
    targets.push((format!("/api/v1/customers/{}?by=phone", SEEDS[0]), &[400]));
    targets.push((format!("/api/v1/customers/1?by={}", SEEDS[0]), &[400]));
    targets.push(("/api/v1/customers/1?wait_ms=200&at_least=w-7fffffffffffffff".to_owned(), &[504]));
    targets.push(("/api/v1/nothing".to_owned(), &[404]));
    targets
}

/// Statements that the SQL door must refuse, and how.
pub fn statements() -> Vec<(String, &'static [u16])> {
    let refused: &'static [u16] = &[400, 403, 422];
    let mut statements: Vec<(String, &'static [u16])> = [
        "insert into orders select * from orders",
        "update orders set status = 'x'",
        "delete from orders",
        "drop table orders",
        "create table x (a int)",
        "truncate orders",
        "alter table orders add column x int",
        "select 1; drop table orders",
        "select 1; select 2",
        "with x as (delete from orders returning *) select * from x",
        "attach '/tmp/x.db' as x",
        "copy orders to '/tmp/storewide-doors.csv'",
        "copy orders from '/etc/passwd'",
        "pragma database_list",
        "set memory_limit = '1TB'",
        "reset all",
        "install httpfs",
        "load httpfs",
        "export database '/tmp/x'",
        "call pragma_version()",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/**')",
        "select * from read_parquet('http://127.0.0.1:1/x')",
        "explain analyze delete from orders",
        "prepare x as select 1",
        "begin",
        "commit",
        "checkpoint",
        "vacuum",
        "",
        ";",
        "select",
        "\0",
        "select '\0'; drop table orders",
        "select getenv('HOME')",
        "use memory",
        "detach serving",
        "explain analyze explain analyze delete from orders",
        "select * from query('delete from orders')",
        "create secret (type s3)",
    ]
    .map(|sql| (sql.to_owned(), refused))
    .into();
    statements.push((format!("select '{}'", "x".repeat(200 << 10)), &[422]));
    statements.push((format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000)), refused));
    statements.push(("select sum(a.range * b.range) from range(10000000) a, range(10000000) b".to_owned(), &[422]));
    statements.push(("select repeat('x', 1000000) from range(1000)".to_owned(), &[422]));
    statements.push(("select repeat('x', 1000000000)".to_owned(), &[422]));
    statements
}

/// Events that the gateway must put into quarantine or take, by what is wrong in them.
pub fn events() -> Vec<(&'static str, String)> {
    let track = |event: &str, properties: Value| {
        json!({ "anonymousId": "a1", "messageId": "bad", "event": event, "properties": properties }).to_string()
    };
    let identified = |id: Value| json!({ "userId": id, "event": "Product Viewed", "properties": {} }).to_string();
    vec![
        ("negative quantity", track("Product Added", json!({ "product_id": "1", "quantity": -1 }))),
        ("wrong type", track("Product Viewed", json!({ "product_id": { "x": SEEDS[0] } }))),
        ("no product", track("Product Added", json!({ "email": SEEDS[0], "name": SEEDS[3] }))),
        ("properties as a list", track("Product Viewed", json!([SEEDS[2]]))),
        ("no event", json!({ "anonymousId": "a1", "properties": {} }).to_string()),
        ("nobody", json!({ "event": "Product Viewed", "properties": { "email": SEEDS[0] } }).to_string()),
        ("id as an object", identified(json!({ "x": SEEDS[0] }))),
        ("huge id", identified(json!("x".repeat(5_000)))),
    ]
}
