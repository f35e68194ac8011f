use super::*;
use bus::TopicPartition;
use bytes::Bytes;
use expect_test::{Expect, expect};
use serde_json::json;

fn record(topic: &str, key: &str, value: Option<&Json>) -> Record {
    Record {
        at: TopicPartition::new(topic, 3),
        offset: 42,
        timestamp_ms: 0,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: value.map(|value| Bytes::from(value.to_string())),
        headers: Vec::new(),
    }
}

fn change_of(table: &str, op: &str, before: &Json, after: &Json) -> Record {
    let value = json!({
        "before": before, "after": after, "op": op, "ts_us": 1,
        "source": {"db": "d", "schema": "crm", "table": table, "lsn": 77, "seq": 2, "tx": 1, "ts_us": 1, "snapshot": false},
    });
    record(&format!("crm.{table}"), "k", Some(&value))
}

/// The row change as a few lines: table, key, version, and each row's columns that are not null.
fn shown(record: &Record) -> String {
    let mapped = match map(record) {
        Ok(mapped) => mapped,
        Err(error) => return error.to_string(),
    };
    let Some(op) = mapped.op else { return "nothing".to_owned() };
    let table = &TABLES[op.table];
    let key: Vec<String> =
        table.columns.iter().zip(&op.key).map(|(column, value)| value.to_json(column.kind).to_string()).collect();
    let mut text = format!("{} [{}] at {:?}", table.name, key.join(" "), op.version);
    match op.change {
        RowChange::Truncate => text.push_str(" emptied"),
        RowChange::Put { rows, created } => {
            text.push_str(if rows.is_empty() { " gone" } else { "" });
            text.push_str(if created { " created" } else { "" });
            for row in rows {
                for (column, value) in table.columns.iter().zip(&row).filter(|(_, value)| **value != Value::Null) {
                    let value = if *value == Value::Unchanged {
                        "unchanged".to_owned()
                    } else {
                        value.to_json(column.kind).to_string()
                    };
                    text.push_str(&format!("\n  {}: {value}", column.name));
                }
            }
        }
    }
    if let Some(received_at) = mapped.received_at {
        text.push_str(&format!("\nreceived {received_at}"));
    }
    text
}

fn check(record: &Record, expected: &Expect) {
    expected.assert_eq(&shown(record));
}

const ID: &str = "018f0000-0000-7000-8000-000000000001";

