//! The HTTP door.

use crate::house::{House, MEMBER, bus, change, member, processed, record, until};
use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use bus::Bus;
use model::{IdentityKind, Position, Tokeniser, topic};
use runtime::auth::{Keys, Principal, Role};
use serde_json::{Value as Json, json};
use serving::{Config, Serving, router};
use std::sync::Arc;
use tower::ServiceExt;

struct OneKey;

#[async_trait]
impl Keys for OneKey {
    async fn principal(&self, key: &str) -> Result<Option<Principal>, String> {
        Ok((key == "k").then(|| Principal::new(uuid::Uuid::nil(), "test", Role::Reader)))
    }
}

fn door(house: &House) -> axum::Router {
    let serving = Serving {
        config: Config { sql_bytes_max: 2_000, ..Config::default() },
        bus: house.bus.clone(),
        analytics: house.analytics.clone(),
        analytics_progress: house.analytics_progress.clone(),
        profiles: house.profiles.clone(),
        profiles_progress: house.profiles_progress.clone(),
        freshness: house.freshness.clone(),
        tokeniser: Tokeniser::new(b"secret"),
        meter: runtime::Telemetry::default().meter(model::Layer::Serving),
    };
    router(serving, Arc::new(OneKey))
}

async fn send(door: &axum::Router, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, String, String) {
    let request = Request::builder().method(method).uri(path).header("authorization", "Bearer k");
    let request = request.header("content-type", "application/json").body(body.into()).unwrap();
    let response = door.clone().oneshot(request).await.unwrap();
    let as_of = response.headers().get("storewide-as-of").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), as_of.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_their_as_of() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let token = Tokeniser::new(b"secret").identify(IdentityKind::Email, "ann@example.com").unwrap().token;
    let row = json!({"identity_id": MEMBER, "member_id": MEMBER, "kind": "email", "token": token, "strength": "strong", "created_at": "2024-01-01T00:00:00Z"});
    bus.produce(vec![member(1, "active"), change("member_identity", MEMBER, "c", 2, &row)]).await.unwrap();
    bus.produce(vec![record(topic::CAPTURE_PROGRESS, "", Some(&json!({"lsn": 2, "ts_us": 1})))]).await.unwrap();
    house.settled().await;
    let asked = runtime::Clock::now(&runtime::SystemClock);
    processed(&bus).await;
    for progress in [&house.analytics_progress, &house.profiles_progress] {
        let as_of = || progress.as_of();
        until("all is in", || as_of().position.is_some() && as_of().complete_to > Some(asked)).await;
    }
    let door = door(&house);
    let complete = |as_of: &str| {
        let as_of: serving::AsOf = serde_json::from_str(as_of).unwrap();
        as_of.position == Some(Position::Wal(2).to_string()) && as_of.complete_to > Some(asked)
    };
    for path in [
        format!("/api/v1/customers/{MEMBER}"),
        "/api/v1/customers/M1".to_owned(),
        format!("/api/v1/customers/m:{MEMBER}"),
    ] {
        let (status, body, as_of) = send(&door, "GET", &path, "").await;
        assert_eq!(status, StatusCode::OK, "{path} {body}");
        assert!(complete(&as_of), "{as_of}");
        let profile: Json = serde_json::from_str(&body).unwrap();
        assert_eq!(profile["as_of"], serde_json::from_str::<Json>(&as_of).unwrap());
    }
    let (status, _, as_of) = send(&door, "GET", "/api/v1/customers/nobody", "").await;
    assert!(status == StatusCode::NOT_FOUND && complete(&as_of), "{status} {as_of}");
    let (status, body, _) = send(&door, "GET", "/api/v1/customers/ann%40example.com?by=email", "").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let ask = json!({"kind": "email", "value": " Ann@Example.com "}).to_string();
    let (status, body, _) = send(&door, "POST", "/api/v1/customers/lookup", ask).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("\"member_no\":\"M1\"") && !body.to_lowercase().contains("example"), "{body}");
    let (status, body, as_of) =
        send(&door, "POST", "/api/v1/sql", json!({"sql": "select member_no from members"}).to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&answer["rows"], &answer["columns"][0]["type"], &answer["truncated"]),
        (&json!([["M1"]]), &json!("varchar"), &json!(false))
    );
    assert_eq!(serde_json::from_str::<Json>(&as_of).unwrap(), answer["as_of"]);
    let csv = json!({"sql": "select member_no, tier_code from members", "format": "csv"}).to_string();
    assert_eq!(send(&door, "POST", "/api/v1/sql", csv).await.1, "member_no,tier_code\r\nM1,gold\r\n");
    for (limit, truncated) in [(2, "true"), (3, "false")] {
        let csv = json!({"sql": "from range(3)", "format": "csv", "limit": limit}).to_string();
        let request = Request::builder().method("POST").uri("/api/v1/sql").header("authorization", "Bearer k");
        let response = door.clone().oneshot(request.body(Body::from(csv)).unwrap()).await.unwrap();
        assert_eq!(response.headers().get("storewide-truncated").unwrap(), truncated);
    }
    let (status, body, _) = send(&door, "GET", "/api/v1/asof", "").await;
    assert!(status == StatusCode::OK && body.contains("freshness_ms"), "{body}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_get_clear_problems() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let door = door(&house);
    let long = "x".repeat(600);
    let cases: Vec<(&str, String, String, u16, &str)> = vec![
        ("GET", "/api/v1/customers/nobody".into(), String::new(), 404, "serving.unknown_person"),
        ("GET", format!("/api/v1/customers/{long}"), String::new(), 400, "serving.bad_request"),
        ("GET", "/api/v1/customers/x?by=shoe".into(), String::new(), 400, "serving.bad_request"),
        ("GET", "/api/v1/customers/x?by=email".into(), String::new(), 400, "serving.bad_request"),
        ("GET", "/api/v1/customers/x?colour=red".into(), String::new(), 400, "serving.bad_request"),
        ("GET", "/api/v1/customers/x?at_least=zzz".into(), String::new(), 400, "serving.bad_request"),
        (
            "GET",
            "/api/v1/customers/x?at_least=w-00000000000000ff&wait_ms=20".into(),
            String::new(),
            504,
            "serving.not_yet",
        ),
        ("POST", "/api/v1/customers/lookup".into(), "{".into(), 400, "serving.bad_request"),
        ("POST", "/api/v1/customers/lookup".into(), r#"{"kind":"email"}"#.into(), 400, "serving.bad_request"),
        ("POST", "/api/v1/sql".into(), String::new(), 400, "serving.bad_request"),
        ("POST", "/api/v1/sql".into(), r#"{"sql":"select 1","extra":1}"#.into(), 400, "serving.bad_request"),
        ("POST", "/api/v1/sql".into(), json!({"sql": "selec"}).to_string(), 422, "serving.query_failed"),
        ("POST", "/api/v1/sql".into(), json!({"sql": "from checkpoint()"}).to_string(), 403, "serving.not_served"),
        ("POST", "/api/v1/sql".into(), json!({"sql": "drop table members"}).to_string(), 403, "serving.read_only"),
        ("POST", "/api/v1/sql".into(), json!({"sql": "x".repeat(3_000)}).to_string(), 422, "serving.query_failed"),
        ("POST", "/api/v1/sql".into(), "[".repeat(100_000), 413, "http.body_too_large"),
        (
            "POST",
            "/api/v1/sql".into(),
            json!({"sql": "select count(*) from range(1000000000) a, range(1000000000) b", "timeout_ms": 50})
                .to_string(),
            422,
            "serving.query_timeout",
        ),
    ];
    for (method, path, body, status, code) in cases {
        let (found, text, _) = send(&door, method, &path, body).await;
        assert_eq!(found.as_u16(), status, "{path} {text}");
        let problem: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["code"], code, "{path}");
    }
    let bare = Request::builder().uri("/api/v1/asof").body(Body::empty()).unwrap();
    assert_eq!(door.clone().oneshot(bare).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    house.stop().await;
}
