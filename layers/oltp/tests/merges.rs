use crate::shop::{Shop, giving_back, identity, keyed, member, order, time};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use model::IdentityKind::{Card, Device};
use oltp::command::{ConsentValue, MergeMembers, PutExternalMembership, PutMember, PutOrder, PutTier, UnmergeMember};
use oltp::{Command, Done, Effect, Entity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::fmt::Write as _;

crate::on_both!(
    all_that_a_member_has_changes_hands_and_comes_back,
    chains_are_undone_from_their_end,
    what_comes_to_moved_orders_comes_back_with_them,
    a_merged_number_leads_to_the_other,
    tiers_and_consents_are_of_both,
    an_order_on_its_way_is_not_left_behind,
);

/// Who has what: one line for each thing, in order.
const WHO_HAS_WHAT: &str = "select string_agg(told, E'\\n' order by told) from (
    select 'order ' || o.source || ':' || o.order_no || ' ' || m.member_no as told from crm.sales_order o join crm.member m using (member_id)
    union all
    select 'line ' || l.order_line_id || ' ' || m.member_no from crm.order_line l join crm.member m using (member_id)
    union all
    select 'payment ' || p.payment_id || ' ' || m.member_no from crm.payment p join crm.member m using (member_id)
    union all
    select 'return ' || r.return_no || ' ' || m.member_no from crm.sales_return r join crm.member m using (member_id)
    union all
    select 'return line ' || l.return_line_id || ' ' || m.member_no from crm.return_line l join crm.member m using (member_id)
    union all
    select 'identity ' || i.kind || ' ' || i.token || ' ' || m.member_no from crm.member_identity i join crm.member m using (member_id)
    union all
    select 'membership ' || x.external_no || ' ' || m.member_no from crm.external_membership x join crm.member m using (member_id)
    union all
    select 'consent ' || c.purpose || ' ' || c.channel || ' ' || c.status || ' ' || c.status_at || ' ' || m.member_no
    from crm.consent c join crm.member m using (member_id)
    union all
    select 'points ' || a.balance || ' ' || m.member_no from crm.points_account a join crm.member m using (member_id) where a.balance <> 0
    union all
    select 'member ' || m.member_no || ' ' || m.status || ' ' || coalesce(o.member_no, '-') || ' ' || coalesce(m.tier_code, '-')
    from crm.member m left join crm.member o on o.member_id = m.merged_into_member_id) t";

fn merge(from: &str, into: &str) -> Command {
    Command::MemberMerge(MergeMembers { from_member_no: from.to_owned(), into_member_no: into.to_owned() })
}

fn unmerge(number: &str) -> Command {
    Command::MemberUnmerge(UnmergeMember { member_no: number.to_owned() })
}

fn consent(status: &str, at: &str) -> ConsentValue {
    ConsentValue {
        purpose: "marketing".to_owned(),
        channel: "email".to_owned(),
        status: status.to_owned(),
        status_at: Some(time(at)),
        ..ConsentValue::default()
    }
}

fn bought_by(number: &str, member: &str) -> PutOrder {
    PutOrder { member_no: Some(member.to_owned()), ..order(number) }
}

impl Shop {
    async fn who_has_what(&self) -> String {
        self.value(WHO_HAS_WHAT).await
    }

    /// Members `a` to `d`, each with an order and more.
    async fn four_members(&self) {
        for (n, number) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let mut put = member(number);
            put.identities = vec![identity(Card, &format!("card-{number}")).into(), identity(Device, "shared").into()];
            put.consents =
                vec![consent(if n % 2 == 0 { "granted" } else { "revoked" }, &format!("2026-01-0{}T00:00:00Z", 9 - n))];
            self.done(Command::Member(put)).await;
            self.put(bought_by(&format!("{number}1"), number)).await;
            self.done(Command::Return(giving_back(&format!("r{number}1"), &format!("{number}1"), &[(2, "1")]))).await;
            let membership = PutExternalMembership {
                program: "air".to_owned(),
                external_no: number.to_owned(),
                member_no: number.to_owned(),
                ..PutExternalMembership::default()
            };
            self.done(Command::ExternalMembership(membership)).await;
        }
    }
}

