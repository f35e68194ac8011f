//! A house with an open door.

use access::receiver::Receivers;
use access::{Access, Config, Intake};
use contract::sources::{SecretPlace, Sources};
use engine_postgres::{Version, testing};
use model::{Layer, Tokeniser};
use oltp::{NewKey, Oltp};
use reqwest::{Client, RequestBuilder, Response};
use runtime::Telemetry;
use runtime::auth::Role;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

pub struct House {
    pub address: SocketAddr,
    pub admin: String,
    pub writer: String,
    pub reader: String,
    pub client: Client,
    pub oltp: Oltp,
    pub intake: Intake,
    stop: CancellationToken,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl House {
    pub async fn open(version: Version) -> Self {
        Self::with(version, Config::default()).await
    }

    pub async fn with(version: Version, config: Config) -> Self {
        let pg = testing::fresh_database(version).await.unwrap();
        Self::on(pg, oltp::Config { pool_size: 4, ..oltp::Config::default() }, config).await
    }

    pub async fn on(pg: tokio_postgres::Config, store: oltp::Config, config: Config) -> Self {
        let telemetry = Telemetry::default();
        let oltp = Oltp::new(&store, pg, Tokeniser::new(b"test"), telemetry.meter(Layer::Oltp)).unwrap();
        oltp.migrate().await.unwrap();
        let (_, admin) = oltp
            .create_api_key(&NewKey { scopes: Some(vec!["*".to_owned()]), ..NewKey::new("boss", Role::Admin) })
            .await
            .unwrap();
        let (_, writer) = oltp.create_api_key(&NewKey::new("till", Role::Writer)).await.unwrap();
        let (_, reader) = oltp.create_api_key(&NewKey::new("report", Role::Reader)).await.unwrap();
        let sources = Sources::embedded();
        let receivers = Receivers::open(&sources, Intake::limits(&config), &secret).unwrap();
        let intake = Intake::with(oltp.clone(), telemetry.meter(Layer::Access), &config, receivers);
        let access = Access {
            oltp: oltp.clone(),
            meter: telemetry.meter(Layer::Access),
            config,
            openapi: access::openapi(),
            intake: intake.clone(),
        };
        let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(runtime::http::serve(listener, access::router(access), stop.clone()));
        Self { address, admin, writer, reader, client: Client::new(), oltp, intake, stop }
    }

    /// Starts the router and whoever runs imports.
    pub fn start(&self) {
        tokio::spawn(self.intake.clone().route(self.stop.clone()));
        tokio::spawn(self.intake.clone().run_imports(self.stop.clone()));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A key of its own.
    pub async fn key(&self, key: NewKey) -> String {
        self.oltp.create_api_key(&key).await.unwrap().1
    }

    /// A key with these scopes.
    pub async fn scoped(&self, role: Role, scopes: &[&str]) -> String {
        let scopes = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
        self.key(NewKey { scopes, ..NewKey::new("scoped", role) }).await
    }

    /// A write by the writer.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(&self.writer)
    }

    /// A read by a key.
    pub async fn get(&self, path: &str, key: &str) -> Response {
        self.client.get(self.url(path)).bearer_auth(key).send().await.unwrap()
    }

    /// One text from the database.
    pub async fn value(&self, sql: &str) -> String {
        self.oltp.client().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Writes a record, which must succeed.
    pub async fn put(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path).json(body).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.json().await.unwrap());
        assert!(status.is_success(), "{path}: {answer}");
        answer
    }

    /// A store, a product with a SKU, and a member, for orders to name.
    pub async fn furnish(&self) {
        self.put("/api/v1/stores", &json!({"store_code": "367", "name": "Main Street"})).await;
        self.put("/api/v1/products", &json!({"product_code": "p1", "title": "Coffee"})).await;
        self.put("/api/v1/skus", &json!({"sku_code": "s1", "product_code": "p1"})).await;
        let identities = json!([{"kind": "email", "value": "Ann@Example.com"}]);
        self.put("/api/v1/members", &json!({"member_no": "m1", "first_name": "Annabel", "identities": identities}))
            .await;
    }
}

/// The secret of the shipped web shop, and the key of the shipped till.
pub const SHOP_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const TILL_KEY: &str = "till-key-0123456789";

/// The secrets of the shipped sources.
pub fn secret(place: &SecretPlace) -> Result<String, String> {
    match place {
        SecretPlace::Environment(name) if name == "EXAMPLE_SHOP_SECRET" => Ok(SHOP_SECRET.to_owned()),
        SecretPlace::Environment(name) if name == "EXAMPLE_TILL_KEY" => Ok(TILL_KEY.to_owned()),
        _ => Err("not here".to_owned()),
    }
}

/// An order of two lines.
pub fn order(order_no: &str) -> Value {
    json!({"source": "till", "order_no": order_no, "channel": "pos", "store_code": "367", "member_no": "m1",
        "placed_at": "2026-01-31T12:00:00Z", "currency": "USD",
        "lines": [{"line_no": 1, "sku_code": "s1", "quantity": "2", "unit_price_minor": 699},
            {"line_no": 2, "sku_code": "s1", "quantity": "1", "unit_price_minor": 100, "discount_minor": 10}]})
}

/// The problem of an answer, which must be one.
pub async fn problem(answer: Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{status}");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["retry"], status >= 500 || [408, 429].contains(&status), "{problem}");
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("pointer"))
}
