//! The raw inbox: kept once, run in order, settled by whoever holds the lease.

use crate::shop::{Shop, context};
use engine_postgres::Version;
use oltp::inbox::{DeliveryFault, DeliveryFilter, LeasedDelivery, NewDelivery, Receipt, RunDelivery, Settled};
use rand::{Rng, SeedableRng};
use serde_json::Map;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(60);

crate::on_both!(
    a_delivery_is_kept_once,
    deliveries_of_one_key_run_in_order,
    one_that_is_tried_again_holds_nobody_up_and_is_woken,
    a_lost_lease_says_nothing,
    what_is_settled_can_be_replayed,
    payloads_go_and_then_receipts,
    many_routers_run_each_delivery_once_and_in_order,
);

async fn deliver(shop: &Shop, id: &str, key: &str) -> Receipt {
    let new = NewDelivery {
        source: "shop",
        account: "main",
        delivery_id: id,
        kind: Some("order"),
        entity_key: key,
        headers: &Map::new(),
        payload: b"{}",
    };
    shop.receive_delivery(&new).await.unwrap()
}

async fn lease(shop: &Shop, limit: u32) -> Vec<LeasedDelivery> {
    shop.lease_deliveries(limit, LEASE).await.unwrap()
}

fn ids(leased: &[LeasedDelivery]) -> Vec<&str> {
    leased.iter().map(|one| one.delivery_id.as_str()).collect()
}

fn fault(code: &str) -> DeliveryFault {
    DeliveryFault { code: code.to_owned(), reason: "r".to_owned(), line: Some(1), pointer: Some("/p".to_owned()) }
}

async fn settle(shop: &Shop, leased: &[LeasedDelivery], as_what: &Settled) {
    let run: Vec<RunDelivery> = leased
        .iter()
        .map(|one| RunDelivery { id: one.id, lease: one.lease, kind: None, lines: 1, settled: as_what.clone() })
        .collect();
    shop.settle_deliveries(&run).await.unwrap();
}

async fn status(shop: &Shop, id: &str) -> String {
    shop.value(&format!("select status from crm.inbox where delivery_id = '{id}'")).await
}

async fn a_delivery_is_kept_once(version: Version) {
    let shop = Shop::empty(version).await;
    let first = deliver(&shop, "d1", "").await;
    assert!(!first.repeated);
    let all: Vec<_> = (0..8)
        .map(|_| {
            let oltp = shop.oltp.clone();
            tokio::spawn(async move {
                let headers = Map::new();
                let new = NewDelivery {
                    source: "shop",
                    account: "main",
                    delivery_id: "d2",
                    kind: None,
                    entity_key: "",
                    headers: &headers,
                    payload: b"other",
                };
                oltp.receive_delivery(&new).await.unwrap()
            })
        })
        .collect();
    let mut receipts = Vec::new();
    for one in all {
        receipts.push(one.await.unwrap());
    }
    assert_eq!(receipts.iter().filter(|receipt| !receipt.repeated).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.id == receipts[0].id), "one receipt for all");
    let again = deliver(&shop, "d1", "x").await;
    assert_eq!(again, Receipt { repeated: true, ..first });
    assert_eq!(shop.value::<i64>("select count(*) from crm.inbox").await, 2);
    shop.check_books().await;
}

async fn deliveries_of_one_key_run_in_order(version: Version) {
    let shop = Shop::empty(version).await;
    for (id, key) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", ""), ("5", "a")] {
        deliver(&shop, id, key).await;
    }
    // Both of one key may go together, in their order; who comes later waits for them.
    let first = lease(&shop, 2).await;
    assert_eq!(ids(&first), ["1", "2"]);
    let others = lease(&shop, 10).await;
    assert_eq!(ids(&others), ["3", "4"], "5 waits for 1 and 2");
    settle(&shop, &first[..1], &Settled::Done).await;
    assert!(lease(&shop, 10).await.is_empty(), "5 waits for 2");
    settle(&shop, &first[1..], &Settled::Dead(fault("x.y"))).await;
    assert_eq!(ids(&lease(&shop, 10).await), ["5"]);
    shop.check_books().await;
}

