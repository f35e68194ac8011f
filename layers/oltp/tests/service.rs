use crate::shop::{Shop, context, identity, member, order, time};
use engine_postgres::Version;
use model::IdentityKind;
use oltp::command::{
    PutAdSpend, PutCampaign, PutShipment, PutSubscription, PutTicket, ShipmentEventValue, ShipmentLineValue,
};
use oltp::{Command, Effect, Entity};
use serde_json::Value;

crate::on_both!(
    campaigns_and_their_cost_are_restated,
    shipments_are_where_their_latest_checkpoint_says,
    tickets_keep_their_history_and_find_their_owner,
    subscriptions_are_put_whole,
);

fn spend(minor: i64, at: &str) -> Command {
    Command::AdSpend(PutAdSpend {
        platform: "meta".to_owned(),
        account: "a".to_owned(),
        level: "campaign".to_owned(),
        level_no: "1".to_owned(),
        day: "2026-01-31".parse().unwrap(),
        currency: "USD".to_owned(),
        spend_minor: minor,
        conversions: "1.5".parse().unwrap(),
        campaign_code: Some("c".to_owned()),
        source_updated_at: Some(time(at)),
        ..PutAdSpend::default()
    })
}

async fn campaigns_and_their_cost_are_restated(version: Version) {
    let shop = Shop::open(version).await;
    assert_eq!(shop.refused(spend(1, "2026-02-01T00:00:00Z")).await.code(), "oltp.unknown_campaign");
    let campaign = PutCampaign {
        campaign_code: "c".to_owned(),
        name: "C".to_owned(),
        channel: "ads".to_owned(),
        starts_at: Some(time("2026-01-01T00:00:00Z")),
        ..PutCampaign::default()
    };
    assert_eq!(shop.done(Command::Campaign(campaign.clone())).await.effect, Effect::Created);
    assert_eq!(shop.done(Command::Campaign(campaign.clone())).await.effect, Effect::Unchanged);
    let backwards = PutCampaign { ends_at: Some(time("2025-01-01T00:00:00Z")), ..campaign };
    assert_eq!(shop.refused(Command::Campaign(backwards)).await.pointer(), Some("/ends_at"));

    let effects = [
        (spend(100, "2026-02-01T00:00:00Z"), Effect::Created),
        (spend(150, "2026-02-03T00:00:00Z"), Effect::Updated),
        (spend(120, "2026-02-02T00:00:00Z"), Effect::Unchanged),
        (spend(150, "2026-02-03T00:00:00Z"), Effect::Unchanged),
        // A newer time alone must hold off what comes late.
        (spend(150, "2026-02-05T00:00:00Z"), Effect::Updated),
        (spend(130, "2026-02-04T00:00:00Z"), Effect::Unchanged),
    ];
    for (command, effect) in effects {
        assert_eq!(shop.done(command).await.effect, effect);
    }
    assert_eq!(shop.value::<i64>("select spend_minor from crm.ad_spend").await, 150);
    assert_eq!(shop.value::<i64>("select count(*) from crm.ad_spend where campaign_id is not null").await, 1);
}

fn shipment(events: &[(&str, &str)]) -> PutShipment {
    let event = |(status, at): &(&str, &str)| ShipmentEventValue {
        status: (*status).to_owned(),
        at: time(at),
        message: None,
        location: None,
    };
    PutShipment {
        source: "wms".to_owned(),
        shipment_no: "S".to_owned(),
        order_source: "till".to_owned(),
        order_no: "1".to_owned(),
        events: events.iter().map(event).collect(),
        ..PutShipment::default()
    }
}

async fn shipments_are_where_their_latest_checkpoint_says(version: Version) {
    let shop = Shop::open(version).await;
    let late = ("delivered", "2026-03-05T12:00:00Z");
    let early = ("in_transit", "2026-03-04T12:00:00Z");
    assert_eq!(shop.refused(Command::Shipment(shipment(&[]))).await.code(), "oltp.unknown_order");
    shop.put(order("1")).await;
    let status = async || shop.get(Entity::SHIPMENT, "wms:S", false).await.unwrap().unwrap();
    assert_eq!(shop.done(Command::Shipment(shipment(&[late, late]))).await.effect, Effect::Created);
    let with_lines = PutShipment {
        lines: vec![ShipmentLineValue { line_no: 1, quantity: "1.5".parse().unwrap() }],
        ..shipment(&[early, late])
    };
    assert_eq!(shop.done(Command::Shipment(with_lines.clone())).await.effect, Effect::Updated);
    assert_eq!(shop.done(Command::Shipment(with_lines)).await.effect, Effect::Unchanged);
    let stored = status().await;
    assert_eq!(stored["status"], "delivered", "what came late is no news");
    assert_eq!(stored["events"].as_array().unwrap().len(), 2);
    assert_eq!(stored["lines"][0]["quantity"], "1.5");
    let owner: bool = shop
        .value(
            "select bool_and(s.member_id = m.member_id) from crm.shipment_event s, crm.member m where member_no = 'm1'",
        )
        .await;
    assert!(owner);
    assert!(shop.refused(Command::Shipment(shipment(&[("lost", "2026-03-05T12:00:00Z")]))).await.pointer().is_some());
}

