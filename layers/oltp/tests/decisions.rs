use crate::shop::{Shop, giving_back, member, order, time};
use engine_postgres::Version;
use model::ids::{ActionId, MemberId, OrderId, PersonId, RecommendationId};
use oltp::command::{ConsentValue, PutOrder, PutReturn};
use oltp::decision::{Approval, Attempt, Cap, NewAction, NewRecommendation, Next, Verdict};
use oltp::{Command, OltpError};
use serde_json::json;
use uuid::Uuid;

const NOW: &str = "2026-03-02T10:00:00Z";

fn verdict(guardrail: &str, allow: bool) -> Verdict {
    Verdict { guardrail: guardrail.to_owned(), allow, reason: "because".to_owned() }
}

fn proposal(member: MemberId) -> NewRecommendation {
    let id = RecommendationId::new();
    NewRecommendation {
        id,
        intent_id: Uuid::now_v7(),
        playbook: "win_back".to_owned(),
        playbook_version: 1,
        person: PersonId::member(member),
        member: Some(member),
        channel: "email".to_owned(),
        payload: json!({ "offer": 10, "outcome": { "window_s": 86_400 } }),
        verdicts: vec![verdict("consent", true)],
        action: Some(NewAction { id: ActionId::new(), payload: json!({ "offer": 10 }), due_at: time(NOW) }),
        at: time(NOW),
        cap: Some(Cap { count: 1, since: time("2026-03-01T10:00:00Z") }),
    }
}

async fn ann(shop: &Shop) -> MemberId {
    MemberId(shop.value("select member_id from crm.member where member_no = 'm1'").await)
}

crate::on_both!(
    guardrails_see_the_member_as_it_stands,
    a_recommendation_is_recorded_once,
    proposals_at_the_same_moment_cannot_pass_the_cap_together,
    an_action_is_leased_tried_and_measured,
    what_proved_wrong_is_not_sent,
    the_first_word_on_a_recommendation_stands,
);

async fn guardrails_see_the_member_as_it_stands(version: Version) {
    let shop = Shop::open(version).await;
    let ann = ann(&shop).await;
    let since = time("2026-03-01T10:00:00Z");
    let mut put = member("m1");
    put.timezone = Some("Europe/Berlin".to_owned());
    put.consents = vec![ConsentValue {
        purpose: "marketing".to_owned(),
        channel: "email".to_owned(),
        status: "granted".to_owned(),
        status_at: Some(time("2026-01-01T00:00:00Z")),
        expires_at: None,
        source: None,
        ..ConsentValue::default()
    }];
    shop.done(Command::Member(put)).await;
    shop.record_recommendation(&proposal(ann)).await.unwrap();
    let facts = shop.guardrail_facts(ann, "marketing", "email", since).await.unwrap();
    assert_eq!(
        (facts.status.as_deref(), facts.timezone.as_deref(), facts.actions_since),
        (Some("active"), Some("Europe/Berlin"), 1)
    );
    assert_eq!(facts.consent.unwrap().status, "granted");
    let facts = shop.guardrail_facts(ann, "marketing", "sms", since).await.unwrap();
    assert_eq!(facts.consent, None);
    let facts = shop.guardrail_facts(MemberId::new(), "marketing", "sms", since).await.unwrap();
    assert_eq!((facts.status, facts.actions_since), (None, 0));
}