async fn all_that_a_member_has_changes_hands_and_comes_back(version: Version) {
    let shop = Shop::open(version).await;
    shop.four_members().await;
    let before = shop.who_has_what().await;
    let merged: Done = shop.act(merge("a", "b")).await;
    let moved = &merged.result.unwrap()["moved"];
    assert_eq!(*moved, json!({"sales_order": 1, "sales_return": 1, "member_identity": 2, "external_membership": 1}));
    let has = shop.who_has_what().await;
    assert!(!has.lines().any(|line| line.ends_with(" a") && !line.starts_with("consent")), "{has}");
    assert!(has.contains("member a merged b"), "{has}");
    assert_eq!((shop.points("a").await, shop.points("b").await), (0, 40));
    shop.check_books().await;
    // Once more is no news, and the other way round is no way.
    assert_eq!(shop.act(merge("a", "b")).await.effect, Effect::Unchanged);
    assert_eq!(shop.cannot(merge("b", "a")).await, "oltp.member_closed");
    assert_eq!(shop.cannot(merge("a", "c")).await, "oltp.member_closed");
    assert_eq!(shop.refused(Command::Member(member("a"))).await.code(), "oltp.member_closed");
    assert_eq!(shop.cannot(merge("a", "a")).await, "oltp.invalid_value");
    assert_eq!(shop.cannot(merge("nobody", "a")).await, "oltp.unknown_member");

    shop.act(unmerge("a")).await;
    assert_eq!(shop.who_has_what().await, before);
    assert_eq!(shop.cannot(unmerge("a")).await, "oltp.not_merged");
    assert_eq!(shop.cannot(unmerge("nobody")).await, "oltp.unknown_member");
    shop.check_books().await;
    let told: String = shop
        .value(
            "select string_agg(action || ' ' || member_no, ', ' order by audit_id) from crm.audit_log
            join crm.member on member_id::text = entity_id where entity = 'member' and action like '%merged%'",
        )
        .await;
    assert_eq!(told, "merged a, merged_into b, unmerged a, unmerged_from b");
    let read = shop.get(Entity::MEMBER_MERGE, &merged.id.to_string(), false).await.unwrap().unwrap();
    assert_eq!((&read["from_member_no"], read["undone_at"].is_string()), (&json!("a"), true));
}

async fn chains_are_undone_from_their_end(version: Version) {
    let shop = Shop::open(version).await;
    shop.four_members().await;
    let first = shop.who_has_what().await;
    shop.act(merge("a", "b")).await;
    let second = shop.who_has_what().await;
    shop.act(merge("b", "c")).await;
    let third = shop.who_has_what().await;
    assert!(third.contains("member a merged c") && third.contains("member b merged c"), "{third}");
    shop.act(merge("d", "c")).await;
    assert_eq!(shop.cannot(unmerge("a")).await, "oltp.merged_since");
    assert_eq!(shop.points("c").await, 80);
    // Two that were merged into one come apart in any order.
    shop.act(unmerge("b")).await;
    shop.check_books().await;
    shop.act(merge("b", "c")).await;
    shop.act(unmerge("d")).await;
    assert_eq!(shop.who_has_what().await, third);
    shop.act(unmerge("b")).await;
    assert_eq!(shop.who_has_what().await, second);
    shop.act(unmerge("a")).await;
    assert_eq!(shop.who_has_what().await, first);
    shop.check_books().await;
}

