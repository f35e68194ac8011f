//! A house for one test: a database of its own, a bus, a clock, a receiver, and as many runs of decisions as wanted.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bus::{Bus, MemoryBus, NewRecord, TopicSpec};
use contract::playbooks::Playbooks;
use decisions::Config;
use decisions::receiver::{self, Received};
use jiff::SignedDuration;
use model::derived::{Intent, IntentStatus};
use model::ids::{MemberId, OrderId, PersonId};
use model::{IdentityKind, Layer, Timestamp, Tokeniser, topic};
use oltp::command::{
    ConsentValue, IdentityValue, OrderLineValue, PutMember, PutOrder, PutProduct, PutReturn, PutSku, ReturnLineValue,
};
use oltp::outcome::{Decision, DecisionDetail, DecisionsAsked};
use oltp::{Command, Context, Oltp};
use runtime::{Clock, Telemetry};
use serde_json::{Value, json};
use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Noon in Berlin.
pub const NOON: &str = "2025-06-15T10:00:00Z";

/// A clock that starts at noon, runs, and can be moved on.
pub struct TestClock {
    begun: Instant,
    moved_s: AtomicI64,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let run = i64::try_from(self.begun.elapsed().as_micros()).unwrap();
        let moved = SignedDuration::from_secs(self.moved_s.load(Ordering::SeqCst));
        NOON.parse::<Timestamp>().unwrap() + SignedDuration::from_micros(run) + moved
    }
}

/// What the receiver does to the first requests.
#[derive(Clone)]
pub struct Faults {
    /// So many are held, before all else, until `let_go` has a permit for them.
    pub hold: Arc<AtomicU32>,
    pub let_go: Arc<Semaphore>,
    /// So many are answered 503 before they are looked at.
    pub before: Arc<AtomicU32>,
    /// So many, after those, are taken and then answered 500, as if the answer had been lost.
    pub after: Arc<AtomicU32>,
    /// All are answered so, where it is not 0; a redirection leads back here.
    pub always: Arc<AtomicU32>,
    /// Requests that came.
    pub requests: Arc<AtomicU32>,
}

impl Default for Faults {
    fn default() -> Self {
        let none = Arc::<AtomicU32>::default;
        let let_go = Arc::new(Semaphore::new(0));
        Self { hold: none(), let_go, before: none(), after: none(), always: none(), requests: none() }
    }
}

pub struct House {
    pub oltp: Oltp,
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<TestClock>,
    pub config: Config,
    pub playbooks: Arc<Playbooks>,
    pub faults: Faults,
    pub received: Arc<Received>,
    pub actions: Arc<Mutex<Vec<Value>>>,
    pub telemetry: Telemetry,
    orders: AtomicI64,
    _receiver: Run,
}

