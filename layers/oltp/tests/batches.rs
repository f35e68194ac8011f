use crate::shop::{Shop, context, giving_back, line, member, order, paid, product, sku};
use engine_postgres::Version;
use oltp::command::PutOrder;
use oltp::{Command, Config, Effect};

crate::on_both!(
    one_bad_command_harms_no_other,
    a_command_that_the_database_itself_refuses_is_found_and_named,
    a_batch_keeps_its_own_order,
    a_batch_larger_than_a_transaction_is_taken_whole,
    batches_about_the_same_records_at_the_same_moment_agree,
    many_collisions_of_many_commands_are_not_one_commands,
);

async fn one_bad_command_harms_no_other(version: Version) {
    let shop = Shop::open(version).await;
    let mut items: Vec<_> = (0..20).map(|n| (context(), Command::Order(order(&format!("o{n:02}"))))).collect();
    let mut unknown = order("bad");
    unknown.lines[0].sku_code = "nothing".to_owned();
    items.insert(7, (context(), Command::Order(unknown)));
    let mut empty = order("worse");
    empty.lines.clear();
    items.insert(13, (context(), Command::Order(empty)));
    let (outcomes, _) = shop.run_batch(items).await.unwrap();
    for (n, outcome) in outcomes.iter().enumerate() {
        match n {
            7 => assert_eq!(outcome.as_ref().unwrap_err().code(), "oltp.unknown_sku"),
            13 => assert_eq!(outcome.as_ref().unwrap_err().pointer(), Some("/lines")),
            _ => assert_eq!(outcome.as_ref().unwrap().effect, Effect::Created),
        }
    }
    assert_eq!(shop.points("m1").await, 20 * 25);
    shop.check_books().await;
}

async fn a_command_that_the_database_itself_refuses_is_found_and_named(version: Version) {
    let shop = Shop::open(version).await;
    // A rule that no check of ours knows of.
    let client = shop.owner().await.unwrap();
    client.batch_execute("alter table crm.order_line add check (description <> 'boom')").await.unwrap();
    let mut items: Vec<_> = (0..33).map(|n| (context(), Command::Order(order(&format!("o{n:02}"))))).collect();
    if let Command::Order(bad) = &mut items[21].1 {
        bad.lines[0].description = Some("boom".to_owned());
    }
    let (outcomes, _) = shop.run_batch(items).await.unwrap();
    let bad: Vec<usize> = (0..33).filter(|n| outcomes[*n].is_err()).collect();
    assert_eq!(bad, [21]);
    assert_eq!(outcomes[21].as_ref().unwrap_err().code(), "oltp.out_of_range");
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_order").await, 32);
    shop.check_books().await;
}

async fn a_batch_keeps_its_own_order(version: Version) {
    let shop = Shop::empty(version).await;
    let mut first = order("1");
    (first.store_code, first.member_no) = (None, Some("m".to_owned()));
    (first.lines, first.payments) = (vec![line(1, "p", "3", 100)], vec![paid(1, 300)]);
    let mut second = first.clone();
    second.lines = vec![line(1, "p", "5", 100)];
    let items = [
        Command::Product(product("p")),
        Command::Sku(sku("p")),
        Command::Member(member("m")),
        Command::Order(first.clone()),
        Command::Order(PutOrder { order_no: "0".to_owned(), ..first.clone() }),
        Command::Order(second),
        Command::Return(giving_back("r", "1", &[(1, "4")])),
        Command::Order(PutOrder { status: Some("cancelled".to_owned()), ..order("0") }),
    ];
    let (outcomes, _) = shop.run_batch(items.into_iter().map(|item| (context(), item)).collect()).await.unwrap();
    let effects: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().map(|done| done.effect).map_err(|e| e.code())).collect();
    let created = Ok(Effect::Created);
    assert_eq!(
        effects,
        [created, created, created, created, created, Ok(Effect::Updated), created, Err("oltp.unknown_store")]
    );
    shop.check_books().await;
}

async fn a_batch_larger_than_a_transaction_is_taken_whole(version: Version) {
    let config = Config { batch_commands_max: 7, batch_lines_max: 30, pool_size: 2, ..Config::default() };
    let shop = Shop::with(version, config).await;
    shop.furnish().await;
    let items = (0..50).map(|n| {
        let mut put = order(&n.to_string());
        put.lines = (1..=n % 40 + 1).map(|number| line(number, "a", "1", 10)).collect();
        put.payments.clear();
        (context(), Command::Order(put))
    });
    let (outcomes, position) = shop.run_batch(items.collect()).await.unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_order").await, 50);
    let (model::Position::Wal(at), model::Position::Wal(now)) = (position, shop.position().await.unwrap()) else {
        panic!()
    };
    assert!(at > 0 && at <= now);
    let (none, _) = shop.run_batch(Vec::new()).await.unwrap();
    assert!(none.is_empty());
}

async fn batches_about_the_same_records_at_the_same_moment_agree(version: Version) {
    let shop = Shop::open(version).await;
    let tasks: Vec<_> = (0..4_usize)
        .map(|task| {
            let shop = shop.oltp.clone();
            // Each in an order of its own.
            let items = (0..40_usize).map(|n| (n * (2 * task + 1) + task) % 40);
            let items = items.map(|n| (context(), Command::Order(order(&format!("o{n}"))))).collect();
            tokio::spawn(async move { shop.run_batch(items).await.unwrap().0 })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        created += task.await.unwrap().into_iter().filter(|o| o.as_ref().unwrap().effect == Effect::Created).count();
    }
    assert_eq!(created, 40);
    assert_eq!(shop.points("m1").await, 40 * 25);
    shop.check_books().await;
}

async fn many_collisions_of_many_commands_are_not_one_commands(version: Version) {
    let shop = Shop::empty(version).await;
    let client = shop.owner().await.unwrap();
    // Every other try to make a member finds that somebody else was faster.
    let collide = "create sequence crm.tries;
        create function crm.collide() returns trigger language plpgsql as $$
        begin
            if nextval('crm.tries') % 2 = 1 then
                raise exception 'made at the same time' using errcode = 'unique_violation';
            end if;
            return new;
        end $$;
        create trigger collide before insert on crm.member for each row execute function crm.collide();";
    client.batch_execute(collide).await.unwrap();
    let items = (0..16).map(|n| (context(), Command::Member(member(&n.to_string())))).collect();
    let (outcomes, _) = shop.run_batch(items).await.unwrap();
    for outcome in outcomes {
        assert_eq!(outcome.unwrap().effect, Effect::Created);
    }
}
