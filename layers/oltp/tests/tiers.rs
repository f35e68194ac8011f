use crate::shop::{Shop, giving_back, line, member, order, paid, time};
use engine_postgres::Version;
use jiff::{SignedDuration, Timestamp};
use oltp::command::{PutMember, PutOrder, PutTier, SetMemberTier};
use oltp::{Command, Effect, Entity};
use serde_json::Value;

crate::on_both!(
    orders_lift_at_once_and_only_time_lowers,
    periods_and_bases_count_as_they_say,
    a_tier_from_outside_holds_for_its_time,
    definitions_are_checked,
);

fn tier(code: &str, rank: i32, threshold: i64) -> PutTier {
    PutTier {
        tier_code: code.to_owned(),
        name: code.to_owned(),
        rank,
        basis: "spend".to_owned(),
        threshold,
        currency: Some("USD".to_owned()),
        period: "rolling".to_owned(),
        period_days: Some(100),
        grace_days: Some(10),
        active: None,
    }
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// An order of `m1` some days ago.
fn bought(number: &str, net: i64, days_ago: i64) -> PutOrder {
    PutOrder {
        placed_at: Timestamp::now() - days(days_ago),
        lines: vec![line(1, "a", "1", net)],
        payments: vec![paid(1, net)],
        ..order(number)
    }
}

impl Shop {
    async fn member_now(&self) -> Value {
        self.get(Entity::MEMBER, "m1", false).await.unwrap().unwrap()
    }

    async fn tier_now(&self) -> Option<String> {
        self.member_now().await["tier_code"].as_str().map(str::to_owned)
    }

    /// In how many days the tier ends.
    async fn tier_ends(&self) -> i64 {
        let ends = time(self.member_now().await["tier_valid_to"].as_str().unwrap());
        // Some seconds have passed since the order.
        ((ends - Timestamp::now()).total(jiff::Unit::Hour).unwrap() / 24.0).round() as i64
    }

    async fn tier_history(&self) -> String {
        self.value(
            "select string_agg(coalesce(from_tier_code, '-') || '>' || coalesce(tier_code, '-') || ' ' || reason, ', '
                order by member_tier_id) from crm.member_tier",
        )
        .await
    }
}

async fn orders_lift_at_once_and_only_time_lowers(version: Version) {
    let shop = Shop::open(version).await;
    for put in [tier("silver", 1, 10_000), tier("gold", 2, 30_000)] {
        assert_eq!(shop.done(Command::Tier(put)).await.effect, Effect::Created);
    }
    shop.put(bought("1", 9_999, 0)).await;
    assert_eq!(shop.tier_now().await, None);
    shop.put(bought("2", 1, 40)).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("silver"));
    // The window is as old as the oldest order that is needed.
    assert_eq!(shop.tier_ends().await, 100 - 40 + 10);
    shop.put(bought("3", 20_000, 30)).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("gold"));
    assert_eq!(shop.tier_ends().await, 100 - 40 + 10);
    shop.put(bought("4", 10, 1)).await;
    assert_eq!(shop.tier_ends().await, 100 - 30 + 10);
    // Goods that come back take no tier that was reached; the end does not come nearer either.
    shop.done(Command::Return(giving_back("r1", "3", &[(1, "1")]))).await;
    assert_eq!((shop.tier_now().await.as_deref(), shop.tier_ends().await), (Some("gold"), 80));
    let now = Timestamp::now();
    assert_eq!(shop.sweep(oltp::Due::Tiers, now + days(79), 10).await.unwrap(), 0);
    // Then the money that stayed counts: from yesterday on there is enough for silver.
    assert_eq!(shop.sweep(oltp::Due::Tiers, now + days(81), 10).await.unwrap(), 1);
    assert_eq!((shop.tier_now().await.as_deref(), shop.tier_ends().await), (Some("silver"), 100 - 1 + 10));
    assert_eq!(shop.sweep(oltp::Due::Tiers, now + days(111), 10).await.unwrap(), 1);
    assert_eq!(shop.tier_now().await, None);
    assert_eq!(shop.sweep(oltp::Due::Tiers, now + days(9999), 10).await.unwrap(), 0);
    assert_eq!(shop.tier_history().await, "->silver reached, silver>gold reached, gold>silver lapsed, silver>- lapsed");
    shop.check_books().await;
}

