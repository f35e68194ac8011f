//! A small shop to test with: a store, products, SKUs, a member.

use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use jiff::Timestamp;
use model::{Decimal, IdentityKind, Layer, Tokeniser};
use oltp::command::*;
use oltp::{Command, Config, Context, Done, Effect, Oltp, OltpError};
use runtime::Telemetry;
use serde_json::Value;
use std::time::{Duration, Instant};

/// When all of the shop's orders are placed, unless a test says otherwise.
pub const MORNING: &str = "2026-03-02T09:30:00Z";

/// A store on a database of its own, and a connection that looks at it from outside.
pub struct Shop {
    pub oltp: Oltp,
    pub pg: tokio_postgres::Config,
    outside: tokio_postgres::Client,
}

impl std::ops::Deref for Shop {
    type Target = Oltp;

    fn deref(&self) -> &Oltp {
        &self.oltp
    }
}

impl Shop {
    /// An empty, migrated store.
    pub async fn empty(version: Version) -> Self {
        Self::with(version, Config::default()).await
    }

    pub async fn with(version: Version, config: Config) -> Self {
        let pg = fresh_database(version).await.unwrap();
        let meter = Telemetry::default().meter(Layer::Oltp);
        let oltp = Oltp::new(&config, pg.clone(), Tokeniser::new(b"test"), meter).unwrap();
        oltp.migrate().await.unwrap();
        let outside = connect(&pg).await.unwrap();
        Self { oltp, pg, outside }
    }

    /// A store with a shop in it: store `s1`, SKUs `a` to `e`, member `m1` with an e-mail address and `m2` without.
    pub async fn open(version: Version) -> Self {
        let shop = Self::empty(version).await;
        shop.furnish().await;
        shop
    }

    pub async fn furnish(&self) {
        let mut commands = vec![Command::Store(store("s1"))];
        for code in ["a", "b", "c", "d", "e"] {
            commands.push(Command::Product(product(code)));
            commands.push(Command::Sku(sku(code)));
        }
        let mut known = member("m1");
        known.identities = vec![identity(IdentityKind::Email, "ann@example.com").into()];
        commands.push(Command::Member(known));
        commands.push(Command::Member(member("m2")));
        let items = commands.into_iter().map(|command| (context(), command)).collect();
        let (outcomes, _) = self.run_batch(items).await.unwrap();
        for outcome in outcomes {
            assert_eq!(outcome.unwrap().effect, Effect::Created);
        }
    }

    /// Runs a command that must work.
    pub async fn done(&self, command: Command) -> Done {
        self.run(&context(), &command).await.unwrap().0
    }

    /// Does an action, with a key of its own.
    pub async fn attempt(&self, command: Command) -> Result<Done, OltpError> {
        act(&self.oltp, command).await
    }

    /// Does an action that must work.
    pub async fn act(&self, command: Command) -> Done {
        self.attempt(command).await.unwrap()
    }

    /// Does an action that must not work; gives the code.
    pub async fn cannot(&self, command: Command) -> &'static str {
        self.attempt(command).await.unwrap_err().code()
    }

    /// Runs a command that must not work.
    pub async fn refused(&self, command: Command) -> OltpError {
        self.run(&context(), &command).await.unwrap_err()
    }

    pub async fn put(&self, order: PutOrder) -> Done {
        self.done(Command::Order(order)).await
    }

    /// One value from the database.
    pub async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.outside.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The server's process that waits for a lock in this database, once there is one.
    pub async fn waiting(&self) -> i32 {
        let sql = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(row) = self.outside.query_opt(sql, &[]).await.unwrap() {
                return row.get(0);
            }
            assert!(Instant::now() < deadline, "nobody waits for a lock");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn points(&self, member: &str) -> i64 {
        let member = self.get(oltp::Entity::MEMBER, member, false).await.unwrap().unwrap();
        member["points"].as_i64().unwrap()
    }

    /// What must hold whatever happened.
    pub async fn check_books(&self) {
        let faults: Vec<String> = self
            .outside
            .query(include_str!("books.sql"), &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get::<_, String>(0))
            .collect();
        assert!(faults.is_empty(), "{faults:?}");
    }

    /// A page of records.
    pub async fn page(&self, entity: &'static oltp::Entity, query: &[(&str, &str)]) -> oltp::Page {
        self.list(&oltp::Ask::parse(entity, query.iter().copied()).unwrap(), false).await.unwrap()
    }

    pub async fn order(&self, order_no: &str) -> Value {
        self.get(oltp::Entity::ORDER, &format!("till:{order_no}"), false).await.unwrap().unwrap()
    }
}

/// Does an action, with a key of its own.
pub async fn act(oltp: &Oltp, command: Command) -> Result<Done, OltpError> {
    oltp.run(&keyed(&uuid::Uuid::now_v7().to_string()), &command).await.map(|(done, _)| done)
}

pub fn context() -> Context {
    Context { actor: "test".to_owned(), request_id: "r-1".to_owned(), ..Context::default() }
}

pub fn keyed(key: &str) -> Context {
    Context { idempotency_key: Some(key.to_owned()), ..context() }
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn store(code: &str) -> PutStore {
    PutStore { store_code: code.to_owned(), name: format!("Store {code}"), ..PutStore::default() }
}

pub fn product(code: &str) -> PutProduct {
    PutProduct { product_code: code.to_owned(), title: format!("Product {code}"), ..PutProduct::default() }
}

pub fn sku(code: &str) -> PutSku {
    PutSku { sku_code: code.to_owned(), product_code: code.to_owned(), ..PutSku::default() }
}

pub fn member(number: &str) -> PutMember {
    PutMember { member_no: number.to_owned(), enrolled_at: Some(time("2020-01-01T00:00:00Z")), ..PutMember::default() }
}

pub fn identity(kind: IdentityKind, value: &str) -> IdentityValue {
    IdentityValue { kind, value: value.to_owned() }
}

pub fn line(number: i32, sku: &str, quantity: &str, price: i64) -> OrderLineValue {
    OrderLineValue {
        line_no: number,
        sku_code: sku.to_owned(),
        quantity: quantity.parse::<Decimal>().unwrap(),
        unit_price_minor: Some(price),
        ..OrderLineValue::default()
    }
}

pub fn paid(number: i32, amount: i64) -> PaymentValue {
    PaymentValue { payment_no: number, tender_type: "card".to_owned(), amount_minor: amount, ..PaymentValue::default() }
}

/// An order of `m1`: two `a` at 10.00 and one `b` at 5.50.
pub fn order(number: &str) -> PutOrder {
    PutOrder {
        source: "till".to_owned(),
        order_no: number.to_owned(),
        channel: "pos".to_owned(),
        store_code: Some("s1".to_owned()),
        member_no: Some("m1".to_owned()),
        placed_at: time(MORNING),
        currency: "USD".to_owned(),
        lines: vec![line(1, "a", "2", 1000), line(2, "b", "1", 550)],
        payments: vec![paid(1, 2550)],
        ..PutOrder::default()
    }
}

/// A return of goods of an order.
pub fn giving_back(number: &str, order_no: &str, lines: &[(i32, &str)]) -> PutReturn {
    PutReturn {
        source: "till".to_owned(),
        return_no: number.to_owned(),
        order_source: "till".to_owned(),
        order_no: order_no.to_owned(),
        returned_at: time("2026-03-05T10:00:00Z"),
        lines: lines
            .iter()
            .map(|(line_no, quantity)| ReturnLineValue {
                line_no: *line_no,
                quantity: quantity.parse().unwrap(),
                ..ReturnLineValue::default()
            })
            .collect(),
        ..PutReturn::default()
    }
}
