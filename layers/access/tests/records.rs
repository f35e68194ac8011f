//! Single records: written, read back, listed, repeated.

use crate::house::{House, order, problem};
use engine_postgres::Version;
use runtime::auth::Role;
use serde_json::{Value, json};
use std::collections::HashSet;

crate::on_both!(
    every_kind_is_written_and_read_back,
    a_second_write_updates_or_changes_nothing,
    a_repeat_gets_the_first_answer_even_at_the_same_time,
    pages_show_each_record_once,
    lists_are_narrowed_and_bad_questions_refused,
    a_write_can_ask_for_the_version_that_it_changes,
    a_read_takes_the_position_of_a_write,
    keys_of_one_name_are_two_callers,
);

async fn every_kind_is_written_and_read_back(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    let made = house.post("/api/v1/orders").json(&order("o1")).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let position = made.headers()["storewide-position"].to_str().unwrap().to_owned();
    let made: Value = made.json().await.unwrap();
    assert_eq!(
        (&made["effect"], &made["repeated"], &made["position"]),
        (&json!("created"), &json!(false), &json!(position))
    );
    assert!(position.starts_with("w-"));
    let back = json!({"source": "till", "return_no": "r1", "order_source": "till", "order_no": "o1",
        "returned_at": "2026-02-01T12:00:00Z", "lines": [{"line_no": 1, "quantity": "1"}]});
    house.put("/api/v1/returns", &back).await;
    for (path, id) in [
        ("stores", "367"),
        ("products", "p1"),
        ("skus", "s1"),
        ("members", "m1"),
        ("orders", "till:o1"),
        ("returns", "r1"),
    ] {
        let answer = house.get(&format!("/api/v1/{path}/{id}"), &house.reader).await;
        assert_eq!(answer.status(), 200, "{path}");
        let listed: Value = house.get(&format!("/api/v1/{path}"), &house.reader).await.json().await.unwrap();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{path}");
        assert_eq!(listed["next"], Value::Null);
    }
    let id = made["id"].as_str().unwrap();
    let by_id: Value = house.get(&format!("/api/v1/orders/{id}"), &house.reader).await.json().await.unwrap();
    assert_eq!((&by_id["order_no"], &by_id["net_minor"]), (&json!("o1"), &json!(1488)));
    let (status, code, _) = problem(house.get("/api/v1/orders/nothing%2Fhere", &house.reader).await).await;
    assert_eq!((status, code.as_str()), (404, "access.not_found"));
    let picked = house.get("/api/v1/orders/o1?fields=order_no,net_minor", &house.reader).await;
    // The return changed what the order is.
    assert_eq!(picked.headers()["etag"], "\"2\"");
    assert_eq!(picked.json::<Value>().await.unwrap(), json!({"order_no": "o1", "net_minor": 1488}));
    let (status, code, _) = problem(house.get("/api/v1/orders/o1?fields=colour", &house.reader).await).await;
    assert_eq!((status, code.as_str()), (422, "oltp.unknown_field"));
}

async fn a_second_write_updates_or_changes_nothing(version: Version) {
    let house = House::open(version).await;
    let store = |name: &str| json!({"store_code": "1", "name": name});
    let mut effects = Vec::new();
    for name in ["A", "A", "B"] {
        let answer = house.post("/api/v1/stores").json(&store(name)).send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        effects.push((status, answer["effect"].as_str().unwrap().to_owned(), answer["row_version"].as_i64().unwrap()));
    }
    let expected = [(201, "created", 1), (200, "unchanged", 1), (200, "updated", 2)];
    assert_eq!(effects, expected.map(|(status, effect, version)| (status, effect.to_owned(), version)));
}

async fn a_repeat_gets_the_first_answer_even_at_the_same_time(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    let send = || house.post("/api/v1/orders").header("Idempotency-Key", "k-1").json(&order("o1")).send();
    let answers = futures_util::future::join_all((0..12).map(|_| send())).await;
    let (mut ids, mut firsts) = (HashSet::new(), 0);
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        let answer: Value = answer.json().await.unwrap();
        ids.insert(answer["id"].as_str().unwrap().to_owned());
        firsts += usize::from(answer["repeated"] == false);
    }
    assert_eq!((ids.len(), firsts), (1, 1));
    let listed: Value = house.get("/api/v1/orders", &house.reader).await.json().await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let other = house.post("/api/v1/orders").header("Idempotency-Key", "k-1").json(&order("o2")).send().await.unwrap();
    assert_eq!(problem(other).await, (422, "oltp.idempotency_mismatch".to_owned(), String::new()));
}