/// A task that ends with its owner.
pub struct Run {
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl House {
    pub async fn new() -> Self {
        Self::on(Arc::new(MemoryBus::new())).await
    }

    pub async fn on(bus: Arc<dyn Bus>) -> Self {
        let pg = engine_postgres::testing::fresh_database(engine_postgres::Version::System).await.unwrap();
        let telemetry = Telemetry::default();
        let meter = telemetry.meter(Layer::Oltp);
        let oltp = Oltp::new(&oltp::Config::default(), pg, Tokeniser::new(b"test"), meter).unwrap();
        oltp.migrate().await.unwrap();
        let topics = [(topic::INTENTS.to_owned(), 8), (topic::crm("sales_order"), 4), (topic::crm("sales_return"), 4)];
        for (name, partitions) in topics {
            bus.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
        }
        let clock = Arc::new(TestClock { begun: Instant::now(), moved_s: AtomicI64::new(0) });
        let (faults, actions) = (Faults::default(), Arc::<Mutex<Vec<Value>>>::default());
        let (received, url, receiver) = receive(clock.clone(), faults.clone(), Arc::clone(&actions)).await;
        let config = Config {
            webhook_url: Some(url),
            webhook_secret: Some(SECRET.to_owned()),
            backoff_ms: 1,
            poll_ms: 10,
            ..Config::default()
        };
        let playbooks = Arc::new(Playbooks::embedded());
        let (orders, _receiver) = (AtomicI64::new(0), receiver);
        let house =
            Self { oltp, bus, clock, config, playbooks, faults, received, actions, telemetry, orders, _receiver };
        house
            .command(Command::Product(PutProduct { product_code: "p".into(), title: "P".into(), ..Default::default() }))
            .await;
        house
            .command(Command::Sku(PutSku { sku_code: "s".into(), product_code: "p".into(), ..Default::default() }))
            .await;
        house
    }

    pub fn start(&self) -> Run {
        self.start_with(self.config.clone())
    }

    pub fn start_with(&self, config: Config) -> Run {
        let stop = CancellationToken::new();
        let (bus, oltp, playbooks) = (self.bus.clone(), self.oltp.clone(), self.playbooks.clone());
        let (clock, meter) = (self.clock.clone(), self.telemetry.meter(Layer::Decisions));
        let run = decisions::run(config, bus, oltp, playbooks, clock, meter, stop.clone());
        Run { stop, task: tokio::spawn(async move { run.await.unwrap() }) }
    }

    pub async fn command(&self, command: Command) -> Uuid {
        let context = Context { actor: "test".to_owned(), ..Context::default() };
        self.oltp.run(&context, &command).await.unwrap().0.id
    }

    /// A member in Berlin who consents to marketing by e-mail.
    pub async fn member(&self, no: &str) -> MemberId {
        self.put_member(no, |_| {}).await
    }

    pub async fn put_member(&self, no: &str, change: impl FnOnce(&mut PutMember)) -> MemberId {
        let mut member = PutMember {
            member_no: no.to_owned(),
            timezone: Some("Europe/Berlin".to_owned()),
            identities: vec![IdentityValue { kind: IdentityKind::External, value: no.to_owned() }.into()],
            consents: vec![consent("granted", "2025-01-01T00:00:00Z")],
            ..PutMember::default()
        };
        change(&mut member);
        MemberId(self.command(Command::Member(member)).await)
    }

    /// An order of a member, placed some seconds from now, as the store has it; nobody is told of it.
    pub async fn order(&self, member_no: &str, in_s: i64, minor: i64) -> PutOrder {
        let number = self.orders.fetch_add(1, Ordering::SeqCst);
        let line = OrderLineValue {
            line_no: 1,
            sku_code: "s".to_owned(),
            quantity: 1.into(),
            unit_price_minor: Some(minor),
            ..OrderLineValue::default()
        };
        let order = PutOrder {
            source: "till".to_owned(),
            order_no: format!("o{number}"),
            channel: "pos".to_owned(),
            member_no: Some(member_no.to_owned()),
            placed_at: self.clock.now() + SignedDuration::from_secs(in_s),
            currency: "EUR".to_owned(),
            lines: vec![line],
            ..PutOrder::default()
        };
        self.command(Command::Order(order.clone())).await;
        order
    }

    /// Puts an order and captures it, as the layer before us does.
    pub async fn put_order(&self, order: PutOrder) -> OrderId {
        let id = self.command(Command::Order(order)).await;
        self.capture("sales_order", OrderId(id)).await;
        OrderId(id)
    }

    /// Gives all of an order back and captures that.
    pub async fn give_back(&self, order: &PutOrder, id: OrderId) {
        let line = ReturnLineValue { line_no: 1, quantity: 1.into(), ..ReturnLineValue::default() };
        let back = PutReturn {
            source: order.source.clone(),
            return_no: order.order_no.clone(),
            order_source: order.source.clone(),
            order_no: order.order_no.clone(),
            returned_at: order.placed_at,
            lines: vec![line],
            ..PutReturn::default()
        };
        self.command(Command::Return(back)).await;
        self.capture("sales_return", id).await;
    }

    async fn capture(&self, table: &str, order: OrderId) {
        let change = json!({
            "before": null,
            "after": { "order_id": order },
            "op": "c",
            "source": { "db": "d", "schema": "crm", "table": table, "lsn": 1, "seq": 0, "tx": 1, "ts_us": 0, "snapshot": false },
            "ts_us": 0,
        });
        self.produce(&topic::crm(table), &order.to_string(), &change).await;
    }

    /// An intent of a person.
    pub fn intent(&self, person: PersonId) -> Intent {
        Intent {
            intent_id: Uuid::now_v7(),
            intent: "cart_abandoned".to_owned(),
            person,
            status: IntentStatus::Fired,
            fired_at: self.clock.now(),
            detail: json!({ "products": ["p"] }).as_object().unwrap().clone(),
            cause: None,
        }
    }

    pub async fn fire(&self, member: MemberId) -> Intent {
        let intent = self.intent(PersonId::member(member));
        self.send(&intent).await;
        intent
    }

    pub async fn send(&self, intent: &Intent) {
        let value = serde_json::to_value(intent).unwrap();
        self.produce(topic::INTENTS, &intent.intent_id.to_string(), &value).await;
    }

    pub async fn produce(&self, topic: &str, key: &str, value: &Value) {
        let record = NewRecord {
            topic: topic.to_owned(),
            key: Some(key.to_owned().into()),
            value: Some(value.to_string().into()),
            ..NewRecord::default()
        };
        self.bus.produce(vec![record]).await.unwrap();
    }

    pub async fn decisions(&self) -> Vec<Decision> {
        self.oltp.decisions(&DecisionsAsked { limit: 1_000, ..DecisionsAsked::default() }).await.unwrap()
    }

    /// The one decision of an intent, once it is as wanted.
    pub async fn decision(&self, intent: &Intent, wanted: impl Fn(&DecisionDetail) -> bool) -> DecisionDetail {
        self.until("the decision is as wanted", || async {
            let all = self.decisions().await;
            let of_intent = all.iter().find(|decision| decision.intent_id == intent.intent_id)?;
            let detail = self.oltp.decision(of_intent.recommendation_id).await.unwrap()?;
            wanted(&detail).then_some(detail)
        })
        .await
    }

    /// Waits until the receiver got so many requests.
    pub async fn requests(&self, count: u32) {
        self.until("the receiver is asked", || async {
            (self.faults.requests.load(Ordering::SeqCst) >= count).then_some(())
        })
        .await;
    }

    /// Waits until all that is on a topic was dealt with by a group.
    pub async fn read_up(&self, group: &str, topic: &str) {
        self.until("the group has read all", || async {
            let spec = self.bus.topics().await.unwrap().into_iter().find(|spec| spec.name == topic).unwrap();
            for partition in 0..spec.partitions {
                let at = bus::TopicPartition::new(topic, partition);
                let high = self.bus.watermarks(&at).await.unwrap().high;
                if self.bus.committed(group, &at).await.unwrap().unwrap_or(0) < high {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    pub async fn intents_read(&self) {
        self.read_up("decisions.intents", topic::INTENTS).await;
    }

    pub fn move_on(&self, seconds: i64) {
        self.clock.moved_s.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Looks until there is something, for half a minute at most.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let status = self.telemetry.status();
            assert!(begun.elapsed() < Duration::from_secs(30), "not in time: {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn consent(status: &str, since: &str) -> ConsentValue {
    ConsentValue {
        purpose: "marketing".to_owned(),
        channel: "email".to_owned(),
        status: status.to_owned(),
        status_at: Some(since.parse().unwrap()),
        expires_at: None,
        source: None,
        ..ConsentValue::default()
    }
}

async fn receive(
    clock: Arc<dyn Clock>,
    faults: Faults,
    actions: Arc<Mutex<Vec<Value>>>,
) -> (Arc<Received>, String, Run) {
    let on_action = Arc::new(move |action: Value| actions.lock().unwrap().push(action));
    let (router, received) = receiver::router(SECRET.parse().unwrap(), clock, on_action);
    let router = router.layer(middleware::from_fn_with_state(faults, fail));
    let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let serve = runtime::http::serve(listener, router, stop.clone());
    (received, url, Run { stop, task: tokio::spawn(async move { serve.await.unwrap() }) })
}

async fn fail(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let take =
        |left: &AtomicU32| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    faults.requests.fetch_add(1, Ordering::SeqCst);
    if take(&faults.hold) {
        faults.let_go.acquire().await.unwrap().forget();
    }
    let always = faults.always.load(Ordering::SeqCst);
    if always != 0 {
        return (StatusCode::from_u16(u16::try_from(always).unwrap()).unwrap(), [(LOCATION, "/")]).into_response();
    }
    if take(&faults.before) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let lost = take(&faults.after);
    let answer = next.run(request).await;
    if lost { StatusCode::INTERNAL_SERVER_ERROR.into_response() } else { answer }
}
