//! Views compute what a plain loop computes.

use crate::rows::{ask, batch, gone, open, put, query, row};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use serving::batch::{RowChange, RowOp};
use serving::value::Value;
use serving::{Analytics, tables};
use std::collections::BTreeMap;

const MEMBERS: u128 = 4;
const CURRENCIES: [&str; 2] = ["EUR", "USD"];
const STATUSES: [&str; 3] = ["paid", "fulfilled", "cancelled"];

#[derive(Clone, Debug)]
struct Order {
    member: Option<u128>,
    currency: usize,
    status: usize,
    net: i64,
    at: i64,
    returned: Option<(i64, bool)>,
}

fn order() -> impl Strategy<Value = Order> {
    let member = proptest::option::weighted(0.9, 0..MEMBERS);
    let returned = proptest::option::weighted(0.3, (0_i64..500, any::<bool>()));
    (member, 0..2_usize, 0..3_usize, 0_i64..10_000, 0_i64..1_000_000, returned)
        .prop_map(|(member, currency, status, net, at, returned)| Order { member, currency, status, net, at, returned })
}

fn id(id: u128) -> Value {
    Value::Uuid(id)
}

fn ops(orders: &[Order]) -> Vec<RowOp> {
    let mut ops = Vec::new();
    let mut add = |table: &str, values: &[(&str, Value)]| {
        let version = (i64::try_from(ops.len()).unwrap() + 1, 0);
        ops.push(put(table, version, true, vec![row(table, values)]));
    };
    for member in 0..MEMBERS {
        add(
            "members",
            &[
                ("member_id", id(member)),
                ("member_no", Value::text(format!("M{member}"))),
                ("status", Value::text("active")),
            ],
        );
        let balance = i64::try_from(member).unwrap() * 10;
        add(
            "points_accounts",
            &[
                ("account_id", id(member)),
                ("kind", Value::text("member")),
                ("member_id", id(member)),
                ("balance", Value::Int(balance)),
            ],
        );
    }
    for (number, order) in (100_u128..).zip(orders) {
        let member = order.member.map_or(Value::Null, id);
        add(
            "orders",
            &[
                ("order_id", id(number)),
                ("member_id", member.clone()),
                ("currency", Value::text(CURRENCIES[order.currency])),
                ("status", Value::text(STATUSES[order.status])),
                ("units", Value::Decimal(10_000)),
                ("net_minor", Value::Int(order.net)),
                ("placed_at", Value::Timestamp(order.at)),
            ],
        );
        if let Some((net, completed)) = order.returned {
            let status = if completed { "completed" } else { "requested" };
            add(
                "returns",
                &[
                    ("return_id", id(number)),
                    ("member_id", member),
                    ("currency", Value::text(CURRENCIES[order.currency])),
                    ("status", Value::text(status)),
                    ("units", Value::Decimal(5_000)),
                    ("net_minor", Value::Int(net)),
                ],
            );
        }
    }
    ops
}

/// Member, orders, currency, net, returns, last order, balance: computed by hand.
fn naive(orders: &[Order]) -> Vec<Json> {
    let row = |member: u128| {
        let mine = orders.iter().filter(|order| order.member == Some(member));
        let counted: Vec<&Order> = mine.clone().filter(|order| STATUSES[order.status] != "cancelled").collect();
        let mut by_currency: BTreeMap<usize, usize> = BTreeMap::new();
        for order in &counted {
            *by_currency.entry(order.currency).or_default() += 1;
        }
        let main = by_currency
            .iter()
            .max_by_key(|(currency, count)| (**count, std::cmp::Reverse(**currency)))
            .map(|(currency, _)| *currency);
        let bought: i64 = counted.iter().filter(|order| Some(order.currency) == main).map(|order| order.net).sum();
        let completed = mine.filter_map(|order| {
            order.returned.filter(|(_, completed)| *completed).map(|(net, _)| (order.currency, net))
        });
        let back: Vec<(usize, i64)> = completed.collect();
        let taken: i64 = back.iter().filter(|(currency, _)| Some(*currency) == main).map(|(_, net)| *net).sum();
        let last = counted.iter().map(|order| order.at).max();
        json!([
            format!("M{member}"),
            counted.len(),
            main.map(|currency| CURRENCIES[currency]),
            bought - taken,
            back.len(),
            last.map(|at| Value::Timestamp(at).to_json(serving::value::Kind::Timestamp)),
            member * 10,
        ])
    };
    (0..MEMBERS).map(row).collect()
}

