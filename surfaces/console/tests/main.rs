//! The pages over a real socket.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use console::{About, DecisionLine, Facts, Freshness, Quantiles};
use model::Layer;
use reqwest::header::{HOST, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, redirect};
use runtime::auth::{Keys, Principal, Role};
use runtime::{LagUnit, LayerStatus};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

struct House {
    asked: AtomicUsize,
    broken: bool,
}

#[async_trait]
impl Facts for House {
    fn about(&self) -> About {
        About { version: "0.1.0".to_owned(), started_at: "2026-01-01T00:00:00Z".parse().unwrap() }
    }

    fn layers(&self) -> Vec<LayerStatus> {
        let status = |layer, rate| LayerStatus {
            layer,
            records: 1_469_307,
            rate,
            lag: 12,
            lag_unit: LagUnit::Records,
            position: "behaviour.events/3 @ 99<script>".to_owned(),
            errors: 1,
            last_error: Some("\"><script>alert(1)</script>".repeat(20)),
        };
        vec![status(Layer::Access, 120.5), status(Layer::Bus, 0.0)]
    }

    async fn decisions(&self, limit: usize) -> Result<Vec<DecisionLine>, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.broken {
            return Err("the store is away".to_owned());
        }
        let line = |person: &str| DecisionLine {
            person: person.to_owned(),
            intent: "cart_abandoned".to_owned(),
            playbook: "cart_reminder".to_owned(),
            channel: "webhook".to_owned(),
            status: "blocked".to_owned(),
            blocked_by: Some("consent".to_owned()),
            outcome: None,
            at: "2026-01-01T10:20:30Z".parse().unwrap(),
        };
        let mut lines = vec![
            line("m:0198f3a2-7c1e-7d3a-9b1c-2f6f5f1e88aa"),
            line("u:ann@example.com"),
            line("m:ann@example.com"),
            line("ann@example.com"),
        ];
        lines.extend(std::iter::repeat_n(line("a:visitor-1"), limit * 2));
        Ok(lines)
    }

    async fn freshness(&self) -> Option<Freshness> {
        Some(Freshness { profile: Some(Quantiles { p50_ms: 8.4, p99_ms: 31.0 }), sql: None, as_of: None })
    }

    fn openapi(&self) -> Value {
        json!({"info": {"title": "T", "version": "1"}, "paths": {"/api/v1/orders": {"post": {"tags": ["orders"], "operationId": "put_order",
            "summary": "<b>bold</b>", "description": "Send `x`.", "responses": {"201": {"description": "made"}}}}},
            "components": {"schemas": {"PutOrder": {"type": "object", "required": ["a"], "properties": {"a": {"type": ["string", "null"]}}}}}})
    }
}

struct OneKey;

#[async_trait]
impl Keys for OneKey {
    async fn principal(&self, key: &str) -> Result<Option<Principal>, String> {
        let reader = || Principal::new(uuid::Uuid::nil(), "test", Role::Reader);
        match key {
            "away" => Err("the store is away".to_owned()),
            key => Ok((key == "right").then(reader)),
        }
    }
}

async fn serve(broken: bool) -> (String, Arc<House>, CancellationToken) {
    serve_to(true, broken).await
}

