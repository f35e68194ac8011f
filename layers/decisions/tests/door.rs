//! The HTTP door.

use crate::house::House;
use async_trait::async_trait;
use decisions::standard_webhooks::{ID, SIGNATURE, Secret, TIMESTAMP};
use oltp::command::PutMember;
use runtime::Clock;
use runtime::auth::{Keys, Principal, Role};
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

struct OneKey;

#[async_trait]
impl Keys for OneKey {
    async fn principal(&self, key: &str) -> Result<Option<Principal>, String> {
        Ok((key == "right").then(|| Principal::new(uuid::Uuid::nil(), "test", Role::Reader)))
    }
}

async fn get(url: &str, key: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).bearer_auth(key).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn decisions_are_listed_in_pages_and_shown_whole() {
    let house = House::new().await;
    let _run = house.start();
    for n in 0..5 {
        let silence = |member: &mut PutMember| member.consents.clear();
        let member = match n {
            0 => house.put_member("m0", silence).await,
            _ => house.member(&format!("m{n}")).await,
        };
        let intent = house.fire(member).await;
        house.decision(&intent, |decision| ["executed", "blocked"].contains(&decision.decision.status.as_str())).await;
    }
    let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let base = format!("http://{}/api/v1/decisions", listener.local_addr().unwrap());
    let router = decisions::router(house.oltp.clone(), Arc::new(OneKey));
    tokio::spawn(runtime::http::serve(listener, router, CancellationToken::new()));

    let (mut seen, mut url) = (Vec::new(), format!("{base}?limit=2"));
    loop {
        let (status, page) = get(&url, "right").await;
        assert_eq!(status, 200, "{page}");
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["recommendation_id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        url = format!("{base}?limit=2&cursor={cursor}");
    }
    let wanted: Vec<String> = house.decisions().await.iter().map(|one| one.recommendation_id.to_string()).collect();
    assert_eq!(seen, wanted);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first");

    let (_, blocked) = get(&format!("{base}?status=blocked"), "right").await;
    assert_eq!(blocked["items"].as_array().unwrap().len(), 1);
    let (status, one) = get(&format!("{base}/{}", seen[0]), "right").await;
    assert_eq!((status, one["status"].as_str(), one["verdicts"].as_array().unwrap().len()), (200, Some("executed"), 4));
    assert_eq!(
        (one["action"]["status"].as_str(), one["deliveries"][0]["status_code"].as_i64()),
        (Some("delivered"), Some(200))
    );

    for (path, key, wanted, code) in [
        ("", "wrong", 401, "access.unauthorised"),
        ("?limit=0", "right", 400, "decisions.bad_query"),
        ("?limit=501", "right", 400, "decisions.bad_query"),
        ("?limit=x", "right", 400, "decisions.bad_query"),
        ("?cursor=x", "right", 400, "decisions.bad_query"),
        ("?status=x", "right", 400, "decisions.bad_query"),
        ("?member_id=x", "right", 400, "decisions.bad_query"),
        ("?unknown=x", "right", 400, "decisions.bad_query"),
        ("/x", "right", 404, "decisions.not_found"),
        ("/00000000-0000-0000-0000-000000000000", "right", 404, "decisions.not_found"),
        ("/%FF", "right", 404, "decisions.not_found"),
    ] {
        let (status, problem) = get(&format!("{base}{path}"), key).await;
        assert_eq!((status, problem["code"].as_str()), (wanted, Some(code)), "{path}: {problem}");
    }
}

#[tokio::test]
async fn the_receiver_takes_only_what_is_genuine() {
    let house = House::new().await;
    let url = house.config.webhook_url.clone().unwrap();
    let secret: Secret = crate::house::SECRET.parse().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let now = house.clock.now().as_second();
    let send = |id: &str, at: i64, signature: String, body: &'static str| {
        let request = client.post(&url).header(ID, id).header(TIMESTAMP, at).header(SIGNATURE, signature).body(body);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(send("a", now, secret.sign("a", now, b"{}"), "{}").await, 200);
    assert_eq!(send("a", now, secret.sign("a", now, b"{}"), "{}").await, 200);
    assert_eq!(send("b", now, secret.sign("a", now, b"{}"), "{}").await, 401);
    assert_eq!(send("b", now - 400, secret.sign("b", now - 400, b"{}"), "{}").await, 401);
    assert_eq!(send("b", now, secret.sign("b", now, b"[]"), "[]").await, 400);
    assert_eq!(client.post(&url).body("{}").send().await.unwrap().status(), 401);
    let large = client.post(&url).body(vec![b' '; 300 * 1024]).send().await.unwrap().status();
    assert_eq!(large, 413);
    assert_eq!((house.received.accepted(), house.received.repeated(), house.received.refused()), (1, 1, 4));
}
