//! The same signals, duplicated, shuffled, cut into pieces, with restarts between, end where the clean run ends.

use crate::rig::{Final, Rig, change, event, id, identity, member, order, returned};
use bus::NewRecord;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
enum Signal {
    Event {
        name: usize,
        device: u8,
        user: Option<u8>,
        minute: i64,
    },
    Identify {
        device: u8,
        user: Option<u8>,
        email: u8,
        minute: i64,
    },
    Alias {
        previous: u8,
        user: u8,
        minute: i64,
    },
    Claim {
        row: u8,
        member: u8,
        email: u8,
        gone: bool,
    },
    Member {
        member: u8,
        minute: i64,
    },
    Order {
        order: u8,
        member: Option<u8>,
        email: Option<u8>,
        device: Option<u8>,
        minute: i64,
        cancelled: bool,
        net: i64,
    },
    Return {
        order: u8,
        nth: u8,
        completed: bool,
        net: i64,
    },
}

const NAMES: [&str; 4] = ["product_viewed", "product_added", "product_removed", "page_view"];

fn signal() -> impl Strategy<Value = Signal> {
    let minute = -3_000_i64..0;
    prop_oneof![
        6 => (0..NAMES.len(), 0_u8..4, prop::option::weighted(0.3, 0_u8..3), minute.clone())
            .prop_map(|(name, device, user, minute)| Signal::Event { name, device, user, minute }),
        2 => (0_u8..4, prop::option::of(0_u8..3), 0_u8..3, minute.clone())
            .prop_map(|(device, user, email, minute)| Signal::Identify { device, user, email, minute }),
        1 => (0_u8..3, 0_u8..3, minute.clone()).prop_map(|(previous, user, minute)| Signal::Alias { previous, user, minute }),
        2 => (0_u8..4, 0_u8..3, 0_u8..3, any::<bool>())
            .prop_map(|(row, member, email, gone)| Signal::Claim { row, member, email, gone }),
        1 => (0_u8..3, minute.clone()).prop_map(|(member, minute)| Signal::Member { member, minute }),
        4 => (0_u8..4, prop::option::of(0_u8..3), prop::option::of(0_u8..3), prop::option::of(0_u8..4), minute, any::<bool>(), 1_i64..99_999)
            .prop_map(|(order, member, email, device, minute, cancelled, net)| {
                Signal::Order { order, member, email, device, minute, cancelled, net }
            }),
        2 => (0_u8..4, 0_u8..2, any::<bool>(), 1_i64..500)
            .prop_map(|(order, nth, completed, net)| Signal::Return { order, nth, completed, net }),
    ]
}

/// The record of the `n`th signal; its place is its version and its message id.
fn record(n: usize, signal: &Signal) -> NewRecord {
    let (lsn, message) = (n as u64 + 1, format!("message-{n}"));
    let device_of = |device: u8| format!("d{device}");
    let user_of = |user: u8| format!("no-{}", user + 100);
    match signal {
        Signal::Event { name, device, user, minute } => {
            let (device, user) = (device_of(*device), user.map(user_of));
            event(
                &message,
                NAMES[*name],
                Some(&device),
                user.as_deref(),
                *minute,
                &json!({"properties": {"product_id": "p"}}),
            )
        }
        Signal::Identify { device, user, email, minute } => {
            let (device, user) = (device_of(*device), user.map(user_of));
            let identities = json!({"identities": [{"kind": "email", "token": format!("e{email}")}]});
            event(&message, "identify", Some(&device), user.as_deref(), *minute, &identities)
        }
        Signal::Alias { previous, user, minute } => {
            let previous = json!({"type": "alias", "previous_id": user_of(*previous)});
            event(&message, "alias", None, Some(&user_of(*user)), *minute, &previous)
        }
        Signal::Claim { row, member, email, gone } => {
            let row = identity(200 + u64::from(*row), 100 + u64::from(*member), "email", &format!("e{email}"));
            let (before, after) = if *gone { (row, Value::Null) } else { (Value::Null, row) };
            change("member_identity", &message, lsn, &before, &after)
        }
        Signal::Member { member: number, minute } => member(100 + u64::from(*number), lsn, *minute),
        Signal::Order { order: number, member, email, device, minute, cancelled, net } => {
            let row = json!({
                "member_id": member.map(|member| id(100 + u64::from(member))), "contact": email.map(|email| format!("email:e{email}")),
                "anonymous_id": device.map(device_of), "status": if *cancelled { "cancelled" } else { "paid" }, "net_minor": net,
            });
            order(300 + u64::from(*number), lsn, *minute, &row)
        }
        Signal::Return { order, nth, completed, net } => {
            let (status, order) = (if *completed { "completed" } else { "requested" }, u64::from(*order));
            returned(400 + order * 10 + u64::from(*nth), lsn, 300 + order, status, *net)
        }
    }
}

async fn clean(records: &[NewRecord]) -> Final {
    let rig = Rig::new().await;
    rig.feed(records.to_vec()).await;
    rig.process().await;
    rig.ends().await
}

/// Swaps records about, repeats some, feeds them in pieces, and cuts processing off between.
async fn mutated(records: &[NewRecord], swaps: &[(Index, Index)], repeats: &[Index], cuts: &[Index]) -> Final {
    let mut records = records.to_vec();
    for repeat in repeats {
        records.push(records[repeat.index(records.len())].clone());
    }
    for (a, b) in swaps {
        let (a, b) = (a.index(records.len()), b.index(records.len()));
        records.swap(a, b);
    }
    let mut rig = Rig::new().await;
    for (n, cut) in cuts.iter().enumerate() {
        let rest = records.split_off(cut.index(records.len() + 1).min(records.len()));
        rig.feed(std::mem::replace(&mut records, rest)).await;
        rig.process_for_a_moment(1 + n * 7).await;
        if n == 0 {
            rig.reopen();
        }
    }
    rig.feed(records).await;
    rig.process().await;
    rig.ends().await
}

fn difference(clean: &Final, mutated: &Final) -> Vec<String> {
    let mut different = Vec::new();
    for (topic, clean) in clean {
        let mutated = &mutated[topic];
        let keys: std::collections::BTreeSet<&String> = clean.keys().chain(mutated.keys()).collect();
        let unequal = keys.into_iter().filter(|key| clean.get(*key) != mutated.get(*key));
        different.extend(unequal.map(|key| format!("{topic} {key}: {:?} or {:?}", clean.get(key), mutated.get(key))));
    }
    different
}

#[test]
fn a_mutated_replay_ends_where_the_clean_run_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(Config { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..Config::default() });
    let pair = (any::<Index>(), any::<Index>());
    let input = (
        prop::collection::vec(signal(), 1..60),
        prop::collection::vec(pair, 0..120),
        prop::collection::vec(any::<Index>(), 0..15),
        prop::collection::vec(any::<Index>(), 0..3),
    );
    let outcome = runner.run(&input, |(signals, swaps, repeats, cuts)| {
        let records: Vec<NewRecord> = signals.iter().enumerate().map(|(n, signal)| record(n, signal)).collect();
        let (clean, mutated) =
            runtime.block_on(async { (clean(&records).await, mutated(&records, &swaps, &repeats, &cuts).await) });
        let different = difference(&clean, &mutated);
        prop_assert!(different.is_empty(), "{:#?}", different);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