async fn what_comes_to_moved_orders_comes_back_with_them(version: Version) {
    let shop = Shop::open(version).await;
    shop.four_members().await;
    shop.act(merge("a", "b")).await;
    // To the moved order: goods back, a line more. To the other member: an order, and an identity.
    shop.done(Command::Return(giving_back("ra2", "a1", &[(1, "1")]))).await;
    let mut edited = bought_by("a1", "b");
    edited.lines.push(crate::shop::line(3, "c", "1", 10_000));
    shop.put(edited).await;
    shop.put(bought_by("b2", "b")).await;
    // A moved order that somebody says is another's stays there.
    shop.put(bought_by("a1b", "a")).await;
    let put = PutMember { identities: vec![identity(Card, "new").into()], ..member("b") };
    shop.done(Command::Member(put)).await;
    shop.act(unmerge("a")).await;
    let has = shop.who_has_what().await;
    for line in ["order till:a1 a", "return ra1 a", "return ra2 a", "order till:b1 b", "order till:b2 b"] {
        assert!(has.lines().any(|told| told == line), "{line} in {has}");
    }
    // 20 + 100 less one of two at 10; the line of 5.50 went back before.
    assert_eq!(
        (shop.points("a").await, shop.find(&[(Card, "new")]).await["member"]["member_no"].clone()),
        (110, json!("b"))
    );
    let lines: i64 = shop
        .value(
            "select count(*) from crm.order_line l join crm.member m using (member_id) join crm.sales_order o using (order_id)
            where m.member_no = 'a' and o.order_no = 'a1'",
        )
        .await;
    assert_eq!(lines, 3);
    shop.check_books().await;
}

async fn a_merged_number_leads_to_the_other(version: Version) {
    let shop = Shop::open(version).await;
    shop.four_members().await;
    shop.act(merge("a", "b")).await;
    shop.act(merge("b", "c")).await;
    shop.put(bought_by("late", "a")).await;
    assert_eq!(shop.order("late").await["member_no"], "c");
    let card = PutOrder { member_no: None, buyer: Some(identity(Card, "card-a")), ..order("later") };
    shop.put(card).await;
    assert_eq!(shop.order("later").await["member_no"], "c");
    assert_eq!(shop.find(&[(Card, "card-a")]).await["member"]["member_no"], "c");
    shop.check_books().await;
}

async fn tiers_and_consents_are_of_both(version: Version) {
    let shop = Shop::open(version).await;
    shop.four_members().await;
    let tier = PutTier {
        tier_code: "silver".to_owned(),
        name: "Silver".to_owned(),
        rank: 1,
        basis: "orders".to_owned(),
        threshold: 2,
        period: "rolling".to_owned(),
        period_days: Some(3660),
        ..PutTier::default()
    };
    shop.done(Command::Tier(tier)).await;
    let before = shop.who_has_what().await;
    // `b` said no before `a` said yes.
    shop.act(merge("a", "b")).await;
    let has = shop.who_has_what().await;
    assert!(has.contains("member b active - silver"), "{has}");
    assert!(has.contains("consent marketing email granted 2026-01-09 00:00:00+00 b"), "{has}");
    // What is said while they are one stays with whom it was said by.
    shop.done(Command::Member(PutMember { consents: vec![consent("denied", "2026-02-01T00:00:00Z")], ..member("b") }))
        .await;
    shop.act(unmerge("a")).await;
    let after = before.replace("revoked 2026-01-08 00:00:00+00 b", "denied 2026-02-01 00:00:00+00 b");
    let sorted = |told: &str| told.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&shop.who_has_what().await), sorted(&after));
    shop.check_books().await;
}