async fn a_recommendation_is_recorded_once(version: Version) {
    let shop = Shop::open(version).await;
    let first = proposal(ann(&shop).await);
    let recorded = shop.record_recommendation(&first).await.unwrap();
    assert_eq!(
        (recorded.status.as_str(), recorded.action, recorded.repeated),
        ("executing", first.action.clone().map(|a| a.id), false)
    );
    let mut again = first.clone();
    again.id = RecommendationId::new();
    let repeat = shop.record_recommendation(&again).await.unwrap();
    assert_eq!((repeat.id, repeat.action, repeat.repeated), (first.id, recorded.action, true));
    let mut denied = proposal(ann(&shop).await);
    denied.verdicts = vec![verdict("consent", false), verdict("quiet_hours", true)];
    denied.cap = None;
    let blocked = shop.record_recommendation(&denied).await.unwrap();
    assert_eq!(
        (blocked.status.as_str(), blocked.action, blocked.blocked_by.as_deref()),
        ("blocked", None, Some("consent"))
    );
    assert_eq!(shop.value::<i64>("select count(*) from crm.guardrail_verdict").await, 3);
    assert_eq!(shop.value::<i64>("select count(*) from crm.audit_log where actor = 'decisions'").await, 2);
}

async fn proposals_at_the_same_moment_cannot_pass_the_cap_together(version: Version) {
    let shop = Shop::open(version).await;
    let ann = ann(&shop).await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (shop, new) = (shop.oltp.clone(), proposal(ann));
            tokio::spawn(async move { shop.record_recommendation(&new).await.unwrap() })
        })
        .collect();
    let mut passed = 0;
    for attempt in tries {
        let recorded = attempt.await.unwrap();
        if recorded.action.is_some() {
            passed += 1;
        } else {
            assert_eq!((recorded.status.as_str(), recorded.blocked_by.as_deref()), ("blocked", Some("frequency_cap")));
        }
    }
    assert_eq!((passed, shop.value::<i64>("select count(*) from crm.action").await), (1, 1));
}

async fn an_action_is_leased_tried_and_measured(version: Version) {
    let shop = Shop::open(version).await;
    let ann = ann(&shop).await;
    let new = proposal(ann);
    let id = shop.record_recommendation(&new).await.unwrap().action.unwrap();
    let (now, until) = (time(NOW), time("2026-03-02T10:01:00Z"));
    let due = shop.due_actions(now, until, 10).await.unwrap();
    assert_eq!((due.len(), due[0].action_id, due[0].attempt, &due[0].payload), (1, id, 1, &json!({ "offer": 10 })));
    assert!(shop.due_actions(now, until, 10).await.unwrap().is_empty(), "leased");
    let retry = Attempt {
        status_code: Some(503),
        error: Some("busy".to_owned()),
        next: Next::RetryAt(time("2026-03-02T10:05:00Z")),
        at: now,
    };
    assert!(shop.record_delivery(id, 1, &retry).await.unwrap());
    assert!(!shop.record_delivery(id, 1, &retry).await.unwrap());
    assert!(shop.due_actions(until, until, 10).await.unwrap().is_empty());
    let later = time("2026-03-02T10:06:00Z");
    assert_eq!(shop.due_actions(later, later, 10).await.unwrap()[0].attempt, 2);
    let delivered = Attempt { status_code: Some(200), error: None, next: Next::Delivered, at: later };
    assert!(shop.record_delivery(id, 2, &delivered).await.unwrap());
    assert_eq!(shop.value::<String>("select status from crm.recommendation").await, "executed");
    bought(&shop, id, later).await;
    let nobody = shop.record_delivery(ActionId::new(), 1, &delivered).await;
    assert!(matches!(nobody, Err(OltpError::NotFound(_))));
}

