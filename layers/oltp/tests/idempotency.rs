use crate::shop::{Shop, context, giving_back, keyed, order};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use oltp::{Command, Effect, OltpError};

crate::on_both!(
    a_repeat_gets_the_first_answer,
    a_command_that_failed_keeps_nothing,
    repeats_at_the_same_moment_agree,
    keys_hold_inside_of_a_batch,
    old_keys_go_as_new_ones_come,
);

async fn a_repeat_gets_the_first_answer(version: Version) {
    let shop = Shop::open(version).await;
    let (first, _) = shop.run(&keyed("k1"), &Command::Order(order("1"))).await.unwrap();
    let mut edit = order("1");
    edit.shipping_minor = 500;
    shop.put(edit).await;
    // Not the record as it is now, and not a second try of the command: what was answered then.
    let (again, _) = shop.run(&keyed("k1"), &Command::Order(order("1"))).await.unwrap();
    assert_eq!((again.id, again.effect, again.row_version, again.repeated), (first.id, Effect::Created, 1, true));
    assert_eq!(shop.order("1").await["shipping_minor"], 500);
    let other = shop.run(&keyed("k1"), &Command::Order(order("2"))).await;
    assert_eq!(other.unwrap_err(), OltpError::IdempotencyMismatch);
    let mut somebody = keyed("k1");
    somebody.actor = "somebody else".to_owned();
    let (theirs, _) = shop.run(&somebody, &Command::Order(order("2"))).await.unwrap();
    assert!(!theirs.repeated);
}

async fn a_command_that_failed_keeps_nothing(version: Version) {
    let shop = Shop::open(version).await;
    let back = Command::Return(giving_back("r1", "1", &[(1, "1")]));
    let error = shop.run(&keyed("k1"), &back).await.unwrap_err();
    assert_eq!(error.code(), "oltp.unknown_order");
    shop.put(order("1")).await;
    let (done, _) = shop.run(&keyed("k1"), &back).await.unwrap();
    assert_eq!((done.effect, done.repeated), (Effect::Created, false));
}

async fn repeats_at_the_same_moment_agree(version: Version) {
    let shop = Shop::open(version).await;
    let tries: Vec<_> = (0..12)
        .map(|_| {
            let shop = shop.oltp.clone();
            tokio::spawn(async move { shop.run(&keyed("same"), &Command::Order(order("1"))).await.unwrap().0 })
        })
        .collect();
    let mut fresh = 0;
    let mut ids = Vec::new();
    for attempt in tries {
        let done = attempt.await.unwrap();
        assert_eq!(done.effect, Effect::Created);
        fresh += i32::from(!done.repeated);
        ids.push(done.id);
    }
    ids.dedup();
    assert_eq!((fresh, ids.len()), (1, 1));
    assert_eq!(shop.points("m1").await, 25);
}

async fn keys_hold_inside_of_a_batch(version: Version) {
    let shop = Shop::open(version).await;
    let items = vec![
        (keyed("a"), Command::Order(order("1"))),
        (keyed("a"), Command::Order(order("1"))),
        (keyed("a"), Command::Order(order("2"))),
        (keyed("b"), Command::Order(order("2"))),
        (context(), Command::Order(order("2"))),
    ];
    let (outcomes, _) = shop.run_batch(items).await.unwrap();
    let told: Vec<_> = outcomes.into_iter().map(|outcome| outcome.map(|done| (done.effect, done.repeated))).collect();
    assert_eq!(
        told,
        [
            Ok((Effect::Created, false)),
            Ok((Effect::Created, true)),
            Err(OltpError::IdempotencyMismatch),
            Ok((Effect::Created, false)),
            Ok((Effect::Unchanged, false)),
        ]
    );
}

async fn old_keys_go_as_new_ones_come(version: Version) {
    let shop = Shop::open(version).await;
    for key in ["a", "b", "c"] {
        shop.run(&keyed(key), &Command::Order(order(key))).await.unwrap();
    }
    let outside = connect(&shop.pg).await.unwrap();
    outside
        .execute("update crm.idempotency set created_at = now() - interval '6 days' where key = 'c'", &[])
        .await
        .unwrap();
    outside
        .execute("update crm.idempotency set created_at = now() - interval '8 days' where key <> 'c'", &[])
        .await
        .unwrap();
    shop.put(order("without a key")).await;
    assert_eq!(shop.value::<i64>("select count(*) from crm.idempotency").await, 3);
    // A key that is still there is answered from it, however old it is.
    assert!(shop.run(&keyed("a"), &Command::Order(order("a"))).await.unwrap().0.repeated);
    let kept: String = shop.value("select string_agg(key, ' ') from crm.idempotency").await;
    assert_eq!(kept, "c");
    assert!(!shop.run(&keyed("a"), &Command::Order(order("a"))).await.unwrap().0.repeated);
    assert!(shop.run(&keyed("c"), &Command::Order(order("c"))).await.unwrap().0.repeated);
}