/// The till looked the member up before the merge, and writes behind it.
async fn an_order_on_its_way_is_not_left_behind(version: Version) {
    let shop = Shop::open(version).await;
    shop.four_members().await;
    let mut other = connect(&shop.pg).await.unwrap();
    let hold = other.transaction().await.unwrap();
    hold.batch_execute(
        "select from crm.points_account a join crm.member m using (member_id) where m.member_no = 'a' for update of a",
    )
    .await
    .unwrap();
    let writer = shop.oltp.clone();
    let late = tokio::spawn(async move { writer.run(&keyed("late"), &Command::Order(bought_by("late", "a"))).await });
    shop.waiting().await;
    // Nobody else can have the account either; so the merge is done by whoever holds it.
    let sql =
        "select crm.do_member_merge(jsonb_build_array(jsonb_build_object('i', 0, 'c', '{\"actor\": \"t\"}'::jsonb,
        'id', crm.uuid7(), 'b', '{\"from_member_no\": \"a\", \"into_member_no\": \"b\"}'::jsonb)))::text";
    let told: String = hold.query_one(sql, &[]).await.unwrap().get(0);
    assert!(told.contains("created"), "{told}");
    hold.commit().await.unwrap();
    late.await.unwrap().unwrap();
    assert_eq!(shop.order("late").await["member_no"], "b");
    shop.check_books().await;
}

const MEMBERS: [&str; 6] = ["m1", "m2", "a", "b", "c", "d"];

fn random_command(random: &mut StdRng) -> Command {
    let who = MEMBERS[random.random_range(0..MEMBERS.len())];
    let number = format!("o{}", random.random_range(0..12));
    match random.random_range(0..10) {
        0..4 => Command::Order(bought_by(&number, who)),
        4 => Command::Order(PutOrder { status: Some("cancelled".to_owned()), ..bought_by(&number, who) }),
        5 | 6 => {
            let no = format!("r{}", random.random_range(0..12));
            Command::Return(giving_back(&no, &number, &[(random.random_range(1..3), "1")]))
        }
        7 | 8 => merge(who, MEMBERS[random.random_range(0..MEMBERS.len())]),
        _ => unmerge(who),
    }
}

/// Undoes all merges, from the ends of the chains.
async fn undo_all(shop: &Shop) {
    while let Some(number) = shop
        .value::<Option<String>>(
            "select max(m.member_no) from crm.member_merge g join crm.member m on m.member_id = g.from_member_id
            join crm.member o on o.member_id = g.into_member_id where g.undone_at is null and o.status <> 'merged'",
        )
        .await
    {
        shop.act(unmerge(&number)).await;
        shop.check_books().await;
    }
}

async fn history(version: Version, seed: u64) {
    let shop = Shop::open(version).await;
    shop.four_members().await;
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let shop = shop.oltp.clone();
            let mut random = StdRng::seed_from_u64(seed * 100 + task);
            tokio::spawn(async move {
                for step in 0..40 {
                    let command = random_command(&mut random);
                    let outcome = shop.run(&keyed(&format!("{task}-{step}")), &command).await;
                    if let Err(error) = outcome {
                        assert!(matches!(error.status(), 409 | 422), "seed {seed}: {error} of {command:?}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    shop.check_books().await;
    let merges: i64 = shop.value("select count(*) from crm.member_merge").await;
    assert!(merges > 3, "seed {seed}: hardly anything happened");
    undo_all(&shop).await;
    // All stand alone; then any merges, undone in the order of their ends, leave everything as it was.
    let before = shop.who_has_what().await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut story = String::new();
    for _ in 0..20 {
        let (from, into) = (random.random_range(0..MEMBERS.len()), random.random_range(0..MEMBERS.len()));
        if shop.run(&keyed(&uuid::Uuid::now_v7().to_string()), &merge(MEMBERS[from], MEMBERS[into])).await.is_ok() {
            write!(story, "{} into {}, ", MEMBERS[from], MEMBERS[into]).unwrap();
            shop.check_books().await;
        }
    }
    undo_all(&shop).await;
    assert_eq!(shop.who_has_what().await, before, "seed {seed}: {story}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_history_of_merges_leaves_everybody_their_own() {
    for seed in 1..=4 {
        history(Version::BOTH[seed as usize % 2], seed).await;
    }
}