#[test]
fn a_created_order() {
    let after = json!({
        "order_id": ID, "source": "pos", "order_no": "1", "channel": "pos", "business_date": "2024-02-29",
        "placed_at": "2024-02-29T10:00:00.123456Z", "currency": "USD", "status": "paid", "units": "2.5000", "gross_minor": 100,
        "discount_minor": 0, "net_minor": 100, "coupon_codes": ["A", "B"], "column_of_tomorrow": {"x": 1},
    });
    check(
        &change_of("sales_order", "c", &Json::Null, &after),
        &expect![[r#"
            orders ["018f0000-0000-7000-8000-000000000001"] at (77, 2) created
              order_id: "018f0000-0000-7000-8000-000000000001"
              source: "pos"
              order_no: "1"
              channel: "pos"
              business_date: "2024-02-29"
              placed_at: "2024-02-29T10:00:00.123456Z"
              currency: "USD"
              status: "paid"
              units: "2.5"
              gross_minor: 100
              discount_minor: 0
              net_minor: 100
              coupon_codes: ["A","B"]"#]],
    );
}

#[test]
fn large_columns_that_were_not_sent() {
    let mut value = json!({
        "before": {"store_id": ID, "attributes": {"a": 1}}, "after": {"store_id": ID, "name": "new"}, "op": "u", "ts_us": 1,
        "unchanged": ["attributes", "region"],
        "source": {"lsn": 1, "seq": 0},
    });
    check(
        &record("crm.store", "k", Some(&value)),
        &expect![[r#"
            stores ["018f0000-0000-7000-8000-000000000001"] at (1, 0)
              store_id: "018f0000-0000-7000-8000-000000000001"
              name: "new"
              region: unchanged
              attributes: {"a":1}"#]],
    );
    value["before"] = Json::Null;
    assert!(shown(&record("crm.store", "k", Some(&value))).contains("attributes: unchanged"));
}

/// Capture leaves out a new value that is too large for the bus: what the served row has is no longer true.
#[test]
fn large_values_that_were_omitted() {
    let value = json!({
        "before": {"store_id": ID}, "after": {"store_id": ID, "name": "new"}, "op": "u", "ts_us": 1,
        "omitted": ["attributes"],
        "source": {"lsn": 1, "seq": 0},
    });
    check(
        &record("crm.store", "k", Some(&value)),
        &expect![[r#"
            stores ["018f0000-0000-7000-8000-000000000001"] at (1, 0)
              store_id: "018f0000-0000-7000-8000-000000000001"
              name: "new""#]],
    );
}

#[test]
fn what_is_gone() {
    let key = json!({"entry_id": ID, "side": 1});
    let gone = change_of("points_ledger", "d", &key, &Json::Null);
    check(&gone, &expect![[r#"points_ledger ["018f0000-0000-7000-8000-000000000001" 1] at (77, 2) gone"#]]);
    check(&change_of("store", "t", &Json::Null, &Json::Null), &expect!["stores [] at (77, 2) emptied"]);
    check(&record("crm.store", "k", None), &expect!["nothing"]);
    check(&record(topic::FEATURES, "a:1", None), &expect![[r#"member_features ["a:1"] at (3, 42) gone"#]]);
    check(
        &record(topic::SESSIONS, ID, None),
        &expect![[r#"sessions ["018f0000-0000-7000-8000-000000000001"] at (3, 42) gone"#]],
    );
}

#[test]
fn signals_give_events_only() {
    let signal = |body: Json| {
        json!({
            "person": "m:1", "trace": "a:1", "occurred_at": "2024-01-01T00:00:00Z", "received_at": "2024-01-01T00:00:01Z",
            "cause": {"topic": "behaviour.events", "partition": 0, "offset": 7}, "body": body,
        })
    };
    let event = json!({
        "message_id": "m1", "name": "product_viewed", "type": "track", "anonymous_id": "1", "source": "web",
        "occurred_at": "2024-01-01T00:00:00Z", "received_at": "2024-01-01T00:00:01Z", "properties": {"sku": "S"},
    });
    let body = json!({"event": {"event": event, "product": {"product_code": "P", "category": "c"}}});
    check(
        &record(topic::SIGNALS, "m:1", Some(&signal(body.clone()))),
        &expect![[r#"
            events ["web" "m1"] at (3, 42)
              source: "web"
              message_id: "m1"
              name: "product_viewed"
              type: "track"
              person: "m:1"
              trace: "a:1"
              anonymous_id: "1"
              occurred_at: "2024-01-01T00:00:00Z"
              received_at: "2024-01-01T00:00:01Z"
              product_code: "P"
              category: "c"
              properties: {"sku":"S"}
              contract_version: 0
            received 1704067201000000"#]],
    );
    let handover = json!({"handover": {"move_no": 1, "state": "{\"event\":"}});
    let handover = signal(handover);
    check(&record(topic::SIGNALS, "m:1", Some(&handover)), &expect!["nothing"]);
    let handed: Signal = serde_json::from_value(handover).unwrap();
    assert!(is_handover(&serde_json::to_vec(&handed).unwrap()));
    // As processing writes it, or the early way out would never be taken.
    let signal: Signal = serde_json::from_value(signal(body)).unwrap();
    assert!(serde_json::to_string(&signal.body).unwrap().starts_with(EVENT));
    assert!(!is_handover(&serde_json::to_vec(&signal).unwrap()));
}

#[test]
fn a_set_of_tags() {
    let tags = json!({"person": "m:1", "tags": [{"tag": "vip", "since": "2024-01-01T00:00:00Z"}], "as_of": "2024-01-02T00:00:00Z", "cause": null});
    check(
        &record(topic::TAGS, "m:1", Some(&tags)),
        &expect![[r#"
            member_tags ["m:1"] at (3, 42)
              person: "m:1"
              tag: "vip"
              since: "2024-01-01T00:00:00Z"
              as_of: "2024-01-02T00:00:00Z""#]],
    );
    let none = json!({"person": "m:1", "tags": [], "as_of": "2024-01-02T00:00:00Z", "cause": null});
    check(&record(topic::TAGS, "m:1", Some(&none)), &expect![[r#"member_tags ["m:1"] at (3, 42) gone"#]]);
}

#[test]
fn nonsense_names_its_place_and_not_its_value() {
    for value in
        [json!("x"), json!({}), json!({"op": "c", "source": {"lsn": 1, "seq": 0}, "after": {"store_id": "secret"}})]
    {
        let text = shown(&record("crm.store", "k", Some(&value)));
        assert!(text.starts_with("crm.store/3@42 fits no row of stores:") && !text.contains("secret"), "{text}");
    }
    check(&record("capture.progress", "k", Some(&json!({"lsn": 1}))), &expect!["nothing"]);
}
