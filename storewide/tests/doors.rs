//! Bad input at each door of the real program: a clear answer, nothing written, nothing told to others.

mod cases;
mod silence;
mod store;
mod wire;

use crate::program::Program;
use cases::{Case, Door, SEEDS};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use wire::{Answer, Body};

/// Nouns of the records.
const NOUNS: [&str; 6] = ["members", "products", "skus", "stores", "orders", "returns"];
/// Calls of the gateway.
const CALLS: [&str; 7] = ["identify", "track", "page", "screen", "group", "alias", "batch"];
/// Requests under way at a time.
const AT_A_TIME: usize = 8;
/// The house under test and what was found wrong with it.
struct Trial {
    addresses: [SocketAddr; 3],
    owner: String,
    reader: String,
    writer: String,
    revoked: String,
    write_key: String,
    faults: Vec<String>,
    quarantined: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_leaves_no_trace() {
    let limits = [("STOREWIDE_ACCESS__BODY_MS_MAX", "4000"), ("STOREWIDE_GATEWAY__BODY_TIME_MAX_MS", "4000")];
    let program = Program::start(&limits).await;
    program.stock().await;
    let mut trial = Trial::new(&program).await;
    let good = cases::order("good", |_| {});
    trial.run(vec![trial.write("orders", "a good one", &[201]).json(good)]).await;
    let before = store::counts(&program).await;
    let silent = silence::connections(&trial.addresses, &trial.owner).await;

    trial.roles().await;
    trial.run(trial.bodies()).await;
    trial.run(trial.reads()).await;
    trial.run(trial.sql()).await;
    trial.batch().await;
    trial.events().await;
    trial.run(trial.oddities()).await;
    trial.run(trial.huge()).await;
    trial.quarantine().await;
    for connection in silent {
        connection.await.unwrap();
    }

    assert_eq!(trial.faults, Vec::<String>::new());
    assert_eq!(store::counts(&program).await, before, "refused commands changed the store");
    let audit = program.command(&["audit", "--json"]);
    assert!(["missing", "extra", "different"].iter().all(|field| audit[field] == 0), "{audit}");
    trial.logs(&program);
}

impl Trial {
    async fn new(program: &Program) -> Self {
        let client = program.client();
        let make = async |role: &str| {
            let body = json!({ "name": role, "role": role });
            client.send(client.request(reqwest::Method::POST, "/api/v1/keys").json(&body)).await.unwrap()
        };
        let secret = |made: &Value| made["secret"].as_str().unwrap().to_owned();
        let (reader, writer, revoked) = (make("reader").await, make("writer").await, make("admin").await);
        let path = format!("/api/v1/keys/{}", revoked["id"].as_str().unwrap());
        client.response(client.request(reqwest::Method::DELETE, &path)).await.unwrap();
        let owner = std::fs::read_to_string(program.data().join("secrets").join(storewide::client::OWNER_KEY)).unwrap();
        Self {
            addresses: program.addresses(),
            owner: owner.trim().to_owned(),
            reader: secret(&reader),
            writer: secret(&writer),
            revoked: secret(&revoked),
            write_key: program.doors().await.write_key,
            faults: Vec::new(),
            quarantined: 0,
        }
    }

    /// A try at the API with the owner's key.
    fn api(&self, line: &str, name: &str, right: &[u16]) -> Case {
        Case::new(name, Door::Api, line, right).header("authorization", &format!("Bearer {}", self.owner))
    }

    fn write(&self, noun: &str, name: &str, right: &[u16]) -> Case {
        self.api(&format!("POST /api/v1/{noun}"), name, right)
    }

    /// A try at the gateway with a good write key.
    fn call(&self, call: &str, name: &str, right: &[u16]) -> Case {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(format!("{}:", self.write_key));
        Case::new(name, Door::Gateway, &format!("POST /v1/{call}"), right)
            .header("authorization", &format!("Basic {key}"))
    }

