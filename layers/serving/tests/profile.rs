//! Profiles: found by any identity, whole, and the same whatever the order of records.

use crate::house::{House, MEMBER, bus, change, event, features, member, order, record};
use bus::{Bus, MemoryBus};
use model::{Identity, IdentityKind, topic};
use serde_json::json;
use serving::{Asked, Profiles};

fn by(profiles: &Profiles, kind: IdentityKind, token: &str) -> Option<String> {
    profiles.find(&Asked::By(Identity { kind, token: token.to_owned() })).unwrap()
}

fn by_id(profiles: &Profiles, id: &str) -> Option<String> {
    profiles.find(&Asked::Id(id.to_owned())).unwrap()
}

async fn link(bus: &MemoryBus, trace: &str, person: &str, move_no: u64) {
    let link =
        json!({"trace": trace, "person": person, "move_no": move_no, "since": "2024-01-01T00:00:00Z", "cause": null});
    bus.produce(vec![record(topic::IDENTITY, trace, Some(&link))]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_by_every_identity() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let person = format!("m:{MEMBER}");
    let identity = |id: &str, kind: &str, token: &str| {
        let row = json!({"identity_id": id, "member_id": MEMBER, "kind": kind, "token": token, "strength": "strong", "created_at": "2024-01-01T00:00:00Z"});
        change("member_identity", MEMBER, "c", 3, &row)
    };
    let consent = json!({"consent_id": MEMBER, "member_id": MEMBER, "purpose": "marketing", "channel": "email", "status": "granted", "status_at": "2024-01-01T00:00:00Z"});
    let account = json!({"account_id": MEMBER, "kind": "member", "member_id": MEMBER, "balance": 70, "updated_at": "2024-01-01T00:00:00Z"});
    let tags = json!({"person": person, "tags": [{"tag": "vip", "since": "2024-01-01T00:00:00Z"}], "as_of": "2024-01-01T00:00:00Z", "cause": null});
    let intent = json!({"intent_id": MEMBER, "intent": "cart_abandoned", "person": person, "status": "fired", "fired_at": "2024-01-01T00:00:00Z", "detail": {}, "cause": null});
    bus.produce(vec![
        member(1, "active"),
        order(2, Some(MEMBER), 500),
        identity("018f0000-0000-7000-8000-000000000001", "email", "tok"),
        identity("018f0000-0000-7000-8000-000000000002", "external", "4711"),
        change("consent", MEMBER, "c", 4, &consent),
        change("points_account", MEMBER, "c", 5, &account),
        features(&person, 9),
        record(topic::TAGS, &person, Some(&tags)),
        record(topic::INTENTS, MEMBER, Some(&intent)),
        event(1, "a:stranger", "a:stranger"),
        features("a:stranger", 1),
    ])
    .await
    .unwrap();
    link(&bus, "a:v1", &person, 1).await;
    link(&bus, "c:phone:guest", &person, 1).await;
    house.settled().await;
    let profiles = &house.profiles;
    for id in [MEMBER, "M1", &person, "a:v1", "c:phone:guest"] {
        assert_eq!(by_id(profiles, id).as_deref(), Some(person.as_str()), "{id}");
    }
    for (kind, token) in [
        (IdentityKind::Email, "tok"),
        (IdentityKind::External, "4711"),
        (IdentityKind::Anonymous, "v1"),
        (IdentityKind::Phone, "guest"),
    ] {
        assert_eq!(by(profiles, kind, token).as_deref(), Some(person.as_str()), "{kind}");
    }
    assert_eq!(by_id(profiles, "a:stranger").as_deref(), Some("a:stranger"));
    for id in ["M2", "a:nobody", "x:1", "", "018f0000-0000-7000-8000-00000000ffff"] {
        assert_eq!(by_id(profiles, id), None, "{id}");
    }
    let profile = profiles.get(&person).unwrap().unwrap();
    assert_eq!(profile["member"]["attributes"]["shirt"], "L");
    assert_eq!(profile["orders"][0]["net_minor"], 500);
    assert_eq!((&profile["points_balance"], &profile["features"]["views_24h"]), (&json!(70), &json!(9)));
    assert_eq!(
        (&profile["tags"][0]["tag"], &profile["intents"][0]["intent"]),
        (&json!("vip"), &json!("cart_abandoned"))
    );
    assert_eq!(
        (&profile["consents"][0]["status"], profile["traces"].as_array().unwrap().len()),
        (&json!("granted"), 2)
    );
    let all: Vec<String> = profiles.scan(None, 10).unwrap().into_iter().map(|(person, _)| person).collect();
    assert_eq!(all, ["a:stranger", &person]);
    assert_eq!(profiles.scan(Some("a:stranger"), 10).unwrap().len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_and_identities_move() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let other = "018f0000-0000-7000-8000-0000000000cc";
    let identity = |id: &str, member: &str, op: &str, lsn: u64| {
        let row = json!({"identity_id": id, "member_id": member, "kind": "email", "token": "tok", "strength": "strong", "created_at": "2024-01-01T00:00:00Z"});
        change("member_identity", member, op, lsn, &row)
    };
    let (first, second) = ("018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002");
    bus.produce(vec![member(1, "active"), identity(first, MEMBER, "c", 2)]).await.unwrap();
    link(&bus, "a:v1", &format!("m:{MEMBER}"), 1).await;
    link(&bus, "a:v1", &format!("m:{other}"), 2).await;
    house.settled().await;
    // The new owner's row is seen first, the old one's end comes late.
    bus.produce(vec![identity(second, other, "c", 6)]).await.unwrap();
    house.settled().await;
    bus.produce(vec![identity(first, MEMBER, "d", 5)]).await.unwrap();
    house.settled().await;
    let other = format!("m:{other}");
    assert_eq!(by(&house.profiles, IdentityKind::Email, "tok"), Some(other.clone()));
    assert_eq!(by(&house.profiles, IdentityKind::Anonymous, "v1"), Some(other.clone()));
    let old = house.profiles.get(&format!("m:{MEMBER}")).unwrap().unwrap();
    assert_eq!((&old["identities"], &old["traces"]), (&json!([]), &json!([])));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_table_empties_profiles() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    bus.produce(vec![member(1, "active"), order(2, Some(MEMBER), 1), change("sales_order", "", "t", 7, &json!(null))])
        .await
        .unwrap();
    house.settled().await;
    bus.produce(vec![order(6, Some(MEMBER), 1)]).await.unwrap();
    house.settled().await;
    assert_eq!(house.ask("select count(*) from orders").await, "[[0]]");
    let person = format!("m:{MEMBER}");
    assert_eq!(house.profiles.get(&person).unwrap().unwrap()["orders"], json!([]));
    bus.produce(vec![order(8, Some(MEMBER), 1)]).await.unwrap();
    house.settled().await;
    assert_eq!(house.profiles.get(&person).unwrap().unwrap()["orders"].as_array().unwrap().len(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_orders_go_where_the_contact_goes() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let guest = |id: &str, placed_at: &str, net: i64| {
        let row = json!({
            "order_id": id, "source": "web", "order_no": id, "channel": "web", "contact": "email:tok", "status": "paid",
            "placed_at": placed_at, "currency": "USD", "units": "1", "net_minor": net, "total_minor": net,
        });
        change("sales_order", "email:tok", "c", 3, &row)
    };
    let (early, late) = ("018f0000-0000-7000-8000-000000000011", "018f0000-0000-7000-8000-000000000012");
    let guests = vec![guest(early, "2024-01-01T00:00:00Z", 10), guest(late, "2024-01-03T00:00:00Z", 30)];
    let returned = json!({
        "return_id": early, "return_no": "1", "order_id": early, "status": "completed", "currency": "USD", "units": "1", "net_minor": 4,
    });
    bus.produce(guests).await.unwrap();
    bus.produce(vec![
        member(1, "active"),
        order(2, Some(MEMBER), 20),
        change("sales_return", early, "c", 4, &returned),
    ])
    .await
    .unwrap();
    let person = format!("m:{MEMBER}");
    let shown = || {
        let profile = house.profiles.get(&person).unwrap().unwrap();
        let net = |order: &serde_json::Value| order["net_minor"].as_i64().unwrap();
        profile["orders"].as_array().unwrap().iter().map(net).collect::<Vec<_>>()
    };
    let counted = "select orders, gross_net_minor, returned_minor, returns from customer_360";
    house.settled().await;
    assert_eq!((shown(), house.ask(counted).await.as_str()), (vec![20], "[[1,20,0,0]]"));
    link(&bus, "c:email:tok", &person, 1).await;
    house.settled().await;
    assert_eq!((shown(), house.ask(counted).await.as_str()), (vec![30, 20, 10], "[[3,60,4,1]]"));
    // The link was wrong.
    link(&bus, "c:email:tok", "c:email:tok", 2).await;
    house.settled().await;
    assert_eq!((shown(), house.ask(counted).await.as_str()), (vec![20], "[[1,20,0,0]]"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_that_have_expired_are_not_shown() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let consent = |id: &str, channel: &str, expires_at: Option<&str>| {
        let row = json!({
            "consent_id": id, "member_id": MEMBER, "purpose": "marketing", "channel": channel, "status": "granted",
            "expires_at": expires_at,
        });
        change("consent", MEMBER, "c", 3, &row)
    };
    bus.produce(vec![
        member(1, "active"),
        consent("018f0000-0000-7000-8000-000000000021", "email", None),
        consent("018f0000-0000-7000-8000-000000000022", "sms", Some("2020-01-01T00:00:00Z")),
        consent("018f0000-0000-7000-8000-000000000023", "push", Some("2999-01-01T00:00:00Z")),
    ])
    .await
    .unwrap();
    house.settled().await;
    assert_eq!(house.ask("select consents from customer_360").await, r#"[["marketing:email,marketing:push"]]"#);
    house.stop().await;
}
