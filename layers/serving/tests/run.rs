//! The loops: everything once, through restarts, in any order.

use crate::house::{House, MEMBER, ORDER, bus, change, event, features, member, order, processed, record, until};
use bus::Bus;
use model::{Position, topic};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn records_become_rows_and_profiles_once_through_restarts() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    for round in 0..3 {
        let house = House::start(bus.clone(), folder.path()).await;
        let events = (0..50).map(|number| event(round * 50 + number, &format!("a:{}", number % 5), "a:v"));
        bus.produce(events.collect()).await.unwrap();
        bus.produce(vec![member(1 + round as u64 * 10, "active"), features("a:1", u32::try_from(round).unwrap())])
            .await
            .unwrap();
        house.settled().await;
        let counted = "select count(*), count(distinct message_id) from events";
        assert_eq!(house.ask(counted).await, format!("[[{0},{0}]]", (round + 1) * 50));
        assert_eq!(house.ask("select count(*) from members").await, "[[1]]");
        let profile = house.profiles.get("a:1").unwrap().unwrap();
        assert_eq!(profile["features"]["views_24h"], round);
        let samples = || {
            let fresh = house.freshness.summary();
            (fresh.sql.samples, fresh.profile.samples)
        };
        until("every signal is sampled once", || samples() == (51, 1)).await;
        let asked = runtime::Clock::now(&runtime::SystemClock);
        processed(&bus).await;
        let as_of = || house.analytics_progress.as_of();
        until("all of now is in", || as_of().complete_to > Some(asked) && as_of().lag_records == 0).await;
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changes_its_owner_ends_as_the_store_has_it_in_any_order() {
    let number = order(2, None, 100);
    let owned = order(5, Some(MEMBER), 250);
    let gone = change("sales_order", ORDER, "d", 9, &json!({"order_id": ORDER}));
    for (records, rows, shown) in [
        (vec![number.clone(), owned.clone()], "[[250,5]]", 1),
        (vec![owned.clone(), number.clone()], "[[250,5]]", 1),
        (vec![gone.clone(), owned.clone(), number.clone()], "[]", 0),
        (vec![owned, gone, number], "[]", 0),
    ] {
        let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
        let house = House::start(bus.clone(), folder.path()).await;
        bus.produce(vec![member(1, "active")]).await.unwrap();
        for record in records {
            bus.produce(vec![record]).await.unwrap();
            house.settled().await;
        }
        assert_eq!(house.ask("select net_minor, _lsn from orders").await, rows);
        let profile = house.profiles.get(&format!("m:{MEMBER}")).unwrap().unwrap();
        assert_eq!(profile["orders"].as_array().unwrap().len(), shown);
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fits_nothing_stops_nobody() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    bus.produce(vec![record("crm.member", "x", Some(&json!("nonsense"))), member(1, "active")]).await.unwrap();
    house.settled().await;
    assert_eq!(house.ask("select member_no from members").await, r#"[["M1"]]"#);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn far_behind_it_catches_up_in_batches() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    for chunk in 0..30 {
        let events = (0..1000).map(|number| event(chunk * 1000 + number, &format!("a:{number}"), "a:v"));
        bus.produce(events.collect()).await.unwrap();
    }
    let house = House::start(bus.clone(), folder.path()).await;
    house.settled().await;
    assert_eq!(house.ask("select count(*), count(distinct message_id) from events").await, "[[30000,30000]]");
    until("nothing waits", || house.analytics_progress.as_of().lag_records == 0).await;
    assert_eq!(house.ask("select count(distinct person), count(distinct source) from events").await, "[[1000,1]]");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_deployment_is_refused() {
    let (first, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(first.clone(), folder.path()).await;
    first.produce(vec![member(1, "active")]).await.unwrap();
    house.settled().await;
    house.stop().await;
    // A new bus, the old stores.
    let mut house = House::start(bus().await, folder.path()).await;
    for ended in house.ended().await {
        assert!(matches!(ended, Err(serving::ServingError::Foreign { .. })), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_an_answer_is_that_of_the_last_write() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    for lsn in [50, 60] {
        let captured = record(topic::CAPTURE_PROGRESS, "", Some(&json!({"lsn": lsn, "ts_us": 1})));
        bus.produce(vec![member(lsn, "active"), captured]).await.unwrap();
        let position = Position::Wal(lsn).to_string();
        for progress in [&house.analytics_progress, &house.profiles_progress] {
            until("the write is told", || progress.as_of().position.as_ref() == Some(&position)).await;
        }
        assert_eq!(house.ask("select max(_lsn) from members").await, format!("[[{lsn}]]"));
    }
    house.stop().await;
}