async fn one_that_is_tried_again_holds_nobody_up_and_is_woken(version: Version) {
    let shop = Shop::empty(version).await;
    deliver(&shop, "return", "order-1").await;
    let early = lease(&shop, 10).await;
    settle(&shop, &early, &Settled::Retry(Duration::from_secs(3_600), fault("oltp.unknown_order"))).await;
    deliver(&shop, "order", "order-1").await;
    let order = lease(&shop, 10).await;
    assert_eq!(ids(&order), ["order"], "it overtakes what waits for it");
    settle(&shop, &order, &Settled::Done).await;
    let again = lease(&shop, 10).await;
    assert_eq!((ids(&again), again[0].attempts), (vec!["return"], 2), "woken long before its time");
    settle(&shop, &again, &Settled::Done).await;
    assert_eq!(status(&shop, "return").await, "done");
    shop.check_books().await;
}

async fn a_lost_lease_says_nothing(version: Version) {
    let shop = Shop::empty(version).await;
    deliver(&shop, "d", "k").await;
    let slow = shop.lease_deliveries(1, Duration::ZERO).await.unwrap();
    let quick = lease(&shop, 1).await;
    assert_eq!((ids(&slow), ids(&quick)), (vec!["d"], vec!["d"]), "the first lease was over at once");
    settle(&shop, &slow, &Settled::Dead(fault("x.late"))).await;
    assert_eq!(status(&shop, "d").await, "received");
    settle(&shop, &quick, &Settled::Done).await;
    assert_eq!(status(&shop, "d").await, "done");
    // What is given back is run again and was not tried.
    deliver(&shop, "e", "").await;
    let back = lease(&shop, 1).await;
    shop.release_deliveries(back[0].lease, Duration::ZERO).await.unwrap();
    assert_eq!(lease(&shop, 1).await[0].attempts, 1);
}

async fn what_is_settled_can_be_replayed(version: Version) {
    let shop = Shop::empty(version).await;
    for id in ["1", "2", "3", "4"] {
        deliver(&shop, id, "").await;
    }
    let leased = lease(&shop, 10).await;
    settle(&shop, &leased[..1], &Settled::Done).await;
    settle(&shop, &leased[1..3], &Settled::Dead(fault("x.y"))).await;
    let replay = async |id, body: Option<&[u8]>, anew| shop.replay_delivery(&context(), id, body, anew).await.unwrap();
    assert_eq!(replay(uuid::Uuid::nil(), None, false).await, None);
    assert!(!replay(leased[3].id, None, false).await.unwrap().replayed, "it is being run");
    let replayed = replay(leased[1].id, Some(b"{\"n\":1}"), false).await.unwrap();
    assert_eq!((replayed.status.as_str(), replayed.replayed), ("dead", true));
    assert!(replay(leased[0].id, None, true).await.unwrap().replayed);
    let again = lease(&shop, 10).await;
    let of = |id: &str| again.iter().find(|one| one.delivery_id == id).unwrap();
    assert_eq!((of("2").payload.as_slice(), of("2").revision, of("2").attempts), (&b"{\"n\":1}"[..], 0, 1));
    assert_eq!((of("1").payload.as_slice(), of("1").revision), (&b"{}"[..], 1));
    settle(&shop, &again, &Settled::Dead(fault("x.y"))).await;
    let filter =
        DeliveryFilter { code: Some("x.y".to_owned()), status: Some("dead".to_owned()), ..DeliveryFilter::default() };
    assert_eq!(shop.replay_deliveries(&context(), &filter, 2, false).await.unwrap(), 2, "no more than asked for");
    assert_eq!(shop.list_deliveries(&filter, None, 10).await.unwrap().items.len(), 1);
    let wrong = DeliveryFilter { status: Some("lost".to_owned()), ..DeliveryFilter::default() };
    assert_eq!(shop.list_deliveries(&wrong, None, 10).await.unwrap_err().code(), "oltp.invalid_filter");
    let told: i64 = shop.value("select count(*) from crm.audit_log where entity = 'inbox' and actor = 'test'").await;
    assert_eq!(told, 4);
    let first = shop.list_deliveries(&DeliveryFilter::default(), None, 3).await.unwrap();
    let rest = shop.list_deliveries(&DeliveryFilter::default(), first.next.as_deref(), 3).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (3, 1, None));
    shop.check_books().await;
}