    /// Tries cases side by side; what is wrong with an answer is noted.
    async fn run(&mut self, cases: Vec<Case>) -> Vec<Answer> {
        let addresses = self.addresses;
        let asked = futures_util::stream::iter(cases).map(|case| async move {
            let answer = wire::ask(addresses[case.door as usize], &case.line, &case.headers, case.body.clone()).await;
            (case, answer)
        });
        let answers: Vec<_> = asked.buffer_unordered(AT_A_TIME).collect().await;
        let mut all = Vec::new();
        for (case, answer) in answers {
            match answer {
                Some(answer) => {
                    self.judge(&case, &answer);
                    all.push(answer);
                }
                None => self.faults.push(format!("{:.200}: no answer", case.name)),
            }
        }
        all
    }

    fn judge(&mut self, case: &Case, answer: &Answer) {
        let mut wrong = Vec::new();
        if !case.right.contains(&answer.status) {
            wrong.push(format!("status {}, not {:?}", answer.status, case.right));
        }
        let problem = answer.json();
        let said = |field: &str| problem[field].as_str().is_some_and(|text| !text.is_empty());
        let is_problem = said("code") && said("detail") && problem["retry"].is_boolean();
        let typed = answer.has_header("content-type: application/problem+json");
        if answer.status >= 400 && !(is_problem && typed && problem["status"] == answer.status) {
            wrong.push("no problem document".to_owned());
        }
        if !answer.has_header("x-content-type-options: nosniff") {
            wrong.push("may be sniffed".to_owned());
        }
        if case.door != Door::Gateway && answer.head.to_ascii_lowercase().contains("access-control-") {
            wrong.push("only the gateway speaks to other sites' pages".to_owned());
        }
        wrong.extend(self.told(&answer.text()).map(|seed| format!("repeats {seed}")));
        let text = String::from_utf8_lossy(&answer.body);
        self.faults.extend(wrong.iter().map(|wrong| format!("{:.200}: {wrong}: {text:.300}", case.name)));
    }

    /// What a text repeats that it must not.
    fn told(&self, text: &str) -> Option<String> {
        let keys = [&self.owner, &self.reader, &self.writer, &self.revoked].map(String::as_str);
        SEEDS.into_iter().chain(keys).find(|secret| text.contains(secret)).map(str::to_owned)
    }

    /// Each path of the API's own description without a key, with bad ones, and with one of too low a role.
    async fn roles(&mut self) {
        let description = self.run(vec![Case::new("description", Door::Api, "GET /openapi.json", &[200])]).await;
        let mut cases = Vec::new();
        for (path, methods) in description[0].json()["paths"].as_object().unwrap() {
            // Sources are known by their own signatures.
            if path.starts_with("/hooks/") {
                continue;
            }
            for method in
                methods.as_object().unwrap().keys().filter(|name| ["get", "post", "delete"].contains(&name.as_str()))
            {
                let line = format!("{} {}", method.to_uppercase(), path.replace("{id}", "1"));
                cases.push(Case::new("no key", Door::Api, &line, &[401]));
                let bad = [
                    format!("Bearer {}", SEEDS[4]),
                    format!("Bearer {}", self.revoked),
                    "Basic Og==".to_owned(),
                    "Bearer ".to_owned(),
                    format!("Bearer {}", "x".repeat(5_000)),
                    format!("Bearer {}", self.write_key),
                ];
                cases.extend(
                    bad.iter().map(|key| Case::new("a bad key", Door::Api, &line, &[401]).header("authorization", key)),
                );
            }
        }
        assert!(cases.len() > 150, "the description lacks paths");
        let admin = [
            "POST /api/v1/keys",
            "GET /api/v1/keys",
            "DELETE /api/v1/keys/1",
            "GET /api/v1/quarantine",
            "POST /api/v1/audit",
            "GET /api/v1/oltp/status",
            "GET /api/v1/oltp/vacuum",
            "GET /api/v1/oltp/partitions",
            "POST /api/v1/inbox/replay",
            "POST /api/v1/inbox/1/replay",
        ];
        let writing = NOUNS.map(|noun| format!("POST /api/v1/{noun}"));
        let lines = writing
            .iter()
            .map(String::as_str)
            .chain(["POST /api/v1/batch", "POST /api/v1/imports"])
            .map(|line| (line, &self.reader));
        let lines = lines.chain(admin.into_iter().flat_map(|line| [(line, &self.reader), (line, &self.writer)]));
        cases.extend(lines.map(|(line, key)| {
            Case::new("a low role", Door::Api, line, &[403])
                .header("authorization", &format!("Bearer {key}"))
                .json("{}")
        }));
        for call in CALLS {
            for body in ["{}".to_owned(), json!({ "writeKey": SEEDS[4], "batch": [] }).to_string()] {
                cases.push(
                    Case::new("no write key", Door::Gateway, &format!("POST /v1/{call}"), &[400, 401]).json(body),
                );
            }
        }
        self.run(cases).await;
    }