#[test]
fn customer_360_is_what_a_loop_computes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = runtime.block_on(open(folder.path()));
    let base = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = proptest::collection::vec(order(), 0..40);
    let outcome = proptest::test_runner::TestRunner::new(config).run(&strategy, |orders| {
        // Each case has versions of its own and begins with empty tables.
        base.set(base.get() + 1000);
        let emptied = ["members", "points_accounts", "orders", "returns"]
            .map(|table| RowOp { change: RowChange::Truncate, ..gone(table, (base.get(), 0), vec![]) });
        let rows = ops(&orders).into_iter().map(|op| RowOp { version: (op.version.0 + base.get(), 0), ..op });
        let found = runtime.block_on(async {
            engine.apply(batch(emptied.into_iter().chain(rows), 1)).await.unwrap();
            ask(
                &engine,
                "select member_no, orders, currency, net_minor, returns, last_order_at, points_balance
                from customer_360 order by member_no",
            )
            .await
        });
        prop_assert_eq!(found, serde_json::to_string(&naive(&orders)).unwrap());
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn decisions_are_one_row_each() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let text = |text: &str| Value::text(text);
    let recommendation = |number: u128, status: &str| {
        let values = [
            ("recommendation_id", id(number)),
            ("status", text(status)),
            ("playbook", text("cart")),
            ("person", text("a:1")),
        ];
        put("recommendations", (i64::try_from(number).unwrap(), 0), true, vec![row("recommendations", &values)])
    };
    let verdict = |number: u128, position: i64, verdict: &str| {
        let values = [
            ("recommendation_id", id(number)),
            ("position", Value::Int(position)),
            ("guardrail", text(&format!("g{position}"))),
            ("verdict", text(verdict)),
        ];
        put(
            "guardrail_verdicts",
            (10 + position, i64::try_from(number).unwrap()),
            true,
            vec![row("guardrail_verdicts", &values)],
        )
    };
    let action = row("actions", &[("action_id", id(9)), ("recommendation_id", id(2)), ("status", text("delivered"))]);
    let delivery = |number: u128, code: i64| {
        let values = [
            ("delivery_id", id(number)),
            ("action_id", id(9)),
            ("status_code", Value::Int(code)),
            ("at", Value::Timestamp(code)),
        ];
        put("deliveries", (30 + i64::try_from(number).unwrap(), 0), true, vec![row("deliveries", &values)])
    };
    let outcome = row(
        "outcomes",
        &[("outcome_id", id(3)), ("action_id", id(9)), ("kind", text("purchase")), ("value_minor", Value::Int(99))],
    );
    let ops = [
        recommendation(1, "blocked"),
        recommendation(2, "executed"),
        verdict(1, 0, "allow"),
        verdict(1, 1, "deny"),
        verdict(1, 2, "deny"),
        verdict(2, 0, "allow"),
        put("actions", (20, 0), true, vec![action]),
        delivery(1, 500),
        delivery(2, 200),
        put("outcomes", (40, 0), true, vec![outcome]),
    ];
    engine.apply(batch(ops, 1)).await.unwrap();
    let decided = "select status, blocked_by, action_status, delivered_at is not null, outcome, outcome_value_minor from decisions order by 1";
    assert_eq!(
        ask(&engine, decided).await,
        r#"[["blocked","g1",null,false,null,null],["executed",null,"delivered",true,"purchase",99]]"#
    );
}

#[tokio::test]
async fn events_follow_their_trace_and_features_unfold() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path()).await;
    let text = |text: &str| Value::text(text);
    let features =
        row("member_features", &[("person", text("a:1")), ("features", text(r#"{"orders_7d": 2, "last.sku": "x"}"#))]);
    let event = row("events", &[("message_id", text("1")), ("person", text("a:1")), ("trace", text("a:1"))]);
    let link = row("identities", &[("trace", text("a:1")), ("person", text("m:7"))]);
    let ops = [
        put("member_features", (0, 0), false, vec![features]),
        put("events", (0, 0), false, vec![event]),
        put("identities", (0, 0), false, vec![link]),
    ];
    engine.apply(batch(ops, 1)).await.unwrap();
    assert_eq!(ask(&engine, "select person_now from events_resolved").await, r#"[["m:7"]]"#);
    assert_eq!(
        ask(&engine, "select feature, value, number from features order by 1").await,
        r#"[["last.sku","x",null],["orders_7d","2",2.0]]"#
    );
    for view in tables::VIEWS {
        assert!(query(&engine, &format!("select * from {}", view.name)).await.is_ok(), "{}", view.name);
    }
}