/// The outcome follows the orders, whatever they become.
async fn bought(shop: &Shop, action: ActionId, delivered: model::Timestamp) {
    let end = time("2026-03-03T11:00:00Z");
    assert_eq!(shop.settle_outcomes(&[action], delivered).await.unwrap(), 0, "the window is open");
    let mut put = order("1");
    put.placed_at = time("2026-03-02T10:30:00Z");
    let id = OrderId(shop.put(put.clone()).await.id);
    assert_eq!(shop.actions_of_orders(&[id]).await.unwrap(), [action]);
    assert_eq!(shop.settle_outcomes(&[action], delivered).await.unwrap(), 1);
    assert_eq!(shop.settle_outcomes(&[action], delivered).await.unwrap(), 0);
    assert_eq!(shop.value::<i64>("select value_minor from crm.outcome where kind = 'purchase'").await, 2550);
    for status in ["cancelled", "fulfilled", "pending"] {
        put.status = Some(status.to_owned());
        shop.put(put.clone()).await;
        assert_eq!(shop.settle_outcomes(&[action], end).await.unwrap(), 1, "{status}");
        let kind = if status == "fulfilled" { "purchase" } else { "none" };
        assert_eq!(shop.value::<String>("select kind from crm.outcome").await, kind, "{status}");
    }
    assert!(shop.outcomes_due(end, 10).await.unwrap().is_empty());
    brought_back(shop, action, put).await;
    let audited: String = shop
        .value("select string_agg(reason, ' ' order by audit_id) from crm.audit_log where entity = 'outcome' and actor = 'decisions'")
        .await;
    assert_eq!(audited, "purchase none purchase none purchase purchase purchase none purchase");
}

/// What comes back takes its part of the outcome with it; when all has come back, the next order is the purchase.
async fn brought_back(shop: &Shop, action: ActionId, mut put: PutOrder) {
    let end = time("2026-03-03T11:00:00Z");
    let settled = async || {
        shop.settle_outcomes(&[action], end).await.unwrap();
        shop.value::<String>("select concat_ws(' ', kind, value_minor, currency) from crm.outcome").await
    };
    put.status = Some("paid".to_owned());
    shop.put(put.clone()).await;
    assert_eq!(settled().await, "purchase 2550 USD");
    let back = |status: &str, lines: &[(i32, &str)]| {
        let status = Some(status.to_owned());
        Command::Return(PutReturn { status, ..giving_back("r1", "1", lines) })
    };
    let id = shop.done(back("completed", &[(1, "1")])).await.id;
    let order: Uuid = shop.value("select order_id from crm.sales_return").await;
    assert_ne!(id, order);
    assert_eq!(shop.actions_of_orders(&[OrderId(order)]).await.unwrap(), [action]);
    assert_eq!(settled().await, "purchase 1550 USD");
    shop.done(back("requested", &[(1, "2"), (2, "1")])).await;
    assert_eq!(settled().await, "purchase 2550 USD");
    shop.done(back("completed", &[(1, "2"), (2, "1")])).await;
    assert_eq!(settled().await, "none");
    put.order_no = "2".to_owned();
    put.placed_at = time("2026-03-02T11:30:00Z");
    shop.put(put).await;
    assert_eq!(settled().await, "purchase 2550 USD");
}

async fn what_proved_wrong_is_not_sent(version: Version) {
    let shop = Shop::open(version).await;
    let new = proposal(ann(&shop).await);
    shop.record_recommendation(&new).await.unwrap();
    assert_eq!(shop.retract_recommendations(new.intent_id, time(NOW)).await.unwrap(), 1);
    assert_eq!(shop.retract_recommendations(new.intent_id, time(NOW)).await.unwrap(), 0);
    assert!(shop.due_actions(time(NOW), time(NOW), 10).await.unwrap().is_empty());
    assert_eq!(shop.value::<String>("select status from crm.recommendation").await, "retracted");
}

async fn the_first_word_on_a_recommendation_stands(version: Version) {
    let shop = Shop::open(version).await;
    let new = proposal(ann(&shop).await);
    let say = async |id, verdict| shop.record_approval(id, verdict, "key-1", Some("fine"), time(NOW)).await;
    assert_eq!(say(new.id, Approval::Approved).await.unwrap_err().code(), "oltp.not_found");
    shop.record_recommendation(&new).await.unwrap();
    assert_eq!(say(new.id, Approval::Rejected).await.unwrap(), Approval::Rejected);
    assert_eq!(say(new.id, Approval::Approved).await.unwrap(), Approval::Rejected);
    let audited: i64 = shop.value("select count(*) from crm.audit_log where action = 'rejected'").await;
    assert_eq!(audited, 1);
    let owned: bool = shop.value("select member_id is not null from crm.approval").await;
    assert!(owned);
}