    /// Bodies that are no JSON of the wanted form, at each door that takes one.
    fn bodies(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (name, body) in cases::broken() {
            for noun in NOUNS.into_iter().chain(["keys", "sql", "customers/lookup"]) {
                cases.push(self.write(noun, name, &[400, 413, 422]).json(body.clone()));
            }
        }
        cases.extend(
            cases::orders()
                .into_iter()
                .map(|(name, body)| self.write("orders", name, &[400, 404, 409, 422]).json(body)),
        );
        for (noun, name, body) in cases::records() {
            cases.push(self.write(noun, name, &[400, 404, 409, 422]).json(body.to_string()));
        }
        cases
    }

    fn reads(&self) -> Vec<Case> {
        let targets = cases::targets();
        targets.iter().map(|(target, right)| self.api(&format!("GET {target}"), "read", right)).collect()
    }

    fn sql(&self) -> Vec<Case> {
        let post = |name: &str, body: Value, right: &[u16]| self.write("sql", name, right).json(body.to_string());
        let mut cases: Vec<_> = cases::statements()
            .into_iter()
            .map(|(sql, right)| post(&sql, json!({ "sql": sql, "timeout_ms": 1_000, "limit": 100_000 }), right))
            .collect();
        cases.push(post(
            "far future",
            json!({ "sql": "select 1", "at_least": "w-7fffffffffffffff", "wait_ms": 200 }),
            &[504],
        ));
        for (name, field, value) in [
            ("garbage", "at_least", json!(SEEDS[0])),
            ("negative", "limit", json!(-1)),
            ("absurd", "limit", json!(1e300)),
            ("negative", "timeout_ms", json!(-5)),
            ("text", "wait_ms", json!("soon")),
            ("unknown", "format", json!(SEEDS[2])),
        ] {
            cases.push(post(name, json!({ "sql": "select 1", field: value }), &[400]));
        }
        for (kind, value) in
            [("email", "no"), ("shoe", SEEDS[0]), ("phone", SEEDS[0]), ("id", "\0"), ("email", SEEDS[0])]
        {
            let body = json!({ "kind": kind, "value": value }).to_string();
            cases.push(self.write("customers/lookup", kind, &[400, 404]).json(body));
        }
        cases
    }