async fn pages_show_each_record_once(version: Version) {
    let house = House::open(version).await;
    for number in 0..25 {
        house.put("/api/v1/stores", &json!({"store_code": format!("s{number}"), "name": "S"})).await;
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page: Value =
            house.get(&format!("/api/v1/stores?limit=10{cursor}"), &house.reader).await.json().await.unwrap();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|store| store["store_code"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (25, 3));
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 25);
    let none: Value =
        house.get("/api/v1/stores?updated_since=2100-01-01T00:00:00Z", &house.reader).await.json().await.unwrap();
    assert_eq!(none["items"], json!([]));
}

async fn lists_are_narrowed_and_bad_questions_refused(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    house.put("/api/v1/orders", &order("o1")).await;
    for (member, count) in [("m1", 1), ("m2", 0)] {
        let page: Value =
            house.get(&format!("/api/v1/orders?member={member}"), &house.reader).await.json().await.unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{member}");
    }
    for query in [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=x",
        "colour=red",
        "updated_since=yesterday",
        "sort=colour",
        "fields=a;b",
        "limit=1&limit=1",
        "member=m1",
        "at_least=now",
    ] {
        let (status, code, _) = problem(house.get(&format!("/api/v1/stores?{query}"), &house.reader).await).await;
        assert_eq!((status, code.as_str()), (400, "access.invalid_query"), "{query}");
    }
    let (status, code, _) = problem(house.get("/api/v1/orders?status=payed", &house.reader).await).await;
    assert_eq!((status, code.as_str()), (422, "oltp.invalid_filter"));
    for cursor in ["abc", "%ff", "%00", "'--"] {
        let (status, code, _) =
            problem(house.get(&format!("/api/v1/stores?cursor={cursor}"), &house.reader).await).await;
        assert_eq!((status, code.as_str()), (422, "oltp.invalid_cursor"), "{cursor}");
    }
}

async fn a_write_can_ask_for_the_version_that_it_changes(version: Version) {
    let house = House::open(version).await;
    let put = |name: &str, tag: &str| {
        house.post("/api/v1/stores").header("If-Match", tag).json(&json!({"store_code": "1", "name": name})).send()
    };
    let none = put("A", "\"1\"").await.unwrap();
    assert_eq!(
        problem(none).await,
        (412, "oltp.version_mismatch".to_owned(), String::new()),
        "there is no such record"
    );
    house.put("/api/v1/stores", &json!({"store_code": "1", "name": "A"})).await;
    let seen = house.get("/api/v1/stores/1", &house.reader).await;
    let tag = seen.headers()["etag"].to_str().unwrap().to_owned();
    // Of many who saw the same version, one writes.
    let names: Vec<String> = (0..8).map(|n| format!("B{n}")).collect();
    let answers = futures_util::future::join_all(names.iter().map(|name| put(name, &tag))).await;
    let won = answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 200).count();
    assert_eq!(won, 1);
    for bad in ["3", "*", "W/\"3\"", "\"x\"", "\"0\"", "\"1\", \"2\""] {
        assert_eq!(problem(put("C", bad).await.unwrap()).await.1, "access.invalid_header", "{bad}");
    }
    let repeat = |key: &'static str, tag: &'static str| {
        let request = house.post("/api/v1/stores").header("Idempotency-Key", key).header("If-Match", tag);
        request.json(&json!({"store_code": "1", "name": "C"})).send()
    };
    assert_eq!(repeat("k1", "\"2\"").await.unwrap().status(), 200);
    let again: Value = repeat("k1", "\"2\"").await.unwrap().json().await.unwrap();
    assert_eq!((&again["repeated"], &again["row_version"]), (&json!(true), &json!(3)), "the first answer");
    assert_eq!(repeat("k2", "\"2\"").await.unwrap().status(), 412);
}

async fn a_read_takes_the_position_of_a_write(version: Version) {
    let house = House::open(version).await;
    let written = house.put("/api/v1/stores", &json!({"store_code": "1", "name": "A"})).await;
    let position = written["position"].as_str().unwrap();
    for path in ["stores", "stores/1"] {
        let answer = house.get(&format!("/api/v1/{path}?at_least={position}"), &house.reader).await;
        assert_eq!(answer.status(), 200, "{path}");
        let bad = house.get(&format!("/api/v1/{path}?at_least=w-1"), &house.reader).await;
        assert_eq!(problem(bad).await.1, "access.invalid_query", "{path}");
    }
}

async fn keys_of_one_name_are_two_callers(version: Version) {
    let house = House::open(version).await;
    let (id, twin) = house.oltp.create_api_key(&oltp::NewKey::new("till", Role::Writer)).await.unwrap();
    for (key, code) in [(&house.writer, "1"), (&twin, "2")] {
        let request = house.client.post(house.url("/api/v1/stores")).bearer_auth(key).header("Idempotency-Key", "17");
        let answer = request.json(&json!({"store_code": code, "name": "S"})).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{code}");
    }
    let actor =
        house.value("select actor from crm.audit_log where entity = 'store' order by audit_id desc limit 1").await;
    assert_eq!(actor, id.to_string());
}
