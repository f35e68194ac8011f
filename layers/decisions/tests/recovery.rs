//! Dying at any instant loses nothing and doubles nothing.

use crate::house::House;
use engine_fjall::{Options, Store};
use model::topic;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn runs_that_die_at_any_instant_end_like_one_that_lived() {
    let house = House::new().await;
    house.faults.after.store(5, Ordering::SeqCst);
    let mut intents = Vec::new();
    for n in 0..12 {
        let member = house.member(&format!("m{n}")).await;
        intents.push(house.fire(member).await);
    }
    // Each run lives a little longer than the one before, so that they die all along the way.
    for life_ms in 1..30 {
        let run = house.start();
        tokio::time::sleep(Duration::from_millis(life_ms)).await;
        drop(run);
    }
    let _run = house.start();
    house.intents_read().await;
    for intent in &intents {
        // A lease that died with its holder ends by time.
        house
            .until("a decision is there", || async {
                house.decisions().await.iter().any(|decision| decision.intent_id == intent.intent_id).then_some(())
            })
            .await;
    }
    house.move_on(60);
    for intent in &intents {
        house.decision(intent, |decision| decision.decision.status == "executed").await;
    }
    let ids: Vec<String> = house.actions.lock().unwrap().iter().map(|action| action["action_id"].to_string()).collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (12, 12));
    assert_eq!(house.decisions().await.len(), 12);
}

#[tokio::test]
async fn unreadable_records_hold_nobody_up() {
    let house = House::new().await;
    let _run = house.start();
    for value in [json!("no intent"), json!({ "intent_id": 7 }), json!(null)] {
        house.produce(topic::INTENTS, "k", &value).await;
        house.produce(&topic::crm("sales_order"), "k", &value).await;
    }
    let mut intent = house.intent(model::ids::PersonId::member(house.member("ann").await));
    intent.detail.insert("nul\0".to_owned(), json!("\0"));
    house.send(&intent).await;
    house.decision(&intent, |decision| decision.decision.status == "executed").await;
    house.intents_read().await;
    house.read_up("decisions.outcomes", "crm.sales_order").await;
}

#[tokio::test]
async fn the_embedded_bus_carries_the_whole_way() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let house = House::on(store.bus()).await;
    let run = house.start();
    let intent = house.fire(house.member("ann").await).await;
    house.decision(&intent, |decision| decision.decision.status == "executed").await;
    let order = house.order("ann", 60, 500).await;
    house.put_order(order).await;
    house.decision(&intent, |decision| decision.outcome.is_some()).await;
    run.stop.cancel();
}