async fn serve_to(open: bool, broken: bool) -> (String, Arc<House>, CancellationToken) {
    let house = Arc::new(House { asked: AtomicUsize::new(0), broken });
    let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let router = console::router(Arc::clone(&house) as Arc<dyn Facts>, Arc::new(OneKey), open);
    tokio::spawn(runtime::http::serve(listener, router, stop.clone()));
    (base, house, stop)
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

async fn text(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_first_page_stands_without_its_script() {
    let (base, _, stop) = serve(false).await;
    let answer = reqwest::get(&base).await.unwrap();
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.unwrap();
    for layer in Layer::ALL {
        assert!(page.contains(&format!("id=\"l-{layer}\"")), "{layer}");
    }
    for text in [
        "1,469,307",
        "8.4 ms",
        ">member ",
        "cart_abandoned",
        "consent",
        "<noscript><meta http-equiv=\"refresh\"",
        "absent",
    ] {
        assert!(page.contains(text), "{text}");
    }
    stop.cancel();
}

#[tokio::test]
async fn nothing_personal_and_nothing_foreign_is_shown() {
    let (base, _, stop) = serve(false).await;
    for path in ["/", "/status.json"] {
        let (status, page) = text(client().get(format!("{base}{path}")).bearer_auth("right")).await;
        assert_eq!(status, 200);
        for secret in ["ann@example.com", "visitor-1", "0198f3a2", "5f1e88aa", "<script>alert"] {
            assert!(path == "/status.json" && secret.starts_with('<') || !page.contains(secret), "{path}: {secret}");
        }
    }
    let (_, status) = text(client().get(format!("{base}/status.json")).bearer_auth("right")).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let people: Vec<&str> =
        status["decisions"].as_array().unwrap().iter().map(|line| line["person"].as_str().unwrap()).collect();
    assert_eq!((people.len(), people[0].len(), people[0].starts_with("m:")), (25, 10, true));
    assert_eq!((people[4], people[0] == people[2]), (people[24], false), "one pseudonym a person");
    assert!(status["layers"][0]["last_error"].as_str().unwrap().chars().count() <= 201);
    stop.cancel();
}

#[tokio::test]
async fn whoever_else_reaches_the_listener_needs_a_key() {
    let (base, _, stop) = serve_to(false, false).await;
    for path in ["/", "/status.json", "/key"] {
        let get = || client().get(format!("{base}{path}"));
        let answer = get().send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert!(answer.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic realm="), "{path}");
        assert!(answer.headers().contains_key("content-security-policy"), "{path}");
        assert!(!answer.text().await.unwrap().contains("cart_abandoned"), "{path}");
        let shown = if path == "/key" { 303 } else { 200 };
        for (request, wanted) in [
            (get().bearer_auth("wrong"), 401),
            (get().basic_auth("right", Some("wrong")), 401),
            (get().basic_auth("right", None::<&str>), 401),
            (get().header("authorization", "Basic right"), 401),
            (get().bearer_auth("away"), 503),
            (get().bearer_auth("right"), shown),
            (get().basic_auth("anybody", Some("right")), shown),
        ] {
            assert_eq!(text(request).await.0, wanted, "{path}");
        }
    }
    assert_eq!(text(client().get(format!("{base}/docs"))).await.0, 200);
    stop.cancel();
}

#[tokio::test]
async fn this_machine_looks_without_a_key_and_without_the_words_of_errors() {
    let (base, _, stop) = serve(true).await;
    for path in ["/", "/status.json"] {
        let get = || client().get(format!("{base}{path}"));
        for words in ["alert(1)", "the store is away"] {
            let (status, page) = text(get()).await;
            assert!(status == 200 && !page.contains(words), "{path}: {words}");
            let (status, page) = text(get().basic_auth("anybody", Some("right"))).await;
            assert!(status == 200 && page.contains(words), "{path}: {words}");
        }
        // A key that is shown must be right, and another name is another machine's, or a page's that was bent to lead here.
        for (request, wanted) in [
            (get().bearer_auth("wrong"), 401),
            (get().header(HOST, "storewide.example.com"), 401),
            (get().header(HOST, "127.0.0.1.example.com:7070"), 401),
            (get().header(HOST, "storewide.example.com").bearer_auth("right"), 200),
            (get().header(HOST, "localhost:7070"), 200),
            (get().header(HOST, "[::1]:7070"), 200),
        ] {
            assert_eq!(text(request).await.0, wanted, "{path}");
        }
    }
    let key = || client().get(format!("{base}/key"));
    assert!(key().send().await.unwrap().headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(key().basic_auth("", Some("right")).send().await.unwrap().headers()[LOCATION], "/");
    stop.cancel();
}

#[tokio::test]
async fn only_our_own_style_and_script_may_run() {
    let (base, _, stop) = serve(false).await;
    for path in ["/", "/docs", "/status.json"] {
        let answer = reqwest::get(format!("{base}{path}")).await.unwrap();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["x-frame-options"], "DENY");
        let page = answer.text().await.unwrap();
        assert!(!page.contains(" style=\"") && !page.contains(" onclick") && !page.contains("src=\"http"), "{path}");
    }
    stop.cancel();
}

#[tokio::test]
async fn many_lookers_cost_one_question() {
    let (base, house, stop) = serve(false).await;
    let looks = (0..40).map(|_| reqwest::get(format!("{base}/status.json")));
    let started = std::time::Instant::now();
    for look in looks.map(tokio::spawn).collect::<Vec<_>>() {
        assert_eq!(look.await.unwrap().unwrap().status(), 200);
    }
    // One question at most for each half second that the lookers took.
    let most = 1 + usize::try_from(started.elapsed().as_millis() / 500).unwrap();
    assert!(house.asked.load(Ordering::SeqCst) <= most);
    stop.cancel();
}

#[tokio::test]
async fn a_store_that_is_away_leaves_the_page_standing() {
    let (base, _, stop) = serve(true).await;
    let (_, page) = text(client().get(&base).bearer_auth("right")).await;
    assert!(page.contains("The decisions cannot be read now: the store is away."));
    stop.cancel();
}

#[tokio::test]
async fn the_reference_is_made_of_the_document() {
    let (base, _, stop) = serve(false).await;
    let page = reqwest::get(format!("{base}/docs")).await.unwrap().text().await.unwrap();
    for text in [
        "/api/v1/orders",
        "id=\"put_order\"",
        "&lt;b&gt;bold",
        "Send <code>x</code>.",
        "id=\"schema-PutOrder\"",
        "required",
    ] {
        assert!(page.contains(text), "{text}");
    }
    stop.cancel();
}