async fn payloads_go_and_then_receipts(version: Version) {
    let shop = Shop::empty(version).await;
    for id in ["old", "dead", "new"] {
        deliver(&shop, id, "").await;
    }
    let leased = lease(&shop, 10).await;
    settle(&shop, &leased[..1], &Settled::Done).await;
    settle(&shop, &leased[1..2], &Settled::Dead(fault("x.y"))).await;
    assert_eq!(shop.forget_deliveries(30, 180, 10).await.unwrap(), 0);
    let client = shop.client().await.unwrap();
    client
        .execute("update crm.inbox set settled_at = now() - interval '31 days' where settled_at is not null", &[])
        .await
        .unwrap();
    assert_eq!(shop.forget_deliveries(30, 180, 10).await.unwrap(), 1, "what is dead waits for a person");
    assert!(deliver(&shop, "old", "").await.repeated, "its receipt is kept");
    let gone = shop.delivery(leased[0].id).await.unwrap().unwrap();
    assert_eq!((gone.payload, gone.facts["status"].as_str()), (None, Some("done")));
    let replay = shop.replay_delivery(&context(), leased[0].id, None, false).await.unwrap().unwrap();
    assert_eq!(replay.why.as_deref(), Some("payload_gone"));
    assert!(shop.replay_delivery(&context(), leased[0].id, Some(b"{}"), false).await.unwrap().unwrap().replayed);
    client.execute("update crm.inbox set status = 'done', settled_at = now() - interval '181 days', code = null where delivery_id = 'old'", &[]).await.unwrap();
    assert_eq!(shop.forget_deliveries(30, 180, 10).await.unwrap(), 2);
    assert!(!deliver(&shop, "old", "").await.repeated);
}

/// Any number of routers, leases that end too early, faults and replays: nothing is lost, and a key's order is kept.
#[allow(clippy::print_stdout, reason = "a history that fails tells its seed")]
async fn many_routers_run_each_delivery_once_and_in_order(version: Version) {
    const DELIVERIES: usize = 120;
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let shop = Shop::empty(version).await;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    for n in 0..DELIVERIES {
        let key = ["", "a", "b", "c"][rng.random_range(0..4)];
        deliver(&shop, &format!("{n:04} {key}"), key).await;
    }
    let ran: Arc<Mutex<Vec<String>>> = Arc::default();
    let routers: Vec<_> = (0..4_u64)
        .map(|router| {
            let (oltp, ran) = (shop.oltp.clone(), Arc::clone(&ran));
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed ^ router);
            tokio::spawn(async move {
                loop {
                    let leased = oltp.lease_deliveries(rng.random_range(1..6), LEASE).await.unwrap();
                    if leased.is_empty() {
                        let left = oltp.inbox_standing().await.unwrap();
                        if left.received + left.retry == 0 {
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                    if rng.random_ratio(1, 5) {
                        oltp.release_deliveries(leased[0].lease, Duration::ZERO).await.unwrap();
                        continue;
                    }
                    for one in leased {
                        ran.lock().unwrap().push(one.delivery_id.clone());
                        tokio::task::yield_now().await;
                        let settled = if rng.random_ratio(1, 10) { Settled::Dead(fault("x.y")) } else { Settled::Done };
                        let run = RunDelivery { id: one.id, lease: one.lease, kind: None, lines: 1, settled };
                        oltp.settle_deliveries(&[run]).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for router in routers {
        router.await.unwrap();
    }
    let ran = ran.lock().unwrap().clone();
    assert_eq!(ran.len(), DELIVERIES, "each ran once");
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for id in &ran {
        let key = id.split_once(' ').unwrap().1;
        if let Some(before) = last.insert(key, id)
            && !key.is_empty()
        {
            assert!(before < id.as_str(), "{before} ran before {id}");
        }
    }
    shop.check_books().await;
}