async fn periods_and_bases_count_as_they_say(version: Version) {
    let shop = Shop::open(version).await;
    let year = |code: &str, rank, basis: &str, threshold, period: &str| PutTier {
        basis: basis.to_owned(),
        currency: None,
        period: period.to_owned(),
        period_days: None,
        grace_days: None,
        ..tier(code, rank, threshold)
    };
    for put in [
        year("often", 1, "orders", 3, "anniversary"),
        year("points", 2, "points", 500, "calendar"),
        PutTier { currency: Some("EUR".to_owned()), ..tier("euro", 3, 1) },
    ] {
        shop.done(Command::Tier(put)).await;
    }
    let joined = Timestamp::now() - days(370);
    shop.done(Command::Member(PutMember { enrolled_at: Some(joined), ..member("m1") })).await;
    // Two in the first year and two in the second: three within one of them.
    for (number, ago) in [("1", 369), ("2", 368), ("3", 2), ("4", 1)] {
        shop.put(bought(number, 100, ago)).await;
    }
    assert_eq!(shop.tier_now().await, None);
    shop.put(bought("5", 100, 0)).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("often"));
    let left = shop.tier_ends().await;
    assert!((359..=362).contains(&left), "{left}");
    // An order that gives everything back counts for none, one that is not bought for none.
    shop.put(PutOrder { status: Some("pending".to_owned()), ..bought("6", 99_000, 0) }).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("often"));
    shop.put(bought("7", 50_000, 0)).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("points"));
    let ends: bool = shop
        .value(
            "select tier_valid_to = (date_trunc('year', now() at time zone 'UTC') + interval '1 year') at time zone 'UTC'
            from crm.member where member_no = 'm1'",
        )
        .await;
    assert!(ends, "a calendar year ends with the year");
    shop.check_books().await;
}

async fn a_tier_from_outside_holds_for_its_time(version: Version) {
    let shop = Shop::open(version).await;
    // Without definitions it is a word that the caller keeps.
    shop.done(Command::Member(PutMember { tier_code: Some("friend".to_owned()), ..member("m1") })).await;
    shop.put(bought("1", 50_000, 0)).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("friend"));
    shop.done(Command::Tier(tier("silver", 1, 10_000))).await;
    shop.done(Command::Tier(tier("gold", 2, 90_000))).await;
    shop.put(bought("2", 1, 0)).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("friend"));
    let set = |code: Option<&str>, until: Option<Timestamp>| {
        Command::MemberTier(SetMemberTier { member_no: "m1".to_owned(), tier_code: code.map(str::to_owned), until })
    };
    let now = Timestamp::now();
    assert_eq!(shop.act(set(Some("gold"), Some(now + days(5)))).await.effect, Effect::Updated);
    shop.put(bought("3", 1, 0)).await;
    assert_eq!(shop.tier_now().await.as_deref(), Some("gold"));
    // Whoever repeats what we say does not say it.
    shop.done(Command::Member(PutMember { tier_code: Some("gold".to_owned()), ..member("m1") })).await;
    assert_eq!(shop.sweep(oltp::Due::Tiers, now + days(4), 10).await.unwrap(), 0);
    assert_eq!(shop.sweep(oltp::Due::Tiers, now + days(6), 10).await.unwrap(), 1);
    assert_eq!(shop.tier_now().await.as_deref(), Some("silver"));
    shop.act(set(Some("gold"), None)).await;
    let back = shop.act(set(None, None)).await;
    assert_eq!(back.result.unwrap()["tier_code"], "silver");
    assert_eq!(
        shop.tier_history().await,
        "->friend manual, friend>gold manual, gold>silver lapsed, silver>gold manual, gold>silver manual"
    );
    assert_eq!(shop.cannot(set(Some("none"), None)).await, "oltp.unknown_tier");
    assert_eq!(shop.cannot(set(Some("gold"), Some(now - days(1)))).await, "oltp.out_of_range");
    assert_eq!(shop.cannot(set(None, Some(now + days(1)))).await, "oltp.invalid_value");
    shop.check_books().await;
}

async fn definitions_are_checked(version: Version) {
    let shop = Shop::empty(version).await;
    shop.done(Command::Tier(tier("silver", 1, 10_000))).await;
    assert_eq!(shop.done(Command::Tier(tier("silver", 1, 10_000))).await.effect, Effect::Unchanged);
    assert_eq!(shop.done(Command::Tier(tier("silver", 1, 20_000))).await.effect, Effect::Updated);
    assert_eq!(shop.refused(Command::Tier(tier("gold", 1, 1))).await.code(), "oltp.tier_rank_taken");
    shop.done(Command::Tier(PutTier { active: Some(false), ..tier("gold", 1, 1) })).await;
    for (pointer, put) in [
        ("/rank", tier("x", 0, 1)),
        ("/threshold", tier("x", 3, 0)),
        ("/currency", PutTier { currency: None, ..tier("x", 3, 1) }),
        ("/currency", PutTier { basis: "orders".to_owned(), ..tier("x", 3, 1) }),
        ("/currency", PutTier { currency: Some("usd".to_owned()), ..tier("x", 3, 1) }),
        ("/period", PutTier { period: "month".to_owned(), ..tier("x", 3, 1) }),
        ("/period_days", PutTier { period_days: None, ..tier("x", 3, 1) }),
        ("/period_days", PutTier { period: "calendar".to_owned(), ..tier("x", 3, 1) }),
        ("/period_days", PutTier { period_days: Some(0), ..tier("x", 3, 1) }),
        ("/grace_days", PutTier { grace_days: Some(-1), ..tier("x", 3, 1) }),
    ] {
        assert_eq!(shop.refused(Command::Tier(put)).await.pointer(), Some(pointer));
    }
    let read = shop.get(Entity::TIER, "silver", false).await.unwrap().unwrap();
    assert_eq!(read["threshold"], 20_000);
}
