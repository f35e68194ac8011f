//! What came of actions, whatever the order in which orders arrive.

use crate::house::House;
use model::derived::Intent;
use oltp::outcome::OutcomeRecord;

const DAY: i64 = 24 * 3_600;

async fn executed(house: &House, no: &str) -> Intent {
    let member = house.member(no).await;
    let intent = house.fire(member).await;
    house.decision(&intent, |decision| decision.decision.status == "executed").await;
    intent
}

async fn outcome(house: &House, intent: &Intent, wanted: impl Fn(&OutcomeRecord) -> bool) -> OutcomeRecord {
    let decision = house.decision(intent, |decision| decision.outcome.as_ref().is_some_and(&wanted)).await;
    decision.outcome.unwrap()
}

#[tokio::test]
async fn the_first_order_in_the_window_is_the_purchase() {
    let house = House::new().await;
    let _run = house.start();
    let intent = executed(&house, "ann").await;
    // Captured out of order: the later order first, and one from before the delivery.
    let early = house.order("ann", -3_600, 100).await;
    let first = house.order("ann", 60, 2_500).await;
    let second = house.order("ann", 120, 9_900).await;
    let second = house.put_order(second).await;
    let written = outcome(&house, &intent, |_| true).await;
    assert_eq!(written.kind, "purchase");
    house.put_order(early).await;
    let first = house.put_order(first).await;
    let written = outcome(&house, &intent, |outcome| outcome.order_id == Some(first.0)).await;
    assert_ne!(first, second);
    assert_eq!((written.value_minor, written.currency.as_deref()), (Some(2_500), Some("EUR")));
}

#[tokio::test]
async fn whoever_buys_nothing_in_time_has_no_purchase() {
    let house = House::new().await;
    let _run = house.start();
    let intent = executed(&house, "ann").await;
    let mut cancelled = house.order("ann", 60, 100).await;
    cancelled.status = Some("cancelled".to_owned());
    house.put_order(cancelled).await;
    let late = house.order("ann", 7 * DAY + 60, 100).await;
    house.put_order(late).await;
    house.read_up("decisions.outcomes", "crm.sales_order").await;
    house.decision(&intent, |decision| decision.outcome.is_none()).await;
    house.move_on(7 * DAY - 60);
    house.decision(&intent, |decision| decision.outcome.is_none()).await;
    house.move_on(120);
    let written = outcome(&house, &intent, |_| true).await;
    assert_eq!((written.kind.as_str(), written.order_id), ("none", None));
}

#[tokio::test]
async fn corrections_correct_the_outcome_also_after_the_window() {
    let house = House::new().await;
    let _run = house.start();
    let intent = executed(&house, "ann").await;
    let mut order = house.order("ann", 60, 100).await;
    house.put_order(order.clone()).await;
    outcome(&house, &intent, |outcome| outcome.kind == "purchase").await;
    order.status = Some("cancelled".to_owned());
    house.put_order(order.clone()).await;
    outcome(&house, &intent, |outcome| outcome.kind == "none").await;
    order.status = Some("paid".to_owned());
    let id = house.put_order(order.clone()).await;
    outcome(&house, &intent, |outcome| outcome.kind == "purchase").await;
    house.give_back(&order, id).await;
    outcome(&house, &intent, |outcome| outcome.kind == "none").await;
    // A till that was offline brings an order of the window when the window is long over.
    house.move_on(30 * DAY);
    let late = house.order("ann", 120 - 30 * DAY, 700).await;
    let late = house.put_order(late).await;
    let written = outcome(&house, &intent, |outcome| outcome.kind == "purchase").await;
    assert_eq!((written.order_id, written.value_minor), (Some(late.0), Some(700)));
}

#[tokio::test]
async fn an_order_that_was_captured_before_the_delivery_was_recorded_counts() {
    let house = House::new().await;
    let ann = house.member("ann").await;
    let order = house.order("ann", 3_600, 300).await;
    {
        // Its record is read and gone before there is an action.
        let _run = house.start();
        house.put_order(order).await;
        house.read_up("decisions.outcomes", "crm.sales_order").await;
    }
    let _run = house.start();
    let intent = house.fire(ann).await;
    let written = outcome(&house, &intent, |_| true).await;
    assert_eq!((written.kind.as_str(), written.value_minor), ("purchase", Some(300)));
}
