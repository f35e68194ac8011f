//! The same signals, repeated, shuffled across the doors, delayed and interrupted, end in the same serving tables.

use crate::program::Program;
use jiff::{SignedDuration, Timestamp};
use model::Position;
use oltp::command::PutOrder;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use storewide::demo::driver::Doors;
use storewide::demo::shopper::{Crowd, Deed};

const SIGNALS: usize = 1_500;
/// From the first signal to what both runs take for now: carts that were left are abandoned by then.
const AGE: SignedDuration = SignedDuration::from_hours(2);
const EVENTS_A_BATCH: usize = 40;
/// How long what was sent may take to be served; a busy machine is slow.
const SERVED_MAX: Duration = Duration::from_secs(300);

/// Newest offset by partition of the events.
type Offsets = BTreeMap<i32, i64>;

/// What is compared, with ids of a run replaced by names that both runs know.
const QUESTIONS: [(&str, &str); 9] = [
    (
        "events",
        "select e.message_id, e.name, e.anonymous_id, epoch_us(e.occurred_at), coalesce(m.member_no, e.person_now)
         from events_resolved e left join members m on e.person_now = 'm:' || m.member_id order by all",
    ),
    (
        "sessions",
        "select s.trace, epoch_us(s.started_at), epoch_us(s.ended_at), s.events, s.product_views, coalesce(m.member_no, s.person)
         from sessions s left join members m on s.person = 'm:' || m.member_id order by all",
    ),
    (
        "orders",
        "select o.order_no, o.channel, o.status, cast(o.units as varchar), o.net_minor, m.member_no, o.contact, s.store_code
         from orders o left join members m using (member_id) left join stores s using (store_id) order by all",
    ),
    (
        "order_lines",
        "select o.order_no, l.line_no, k.sku_code, cast(l.quantity as varchar), l.net_minor, l.voided
         from order_lines l join orders o using (order_id) join skus k using (sku_id) order by all",
    ),
    ("payments", "select o.order_no, p.payment_no, p.tender_type, p.amount_minor from payments p join orders o using (order_id) order by all"),
    (
        "returns",
        "select r.return_no, r.status, cast(r.units as varchar), r.net_minor, m.member_no
         from returns r left join members m using (member_id) order by all",
    ),
    (
        "features",
        "select coalesce(m.member_no, f.person), cast(f.features as varchar)
         from member_features f left join members m on f.person = 'm:' || m.member_id order by all",
    ),
    (
        "intents",
        "select i.intent, coalesce(m.member_no, i.person), cast(i.detail as varchar)
         from intents i left join members m on i.person = 'm:' || m.member_id where i.status = 'fired' order by all",
    ),
    (
        "customer_360",
        "select member_no, orders, cast(units as varchar), net_minor, returns, points_balance, consents, tags, cohorts, sessions
         from customer_360 order by all",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn mutated_replay_ends_in_the_state_of_the_clean_run() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    // Near the real time, which PostgreSQL stamps on every change: months later all of this would be late.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let fixed = now.to_string();
    let environment = [("STOREWIDE_CLOCK__FIXED", fixed.as_str())];
    let mut clean = Program::start(&environment).await;
    let mut mutated = Program::start(&environment).await;
    let signals = signals(&clean, now - AGE).await;
    mutated.stock().await;
    let position = clean_run(&clean, &signals).await;
    let expected = answers(&clean, &position).await;
    clean.stop();
    let position = mutated_run(&mut mutated, &signals, seed).await;
    for ((name, expected), (_, found)) in expected.iter().zip(answers(&mutated, &position).await) {
        assert!(!expected.is_empty(), "{name} is empty: the test compares nothing");
        let differs = expected.iter().zip(&found).find(|(a, b)| a != b);
        assert!(
            differs.is_none() && expected.len() == found.len(),
            "{name}: {} rows, then {}; {differs:?}",
            expected.len(),
            found.len()
        );
    }
    mutated.stop();
}

/// Signals of an hour, some of them corrections of earlier ones.
async fn signals(program: &Program, begin: Timestamp) -> Vec<Deed> {
    let mut crowd = Crowd::new("m", 11, 60, program.stock().await);
    let mut signals = Vec::new();
    for number in 0..SIGNALS {
        let now = begin + SignedDuration::from_millis(i64::try_from(number).unwrap() * 1_500);
        let mut deed = crowd.act(now);
        if let Deed::Order(order) = &mut deed {
            order.source_updated_at = Some(now);
            crowd.bought((**order).clone());
        }
        let correction = match &deed {
            Deed::Order(order) if number % 5 == 0 => Some(cancelled(order, now)),
            _ => None,
        };
        signals.push(deed);
        signals.extend(correction);
    }
    signals
}

fn cancelled(order: &PutOrder, now: Timestamp) -> Deed {
    let source_updated_at = Some(now + SignedDuration::from_secs(1));
    Deed::Order(Box::new(PutOrder { status: Some("cancelled".to_owned()), source_updated_at, ..order.clone() }))
}

/// Sends everything once and in order; gives the position of the events.
async fn clean_run(program: &Program, signals: &[Deed]) -> Offsets {
    let doors = program.doors().await;
    let (mut events, mut position) = (Vec::new(), Offsets::new());
    for signal in signals {
        if let Deed::Event(event) = signal {
            events.push(event.clone());
        } else {
            assert!(send(&doors, signal).await, "a clean signal was refused: {signal:?}");
        }
        if events.len() == EVENTS_A_BATCH {
            send_events(&doors, &std::mem::take(&mut events), &mut position).await;
        }
    }
    send_events(&doors, &events, &mut position).await;
    position
}

/// Sends some of it twice and in any order, with restarts between; and some of it only after all the rest was served, so that
/// it corrects what was computed without it.
async fn mutated_run(program: &mut Program, signals: &[Deed], seed: u64) -> Offsets {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (delayed, mut prompt): (Vec<Deed>, Vec<Deed>) = signals.iter().cloned().partition(|_| rng.random_bool(0.1));
    prompt.extend(signals.iter().filter(|_| rng.random_bool(0.3)).cloned());
    prompt.shuffle(&mut rng);
    let doors = program.doors().await;
    let (mut late, mut position) = (Vec::new(), Offsets::new());
    let third = prompt.len() / 3 + 1;
    for (part, chunk) in prompt.chunks(third).enumerate() {
        late.extend(send_all(&doors, chunk, &mut rng, &mut position).await);
        if part == 0 {
            program.kill();
            program.restart().await;
        } else if part == 1 {
            program.kill_postgres();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    served(program, &position).await;
    late.extend(send_all(&doors, &delayed, &mut rng, &mut position).await);
    for signal in &late {
        assert!(send(&doors, signal).await, "a late signal was refused: {signal:?}");
    }
    position
}

/// Sends signals; gives back the facts that were refused because what they refer to is not there yet.
async fn send_all(doors: &Doors, signals: &[Deed], rng: &mut ChaCha8Rng, position: &mut Offsets) -> Vec<Deed> {
    let (mut events, mut refused) = (Vec::new(), Vec::new());
    for signal in signals {
        match signal {
            Deed::Event(event) => events.push(event.clone()),
            // Goods may come back before anybody said that they were sold: whoever sent that sends it again later.
            fact if !send(doors, fact).await => refused.push(fact.clone()),
            _ => {}
        }
        if events.len() >= rng.random_range(1..=EVENTS_A_BATCH) {
            send_events(doors, &std::mem::take(&mut events), position).await;
        }
    }
    send_events(doors, &events, position).await;
    refused
}

/// Sends a fact until the server answers; false when it refuses what it cannot know yet.
async fn send(doors: &Doors, fact: &Deed) -> bool {
    let (path, body) = match fact {
        Deed::Order(order) => ("/api/v1/orders", serde_json::to_value(order).unwrap()),
        Deed::Return(goods) => ("/api/v1/returns", serde_json::to_value(goods).unwrap()),
        Deed::Event(_) => panic!("events go to the gateway"),
    };
    loop {
        let answer = doors.api.request(Method::POST, path).json(&body).send().await;
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => return true,
            Ok(StatusCode::UNPROCESSABLE_ENTITY | StatusCode::NOT_FOUND | StatusCode::CONFLICT) => return false,
            Ok(status) if status.is_client_error() => panic!("{path} answered {status}"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn send_events(doors: &Doors, events: &[Value], position: &mut Offsets) {
    if events.is_empty() {
        return;
    }
    let body = json!({ "batch": events });
    loop {
        let request =
            reqwest::Client::new().post(format!("{}/v1/batch", doors.gateway)).basic_auth(&doors.write_key, Some(""));
        if let Ok(answer) = request.json(&body).send().await
            && answer.status().is_success()
        {
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["rejected"], 0, "{answer}");
            let Position::Events(offsets) = answer["position"].as_str().unwrap().parse().unwrap() else {
                panic!("{answer}")
            };
            for (partition, offset) in offsets {
                let newest = position.entry(partition).or_insert(offset);
                *newest = offset.max(*newest);
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until everything that was sent is served: the facts, which an audit waits for, and the events.
async fn served(program: &Program, position: &Offsets) {
    let audit = program.command(&["audit", "--json"]);
    assert_eq!((&audit["missing"], &audit["extra"], &audit["different"]), (&0.into(), &0.into(), &0.into()), "{audit}");
    let position = Position::Events(position.clone()).to_string();
    let begin = Instant::now();
    while let Err(error) = program.client().number("select 1", Some(&position)).await {
        assert!(begin.elapsed() < SERVED_MAX, "what was sent is not served: {error:#}");
    }
}

/// Rows of all questions, once everything that was sent is served.
async fn answers(program: &Program, position: &Offsets) -> Vec<(&'static str, Vec<Vec<Value>>)> {
    served(program, position).await;
    let client = program.client();
    let mut answers = Vec::new();
    for (name, question) in QUESTIONS {
        answers.push((name, settled(&client, question).await));
    }
    answers
}

/// Rows of a question once two looks in a row find the same: timers and decisions go on by themselves.
async fn settled(client: &storewide::client::Client, question: &str) -> Vec<Vec<Value>> {
    let (mut before, begin) = (None, Instant::now());
    loop {
        let answer = client.sql(question, None, 50_000).await.unwrap();
        let behind = answer.as_of.lag_records + answer.as_of.processing_lag_records;
        if behind == 0 && before.as_ref() == Some(&answer.rows) {
            return answer.rows;
        }
        assert!(begin.elapsed() < SERVED_MAX, "the answer to `{question}` does not come to rest");
        before = Some(answer.rows);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