    /// Bad lines in one batch: each has its own problem.
    async fn batch(&mut self) {
        let mut lines: Vec<Vec<u8>> =
            cases::broken().into_iter().map(|(_, body)| body).filter(|body| !body.is_empty()).collect();
        for (_, order) in cases::orders() {
            let mut line = b"{\"type\":\"order\",\"body\":".to_vec();
            line.extend(order.bytes().chain(*b"}"));
            lines.push(line);
        }
        let case = self.write("batch", "bad lines", &[200]).header("content-type", "application/x-ndjson");
        let answers = self.run(vec![case.body(Body::Bytes(lines.join(&b'\n')))]).await;
        let text = answers[0].text();
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&summary["lines"], &summary["failed"]), (&json!(lines.len()), &json!(lines.len())), "{text}");
        for line in text.lines().filter(|line| line.starts_with("{\"line\"")) {
            let problem = &serde_json::from_str::<Value>(line).unwrap()["problem"];
            assert!(
                problem["code"].is_string() && problem["detail"].is_string() && problem["retry"] == false,
                "{line}"
            );
        }
    }

    /// Bad bodies and bad events at the gateway; what it takes in and refuses is counted.
    async fn events(&mut self) {
        let mut cases = Vec::new();
        for call in CALLS {
            for (name, body) in cases::broken() {
                cases.push(self.call(call, name, &[200, 400, 413]).json(body));
            }
        }
        let events = cases::events();
        cases.extend(events.iter().map(|(name, event)| self.call("track", name, &[200]).json(event.as_str())));
        let all = events.iter().map(|(_, event)| event.as_str()).chain(["1", "null", "{\"type\":\"bad\"}"]);
        let batch = format!("{{\"batch\":[{}]}}", all.collect::<Vec<_>>().join(","));
        cases.push(self.call("batch", "bad events", &[200]).json(batch));
        for answer in self.run(cases).await.iter().filter(|answer| answer.status == 200) {
            let answer = answer.json();
            self.quarantined += answer["rejected"].as_u64().unwrap();
            if answer["accepted"] != 0 {
                self.faults.push(format!("the gateway takes a bad event: {answer}"));
            }
        }
        assert!(self.quarantined >= 2 * events.len() as u64, "only {} events were refused", self.quarantined);
    }

    /// Wrong methods, types, headers and paths.
    fn oddities(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for path in [
            "orders",
            "batch",
            "keys",
            "sql",
            "customers/1",
            "customers/lookup",
            "decisions",
            "status",
            "quarantine",
            "audit",
        ] {
            cases.push(self.api(&format!("PATCH /api/v1/{path}"), "method", &[405]));
        }
        let order = cases::order("bad", |_| {});
        for noun in ["orders", "members", "keys", "sql", "customers/lookup", "batch"] {
            cases.push(
                self.write(noun, "type", &[400, 415])
                    .header("content-type", "text/plain")
                    .body(Body::Bytes(b"{}".to_vec())),
            );
        }
        for key in ["x".repeat(300), "a b".to_owned(), "\u{e9}".to_owned()] {
            cases.push(
                self.write("orders", "idempotency key", &[400]).header("idempotency-key", &key).json(order.as_str()),
            );
        }
        cases.push(self.write("orders", "encoding", &[415]).header("content-encoding", "gzip").json(order.as_str()));
        let half = Body::Half(order.into_bytes());
        cases.push(self.write("orders", "half", &[408]).header("content-type", "application/json").body(half.clone()));
        cases.push(self.call("track", "half", &[408]).body(half));
        cases.push(self.call("track", "no gzip", &[400]).header("content-encoding", "gzip").json("\u{1f}\u{8b}"));
        for call in ["nothing", "%ff", "%00", "..%2f..%2fetc"] {
            cases.push(Case { door: Door::Gateway, ..self.call(call, "call", &[404]) });
        }
        let gateway = ["GET /v1/projects/%ff/settings", "GET /v1/projects/../../etc/settings", "DELETE /v1/track"];
        cases.extend(gateway.map(|line| Case::new("gateway", Door::Gateway, line, &[404, 405])));
        cases.extend(
            ["POST /healthz", "GET /%ff", "GET /../x"].map(|line| Case::new("health", Door::Health, line, &[404, 405])),
        );
        cases
    }

    /// 100 MB at each door that takes a body.
    fn huge(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for body in [Body::Huge, Body::HugeChunked] {
            for noun in ["members", "orders", "returns", "keys", "sql", "customers/lookup"] {
                let case = self.write(noun, "100 MB", &[413]).header("content-type", "application/json");
                cases.push(case.body(body.clone()));
            }
            cases.extend(["track", "batch"].map(|call| self.call(call, "100 MB", &[413]).body(body.clone())));
            let batch = self.write("batch", "100 MB", &[200]).header("content-type", "application/x-ndjson");
            cases.push(batch.body(body));
        }
        cases
    }

    /// Every refused event is there, with its reason.
    async fn quarantine(&mut self) {
        let answers = self.run(vec![self.api("GET /api/v1/quarantine?limit=500", "all", &[200])]).await;
        let found = answers[0].json();
        let entries = found["entries"].as_array().unwrap();
        assert_eq!(entries.len() as u64, self.quarantined);
        let told = |entry: &Value| {
            ["code", "reason"].iter().all(|field| entry[field].as_str().is_some_and(|text| !text.is_empty()))
        };
        assert!(entries.iter().all(told), "{found}");
    }

    /// The logs know nothing of what was sent, and of no fault of ours.
    fn logs(&self, program: &Program) {
        for name in ["server.log", "postgres/postgres.log"] {
            let log = std::fs::read(program.data().join(name)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            assert!(!log.contains("panicked"), "{name}: {log}");
            assert_eq!(self.told(&log), None, "{name}");
            assert!(!log.contains(&self.write_key), "{name}");
        }
    }
}