fn ticket(status: &str, at: &str) -> PutTicket {
    PutTicket {
        source: "desk".to_owned(),
        ticket_no: "7".to_owned(),
        requester: Some(identity(IdentityKind::Email, "Ann@Example.com")),
        ticket_type: Some("complaint".to_owned()),
        status: Some(status.to_owned()),
        opened_at: time("2026-03-01T00:00:00Z"),
        source_updated_at: Some(time(at)),
        ..PutTicket::default()
    }
}

async fn tickets_keep_their_history_and_find_their_owner(version: Version) {
    let shop = Shop::open(version).await;
    for (status, at, effect) in [
        ("open", "2026-03-01T01:00:00Z", Effect::Created),
        ("solved", "2026-03-03T00:00:00Z", Effect::Updated),
        ("pending", "2026-03-02T00:00:00Z", Effect::Unchanged),
        ("open", "2026-03-04T00:00:00Z", Effect::Updated),
    ] {
        assert_eq!(shop.done(Command::Ticket(ticket(status, at))).await.effect, effect, "{at}");
    }
    let stored = shop.get(Entity::TICKET, "7", false).await.unwrap().unwrap();
    let history: Vec<&Value> = stored["events"].as_array().unwrap().iter().filter(|e| e["field"] == "status").collect();
    let told: Vec<_> = history.iter().map(|e| e["after"].as_str().unwrap()).collect();
    assert_eq!(told, ["open", "solved", "open"]);
    let m1 = shop.get(Entity::MEMBER, "m1", false).await.unwrap().unwrap();
    assert_eq!(stored["member_id"], m1["member_id"]);
    assert!(!stored.to_string().to_lowercase().contains("ann@"), "the address is not kept");

    let stranger = PutTicket {
        ticket_no: "8".to_owned(),
        requester: Some(identity(IdentityKind::Email, "eve@example.com")),
        ..ticket("new", "2026-03-01T01:00:00Z")
    };
    shop.done(Command::Ticket(stranger.clone())).await;
    let stored = shop.get(Entity::TICKET, "8", false).await.unwrap().unwrap();
    assert!(stored["member_id"].is_null() && stored["contact"].as_str().unwrap().starts_with("email:"));
    let mut eve = member("eve");
    eve.identities = vec![identity(IdentityKind::Email, "eve@example.com").into()];
    shop.done(Command::Member(eve)).await;
    assert_eq!(shop.done(Command::Ticket(stranger)).await.effect, Effect::Updated);
    let stored = shop.get(Entity::TICKET, "8", false).await.unwrap().unwrap();
    assert!(stored["contact"].is_null() && !stored["member_id"].is_null());
}

async fn subscriptions_are_put_whole(version: Version) {
    let shop = Shop::open(version).await;
    let running = PutSubscription {
        source: "shop".to_owned(),
        subscription_no: "1".to_owned(),
        member_no: "m1".to_owned(),
        sku_code: "a".to_owned(),
        quantity: "2".parse().unwrap(),
        status: "active".to_owned(),
        interval_unit: "month".to_owned(),
        interval_count: 1,
        price_minor: 1000,
        currency: "USD".to_owned(),
        started_at: time("2026-01-01T00:00:00Z"),
        next_order_at: Some(time("2026-02-01T00:00:00Z")),
        cancelled_at: None,
        source_updated_at: None,
    };
    assert_eq!(shop.done(Command::Subscription(running.clone())).await.effect, Effect::Created);
    assert_eq!(shop.done(Command::Subscription(running.clone())).await.effect, Effect::Unchanged);
    let ended = PutSubscription {
        status: "cancelled".to_owned(),
        cancelled_at: Some(time("2026-01-15T00:00:00Z")),
        next_order_at: None,
        ..running.clone()
    };
    assert_eq!(shop.done(Command::Subscription(ended.clone())).await.effect, Effect::Updated);
    let stored = shop.get(Entity::SUBSCRIPTION, "shop:1", false).await.unwrap().unwrap();
    assert!(stored["next_order_at"].is_null() && stored["quantity"] == "2" && stored["row_version"] == 2);
    let half = PutSubscription { cancelled_at: None, ..ended };
    assert_eq!(shop.refused(Command::Subscription(half)).await.pointer(), Some("/cancelled_at"));
    let nobody = PutSubscription { member_no: "nobody".to_owned(), ..running.clone() };
    assert_eq!(shop.refused(Command::Subscription(nobody)).await.code(), "oltp.unknown_member");
    let nothing = PutSubscription { sku_code: "nothing".to_owned(), ..running.clone() };
    assert_eq!(shop.refused(Command::Subscription(nothing)).await.code(), "oltp.unknown_sku");

    // Two at the same moment: one makes it, the other finds it.
    let made = |_| {
        let (oltp, command) =
            (shop.oltp.clone(), PutSubscription { subscription_no: "2".to_owned(), ..running.clone() });
        tokio::spawn(async move { oltp.run(&context(), &Command::Subscription(command)).await.unwrap().0.effect })
    };
    let tasks: Vec<_> = (0..8).map(made).collect();
    let mut created = 0;
    for task in tasks {
        created += i32::from(task.await.unwrap() == Effect::Created);
    }
    assert_eq!(created, 1);
}
