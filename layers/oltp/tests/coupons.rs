use crate::shop::{Shop, keyed, member, order, paid, product, sku, store, time};
use engine_postgres::Version;
use oltp::command::*;
use oltp::{Command, Done, Effect, OltpError};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

crate::on_both!(
    definitions_are_put_whole_and_end_once,
    issued_codes_are_secret_distinct_and_come_once,
    codes_are_brought_along_given_and_made_void,
    each_rule_has_its_reason,
    codes_stack_as_their_definitions_say,
    a_discount_is_divided_to_the_minor_unit,
    a_reservation_holds_a_code_for_its_time,
    an_order_and_its_codes_are_taken_together,
    a_code_comes_back_with_its_goods,
    redemptions_find_orders_that_come_later,
    of_sixteen_that_redeem_a_code_one_wins,
    a_budget_is_spent_to_the_last_and_never_over,
    limits_hold_whoever_runs_against_them,
    coupons_follow_a_merge_and_come_back,
    a_sweep_changes_no_decision,
);

/// A key that no other command has.
pub fn fresh() -> oltp::Context {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    keyed(&format!("coupon-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Ten per cent off everything, once for each code.
pub fn definition(code: &str) -> PutCouponDefinition {
    PutCouponDefinition {
        definition_code: code.to_owned(),
        title: format!("Definition {code}"),
        discount_type: "percent".to_owned(),
        percent_bp: Some(1000),
        ..PutCouponDefinition::default()
    }
}

/// Five dollars off everything by a code that anybody may know.
pub fn public(code: &str) -> PutCouponDefinition {
    PutCouponDefinition {
        kind: Some("public".to_owned()),
        discount_type: "amount".to_owned(),
        percent_bp: None,
        amount_minor: Some(500),
        currency: Some("USD".to_owned()),
        ..definition(code)
    }
}

pub fn cart(lines: &[(i32, &str, &str, i64)]) -> CartValue {
    let line = |(line_no, sku, quantity, price): &(i32, &str, &str, i64)| CartLineValue {
        line_no: *line_no,
        sku_code: (*sku).to_owned(),
        quantity: quantity.parse().unwrap(),
        unit_price_minor: *price,
        discount_minor: 0,
    };
    CartValue {
        member_no: Some("m1".to_owned()),
        store_code: Some("s1".to_owned()),
        channel: Some("pos".to_owned()),
        currency: "USD".to_owned(),
        lines: lines.iter().map(line).collect(),
        ..CartValue::default()
    }
}

/// Two `a` at 10.00 and one `b` at 5.50, as in the shop's orders.
pub fn usual() -> CartValue {
    cart(&[(1, "a", "2", 1000), (2, "b", "1", 550)])
}

pub fn web(order_no: &str) -> CouponOrderValue {
    CouponOrderValue { source: "web".to_owned(), order_no: order_no.to_owned() }
}

pub fn using(code: &str) -> RedemptionValue {
    RedemptionValue { code: code.to_owned(), ..RedemptionValue::default() }
}

fn codes(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

impl Shop {
    /// A definition with codes of it.
    pub async fn coupons(&self, put: PutCouponDefinition, list: &[&str]) {
        let definition_code = put.definition_code.clone();
        self.done(Command::CouponDefinition(put)).await;
        let issue = IssueCoupons { definition_code, codes: codes(list), ..IssueCoupons::default() };
        self.attempt(Command::CouponIssue(issue)).await.unwrap();
    }

    async fn validated(&self, list: &[&str], cart: CartValue) -> Value {
        let validate = ValidateCoupons { codes: codes(list), cart, order: None };
        self.done(Command::CouponValidate(validate)).await.result.unwrap()
    }

    /// Why a code is refused for a cart, both when asked and when used; empty if it is not.
    async fn reason(&self, code: &str, cart: CartValue) -> String {
        let told = self.validated(&[code], cart.clone()).await;
        let reason = told["codes"][0]["reason"].as_str().unwrap_or_default().to_owned();
        let reserve = ReserveCoupons { codes: codes(&[code]), cart, ..ReserveCoupons::default() };
        match self.attempt(Command::CouponReserve(reserve)).await {
            Ok(done) => {
                let reservation_id = done.id;
                self.attempt(Command::CouponRelease(ReleaseCoupons { reservation_id })).await.unwrap();
                assert_eq!(reason, "");
            }
            Err(error) => {
                assert_eq!((error.code(), error.pointer()), (&*format!("oltp.{reason}"), Some("/codes/0/code")));
            }
        }
        reason
    }

    async fn redeem(&self, code: &str, order_no: &str, cart: Option<CartValue>) -> Result<Done, OltpError> {
        self.attempt(Command::CouponRedeem(RedeemCoupons { codes: vec![using(code)], order: web(order_no), cart }))
            .await
    }

    async fn status(&self, code: &str) -> String {
        let sql = "select status from crm.coupon join crm.coupon_code using (coupon_id) where code_key";
        self.value(&format!("{sql} = '{code}'")).await
    }

    /// What follows from orders, as at the end of their transactions.
    async fn settle(&self) {
        let sql = "select crm.settle_coupons(array(select order_id from crm.sales_order))";
        self.client().await.unwrap().execute(sql, &[]).await.unwrap();
    }
}

async fn definitions_are_put_whole_and_end_once(version: Version) {
    let shop = Shop::open(version).await;
    let put = |at: &str, percent, status: &str| {
        Command::CouponDefinition(PutCouponDefinition {
            percent_bp: Some(percent),
            status: Some(status.to_owned()),
            source_updated_at: Some(time(at)),
            min_quantity: Some("1.5".parse().unwrap()),
            ..definition("d")
        })
    };
    for (command, effect) in [
        (put("2026-03-01T00:00:00Z", 1000, "active"), Effect::Created),
        (put("2026-03-01T00:00:00Z", 1000, "active"), Effect::Unchanged),
        (put("2026-03-03T00:00:00Z", 2000, "active"), Effect::Updated),
        (put("2026-03-02T00:00:00Z", 3000, "active"), Effect::Unchanged),
        (put("2026-03-04T00:00:00Z", 2000, "ended"), Effect::Updated),
    ] {
        assert_eq!(shop.done(command).await.effect, effect);
    }
    let error = shop.refused(put("2026-03-05T00:00:00Z", 2000, "active")).await;
    assert_eq!(error.code(), "oltp.coupon_definition_ended");
    let got = shop.get(oltp::Entity::COUPON_DEFINITION, "d", false).await.unwrap().unwrap();
    assert_eq!(
        (&got["percent_bp"], &got["uses_per_code"], &got["min_quantity"]),
        (&json!(2000), &json!(1), &json!("1.5"))
    );
    for (bad, pointer) in [
        (PutCouponDefinition { percent_bp: None, ..definition("x") }, "/percent_bp"),
        (PutCouponDefinition { budget_minor: Some(5), ..definition("x") }, "/currency"),
        (PutCouponDefinition { stacking: Some("group".to_owned()), ..definition("x") }, "/stack_group"),
        (PutCouponDefinition { amount_minor: Some(0), ..public("x") }, "/amount_minor"),
        (PutCouponDefinition { channels: codes(&["pos", "x"]), ..definition("x") }, "/channels/1"),
    ] {
        assert_eq!(shop.refused(Command::CouponDefinition(bad)).await.pointer(), Some(pointer));
    }
    shop.coupons(definition("k"), &["K1"]).await;
    let error =
        shop.refused(Command::CouponDefinition(PutCouponDefinition { amount_minor: Some(500), ..public("k") })).await;
    assert_eq!(error.code(), "oltp.coupon_definition_issued");
    shop.check_books().await;
}

async fn issued_codes_are_secret_distinct_and_come_once(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(Command::CouponDefinition(PutCouponDefinition { validity_days: Some(30), ..definition("d") })).await;
    let issue = Command::CouponIssue(IssueCoupons {
        definition_code: "d".to_owned(),
        count: Some(3000),
        prefix: Some("SPRING".to_owned()),
        ..IssueCoupons::default()
    });
    assert_eq!(shop.refused(issue.clone()).await.code(), "oltp.idempotency_key_required");
    let key = keyed("batch");
    let (first, again) = tokio::join!(shop.run(&key, &issue), shop.run(&key, &issue));
    let (first, again) = (first.unwrap().0, again.unwrap().0);
    assert_eq!((first.id, first.repeated != again.repeated), (again.id, true));
    assert_eq!(first.result.as_ref().unwrap()["codes"], 3000);
    assert_eq!(
        shop.value::<i64>("select count(*) from crm.coupon_code where code ~ '^SPRING-[0-9A-HJKMNP-TV-Z]{17}$'").await,
        3000
    );
    assert_eq!(shop.value::<i64>("select count(distinct code_key) from crm.coupon_code").await, 3000);
    let secret = "select count(*) from crm.coupon k join crm.coupon_code s using (coupon_id)
        where length(k.code_hint) = 4 and s.code like '%' || k.code_hint and to_jsonb(k)::text not like '%' || s.code || '%'
            and k.expires_at = k.issued_at + interval '30 days'";
    assert_eq!(shop.value::<i64>(secret).await, 3000);
    // The code is shown to those who may see it, page by page.
    let batch = first.id.to_string();
    let ask = oltp::Ask::parse(oltp::Entity::COUPON, [("batch", batch.as_str()), ("limit", "500")]).unwrap();
    let page = shop.list(&ask, true).await.unwrap();
    assert!(page.items.len() == 500 && page.next.is_some());
    assert!(page.items[0]["code"].as_str().unwrap().starts_with("SPRING-"));
    assert_eq!(shop.list(&ask, false).await.unwrap().items[0]["code"], Value::Null);
    shop.check_books().await;
}

async fn codes_are_brought_along_given_and_made_void(version: Version) {
    let shop = Shop::open(version).await;
    shop.coupons(definition("d"), &["Alpha-1", "beta"]).await;
    shop.coupons(public("p"), &["SPRING"]).await;
    let issue = |list: &[&str], members: &[&str]| {
        let (codes, members) = (codes(list), codes(members));
        Command::CouponIssue(IssueCoupons {
            definition_code: "d".to_owned(),
            codes,
            members,
            ..IssueCoupons::default()
        })
    };
    assert_eq!(shop.attempt(issue(&["new", "a1pha 1"], &[])).await.unwrap_err().pointer(), Some("/codes/1"));
    assert_eq!(shop.attempt(issue(&["x", "X"], &[])).await.unwrap_err().code(), "oltp.duplicate_code");
    assert_eq!(shop.attempt(issue(&[], &["m1", "m9"])).await.unwrap_err().pointer(), Some("/members/1"));
    assert_eq!(shop.attempt(issue(&[], &["m1", "m2"])).await.unwrap().result.unwrap()["codes"], 2);
    let generated = IssueCoupons { definition_code: "p".to_owned(), count: Some(1), ..IssueCoupons::default() };
    assert_eq!(shop.attempt(Command::CouponIssue(generated)).await.unwrap_err().code(), "oltp.coupon_public_code");
    assert_eq!(shop.value::<i64>("select count(*) from crm.coupon where code_hint = 'SPRING'").await, 1);

    let assign = |code: &str, member: &str| {
        Command::CouponAssign(AssignCoupon { code: code.to_owned(), member_no: member.to_owned() })
    };
    assert_eq!(shop.attempt(assign("ALPHA1", "m2")).await.unwrap().effect, Effect::Updated);
    assert_eq!(shop.attempt(assign("ALPHA1", "m2")).await.unwrap().effect, Effect::Unchanged);
    assert_eq!(shop.attempt(assign("ALPHA1", "m1")).await.unwrap_err().code(), "oltp.coupon_other_member");
    assert_eq!(shop.attempt(assign("SPRING", "m1")).await.unwrap_err().code(), "oltp.coupon_not_free");
    assert_eq!(shop.reason("alpha-1", usual()).await, "coupon_other_member");
    assert_eq!(shop.reason("alpha-1", CartValue { member_no: None, ..usual() }).await, "coupon_member_required");

    let void = |code: &str| Command::CouponVoid(VoidCoupons { code: Some(code.to_owned()), batch_id: None });
    for (code, effect) in [("beta", Effect::Updated), ("beta", Effect::Unchanged), ("spring", Effect::Updated)] {
        assert_eq!(shop.attempt(void(code)).await.unwrap().effect, effect);
    }
    assert_eq!(shop.reason("beta", usual()).await, "coupon_void");
    assert_eq!(shop.reason("spring", usual()).await, "coupon_void");
    let batch_id: uuid::Uuid =
        shop.value("select batch_id from crm.coupon where code_hint like '%PHA1' or status = 'issued' limit 1").await;
    let all = Command::CouponVoid(VoidCoupons { code: None, batch_id: Some(batch_id) });
    assert!(shop.attempt(all).await.unwrap().result.unwrap()["voided"].as_i64().unwrap() > 0);
    shop.check_books().await;
}

type Change = (fn(&mut PutCouponDefinition), fn(&mut CartValue), &'static str);

/// A change of the usual definition, a change of the usual cart, and what is said of the code then.
const RULES: &[Change] = &[
    (|_| {}, |_| {}, ""),
    (|d| d.status = Some("draft".to_owned()), |_| {}, "not_active"),
    (|d| d.status = Some("paused".to_owned()), |_| {}, "not_active"),
    (|d| d.valid_from = Some(time("2999-01-01T00:00:00Z")), |_| {}, "not_yet_valid"),
    (|d| d.min_spend_minor = Some(2551), |_| {}, "below_min_spend"),
    (|d| d.min_spend_minor = Some(2550), |_| {}, ""),
    (|d| d.min_quantity = Some("3.0001".parse().unwrap()), |_| {}, "below_min_quantity"),
    (|d| d.min_quantity = Some("3".parse().unwrap()), |_| {}, ""),
    (|d| d.members_only = true, |c| c.member_no = None, "member_required"),
    (|d| d.tier_codes = vec!["gold".to_owned()], |_| {}, "wrong_tier"),
    (|d| d.tier_codes = vec!["gold".to_owned()], |c| c.member_no = Some("m3".to_owned()), ""),
    (|d| d.first_order_only = true, |_| {}, ""),
    (|d| d.first_order_only = true, |c| c.member_no = Some("m3".to_owned()), "not_first_order"),
    (|d| d.store_codes = vec!["s2".to_owned()], |_| {}, "wrong_store"),
    (|d| d.store_codes = vec!["s2".to_owned()], |c| c.store_code = Some("s2".to_owned()), ""),
    (|d| d.channels = vec!["ecom".to_owned()], |_| {}, "wrong_channel"),
    (|d| d.currency = Some("EUR".to_owned()), |_| {}, "wrong_currency"),
    (|d| d.include.skus = vec!["c".to_owned()], |_| {}, "no_eligible_lines"),
    (|d| d.include.products = vec!["b".to_owned()], |_| {}, ""),
    (|d| d.include.categories = vec!["tea".to_owned()], |c| c.lines[0].sku_code = "t".to_owned(), ""),
    (|d| d.exclude.brands = vec!["Leaf".to_owned()], |c| *c = cart(&[(1, "t", "1", 100)]), "no_eligible_lines"),
    (|d| d.exclude.skus = vec!["a".to_owned(), "b".to_owned()], |_| {}, "no_eligible_lines"),
    (|_| {}, |c| c.lines.iter_mut().for_each(|line| line.unit_price_minor = 0), "no_discount"),
    (|d| (d.discount_type, d.percent_bp) = ("shipping".to_owned(), None), |_| {}, "no_discount"),
    (|d| (d.discount_type, d.percent_bp) = ("shipping".to_owned(), None), |c| c.shipping_minor = 490, ""),
    (|d| d.budget_minor = Some(254), |_| {}, "budget_spent"),
    (|d| d.budget_minor = Some(255), |_| {}, ""),
];

async fn each_rule_has_its_reason(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(Command::Store(store("s2"))).await;
    let tea = PutProduct { category: Some("tea".to_owned()), brand: Some("Leaf".to_owned()), ..product("t") };
    shop.done(Command::Product(tea)).await;
    shop.done(Command::Sku(sku("t"))).await;
    shop.done(Command::Member(PutMember { tier_code: Some("gold".to_owned()), ..member("m3") })).await;
    shop.put(PutOrder { member_no: Some("m3".to_owned()), ..order("1") }).await;
    for (n, (change, other, reason)) in RULES.iter().enumerate() {
        let mut put = definition(&format!("d{n}"));
        put.currency = Some("USD".to_owned());
        let mut cart = usual();
        change(&mut put);
        other(&mut cart);
        shop.coupons(put, &[&format!("code{n}")]).await;
        let told = shop.reason(&format!("code{n}"), cart).await;
        assert_eq!(told.trim_start_matches("coupon_"), *reason, "rule {n}");
    }
    assert_eq!(shop.reason("nothing", usual()).await, "coupon_unknown_code");
    let twice = shop.validated(&["code0", "CODE-0"], usual()).await;
    assert_eq!(twice["codes"][1]["reason"], "coupon_duplicate_code");
    let mut over = definition("over");
    over.valid_to = Some(time("2026-01-01T00:00:00Z"));
    shop.done(Command::CouponDefinition(PutCouponDefinition { valid_to: None, ..over.clone() })).await;
    shop.coupons(PutCouponDefinition { valid_to: None, ..over.clone() }, &["over"]).await;
    shop.done(Command::CouponDefinition(over)).await;
    assert_eq!(shop.reason("over", usual()).await, "coupon_expired");
    let limited = PutCouponDefinition { per_member_limit: Some(1), global_limit: Some(2), ..definition("lim") };
    shop.coupons(limited, &["l1", "l2", "l3", "l4"]).await;
    shop.redeem("l1", "1", Some(usual())).await.unwrap();
    assert_eq!(shop.reason("l1", usual()).await, "coupon_already_redeemed");
    assert_eq!(shop.reason("l2", usual()).await, "coupon_per_member_limit");
    let other = CartValue { member_no: Some("m2".to_owned()), ..usual() };
    shop.redeem("l2", "2", Some(other.clone())).await.unwrap();
    assert_eq!(
        shop.reason("l3", CartValue { member_no: Some("m3".to_owned()), ..usual() }).await,
        "coupon_global_limit"
    );
    shop.check_books().await;
}

async fn codes_stack_as_their_definitions_say(version: Version) {
    let shop = Shop::open(version).await;
    let with = |code: &str, priority, stacking: &str, group: Option<&str>| PutCouponDefinition {
        priority: Some(priority),
        stacking: Some(stacking.to_owned()),
        stack_group: group.map(str::to_owned),
        ..definition(code)
    };
    shop.coupons(with("free", 10, "free", None), &["free"]).await;
    shop.coupons(with("g1", 20, "group", Some("g")), &["g1"]).await;
    shop.coupons(with("g2", 30, "group", Some("g")), &["g2"]).await;
    shop.coupons(with("alone", 40, "exclusive", None), &["alone"]).await;
    let reasons = async |list: &[&str]| {
        let told = shop.validated(list, usual()).await;
        let all = told["codes"].as_array().unwrap().iter();
        all.map(|code| code["reason"].as_str().unwrap_or("").trim_start_matches("coupon_").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(reasons(&["alone"]).await, [""]);
    assert_eq!(reasons(&["alone", "g2", "g1", "free"]).await, ["not_stackable", "stack_group_taken", "", ""]);
    // By priority, not by the order in which they are named: 10 % of 25.50 is 2.55, of the rest 2.295.
    let told = shop.validated(&["g1", "free"], usual()).await;
    assert_eq!((&told["codes"][0]["discount_minor"], &told["codes"][1]["discount_minor"]), (&json!(230), &json!(255)));
    assert_eq!((&told["discount_minor"], &told["valid"]), (&json!(485), &json!(true)));
}

async fn a_discount_is_divided_to_the_minor_unit(version: Version) {
    let shop = Shop::open(version).await;
    shop.coupons(public("five"), &["FIVE"]).await;
    let told = shop.validated(&["FIVE"], cart(&[(3, "a", "1", 333), (1, "b", "1", 333), (2, "c", "1", 333)])).await;
    let lines = json!([{"line_no": 1, "discount_minor": 167}, {"line_no": 2, "discount_minor": 167}, {"line_no": 3, "discount_minor": 166}]);
    assert_eq!(told["lines"], lines);
    // Never more than the goods cost.
    let small = shop.validated(&["FIVE"], cart(&[(1, "a", "1", 7), (2, "b", "0", 5)])).await;
    assert_eq!((&small["discount_minor"], &small["lines"]), (&json!(7), &json!([{"line_no": 1, "discount_minor": 7}])));
    let most = PutCouponDefinition {
        percent_bp: Some(3333),
        max_discount_minor: Some(400),
        currency: Some("USD".to_owned()),
        ..definition("most")
    };
    shop.coupons(most, &["MOST"]).await;
    assert_eq!(shop.validated(&["MOST"], cart(&[(1, "a", "1", 1001)])).await["discount_minor"], 334);
    assert_eq!(shop.validated(&["MOST"], usual()).await["discount_minor"], 400);
}

async fn a_reservation_holds_a_code_for_its_time(version: Version) {
    let shop = Shop::open(version).await;
    let limited = PutCouponDefinition { global_limit: Some(1), ..definition("d") };
    shop.coupons(limited, &["one", "two"]).await;
    let reserve = |code: &str, no: &str| {
        let (codes, order) = (codes(&[code]), Some(web(no)));
        Command::CouponReserve(ReserveCoupons { codes, order, cart: usual(), ..ReserveCoupons::default() })
    };
    let first = shop.attempt(reserve("one", "1")).await.unwrap();
    assert_eq!(first.result.as_ref().unwrap()["discount_minor"], 255);
    assert_eq!(shop.attempt(reserve("one", "2")).await.unwrap_err().code(), "oltp.coupon_reserved");
    assert_eq!(shop.attempt(reserve("two", "2")).await.unwrap_err().code(), "oltp.coupon_global_limit");
    // The same checkout may hold it on, and change its mind about nothing else.
    let longer = shop.attempt(reserve("one", "1")).await.unwrap();
    assert_ne!(longer.id, first.id);
    assert_eq!(shop.status("0NE").await, "reserved");
    shop.check_books().await;
    let release = Command::CouponRelease(ReleaseCoupons { reservation_id: longer.id });
    assert_eq!(shop.attempt(release.clone()).await.unwrap().effect, Effect::Updated);
    assert_eq!(shop.attempt(release).await.unwrap().effect, Effect::Unchanged);
    let unknown = Command::CouponRelease(ReleaseCoupons { reservation_id: uuid::Uuid::now_v7() });
    assert_eq!(shop.attempt(unknown).await.unwrap_err().code(), "oltp.unknown_reservation");
    shop.check_books().await;

    // Its time over, it holds nothing, neither the code nor the limit, though nobody swept.
    shop.attempt(reserve("one", "1")).await.unwrap();
    shop.client().await.unwrap().execute("update crm.coupon_redemption set reserved_until = now()", &[]).await.unwrap();
    assert_eq!(shop.reason("one", usual()).await, "");
    shop.attempt(reserve("one", "3")).await.unwrap();
    shop.client().await.unwrap().execute("update crm.coupon_redemption set reserved_until = now()", &[]).await.unwrap();
    shop.redeem("two", "4", Some(usual())).await.unwrap();
    assert_eq!((shop.status("0NE").await, shop.status("TW0").await), ("issued".to_owned(), "redeemed".to_owned()));
    shop.check_books().await;
    // A reservation becomes a redemption, for its order or for whoever knows its id.
    shop.coupons(definition("e"), &["three", "four"]).await;
    shop.attempt(reserve("three", "5")).await.unwrap();
    shop.redeem("three", "5", Some(usual())).await.unwrap();
    let held = shop.attempt(reserve("four", "6")).await.unwrap();
    let other = RedeemCoupons {
        codes: vec![RedemptionValue { reservation_id: Some(held.id), ..using("four") }],
        order: web("7"),
        cart: Some(usual()),
    };
    shop.attempt(Command::CouponRedeem(other)).await.unwrap();
    assert_eq!(shop.status("F0UR").await, "redeemed");
    shop.check_books().await;
}

/// The shop's usual order with three dollars off, and codes that gave them.
fn with_codes(number: &str, uses: Vec<RedemptionValue>) -> PutOrder {
    let mut put = order(number);
    put.lines[0].discount_minor = 300;
    put.payments = vec![paid(1, 2250)];
    put.redemptions = uses;
    put
}

async fn an_order_and_its_codes_are_taken_together(version: Version) {
    let shop = Shop::open(version).await;
    shop.coupons(definition("d"), &["c1", "c2", "c3"]).await;
    let done = shop.put(with_codes("1", vec![using("c1")])).await;
    assert_eq!((done.effect, &done.result.unwrap()["discount_minor"]), (Effect::Created, &json!(255)));
    // Again, as webhooks come: nothing new.
    let again = shop.put(with_codes("1", vec![using("c1")])).await;
    assert_eq!((again.effect, again.result.unwrap()["discount_minor"].as_i64()), (Effect::Unchanged, Some(255)));
    assert_eq!(shop.value::<i64>("select count(*) from crm.coupon_redemption").await, 1);
    assert_eq!(shop.points("m1").await, 22);

    let refused = shop.refused(Command::Order(with_codes("2", vec![using("c2"), using("c1")]))).await;
    assert_eq!((refused.code(), refused.pointer()), ("oltp.coupon_already_redeemed", Some("/redemptions/1/code")));
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_order").await, 1);
    let much = RedemptionValue { discount_minor: Some(256), ..using("c2") };
    assert_eq!(shop.refused(Command::Order(with_codes("2", vec![much]))).await.code(), "oltp.coupon_discount_too_high");
    let none = PutOrder { redemptions: vec![using("c2")], ..order("2") };
    assert_eq!(shop.refused(Command::Order(none)).await.code(), "oltp.coupon_discount_not_in_order");
    // In one batch a bad one harms no other.
    let items =
        [with_codes("3", vec![using("c2")]), with_codes("4", vec![using("c2")]), with_codes("5", vec![using("c3")])];
    let items = items.into_iter().map(|put| (fresh(), Command::Order(put))).collect();
    let (outcomes, _) = shop.run_batch(items).await.unwrap();
    let told: Vec<_> = outcomes.iter().map(|o| o.as_ref().map(|done| done.effect).map_err(OltpError::code)).collect();
    assert_eq!(told, [Ok(Effect::Created), Err("oltp.coupon_already_redeemed"), Ok(Effect::Created)]);
    shop.check_books().await;
}

async fn a_code_comes_back_with_its_goods(version: Version) {
    let shop = Shop::open(version).await;
    shop.coupons(definition("back"), &["c1", "c2"]).await;
    shop.coupons(PutCouponDefinition { restore_on_return: Some(false), ..definition("gone") }, &["g1"]).await;
    shop.put(with_codes("1", vec![using("c1"), RedemptionValue { discount_minor: Some(45), ..using("g1") }])).await;
    shop.put(PutOrder { status: Some("cancelled".to_owned()), ..with_codes("1", vec![using("c1")]) }).await;
    shop.settle().await;
    assert_eq!((shop.status("C1").await, shop.status("G1").await), ("issued".to_owned(), "redeemed".to_owned()));
    // A part of the goods is not enough.
    shop.put(with_codes("2", vec![using("c1")])).await;
    shop.done(Command::Return(crate::shop::giving_back("r1", "2", &[(1, "2")]))).await;
    shop.settle().await;
    assert_eq!(shop.status("C1").await, "redeemed");
    shop.done(Command::Return(crate::shop::giving_back("r2", "2", &[(2, "1")]))).await;
    shop.settle().await;
    assert_eq!(shop.status("C1").await, "issued");
    // The order comes again, as they do, and does not use it again.
    shop.put(with_codes("2", vec![using("c1")])).await;
    assert_eq!(shop.status("C1").await, "issued");
    shop.redeem("c2", "3", Some(usual())).await.unwrap();
    let back = Command::CouponRollback(RollbackCoupons { order: Some(web("3")), redemption_id: None });
    assert_eq!(shop.attempt(back.clone()).await.unwrap().result.unwrap()["rolled_back"], 1);
    assert_eq!(shop.attempt(back).await.unwrap().effect, Effect::Unchanged);
    assert_eq!(shop.status("C2").await, "issued");
    shop.check_books().await;
}

async fn redemptions_find_orders_that_come_later(version: Version) {
    let shop = Shop::open(version).await;
    shop.coupons(definition("d"), &["c1", "c2"]).await;
    assert_eq!(shop.redeem("c1", "1", None).await.unwrap_err().code(), "oltp.unknown_order");
    shop.redeem("c1", "1", Some(CartValue { member_no: None, ..usual() })).await.unwrap();
    let mut put = PutOrder { source: "web".to_owned(), ..order("1") };
    put.lines[1].discount_minor = 300;
    put.payments.clear();
    shop.put(put).await;
    shop.settle().await;
    let owner = "select count(*) from crm.coupon_redemption r join crm.sales_order o using (order_id) where r.member_id = o.member_id";
    assert_eq!(shop.value::<i64>(owner).await, 1);
    // Of the order's three dollars 2.55 are accounted for.
    let rest = shop.redeem("c2", "1", None).await.unwrap().result.unwrap();
    assert_eq!(rest["discount_minor"], 45);
    shop.check_books().await;
}

/// How many of sixteen tasks succeed with `f(task)`.
async fn sixteen<F: Future<Output = usize> + Send + 'static>(shop: &Shop, f: impl Fn(oltp::Oltp, usize) -> F) -> usize {
    let tasks: Vec<_> = (0..16).map(|task| tokio::spawn(f(shop.oltp.clone(), task))).collect();
    let mut won = 0;
    for task in tasks {
        won += task.await.unwrap();
    }
    won
}

async fn redeem_many(oltp: oltp::Oltp, code: &str, task: usize, times: usize, member: Option<&str>) -> usize {
    let mut won = 0;
    for n in 0..times {
        let cart = CartValue { member_no: member.map(str::to_owned), ..usual() };
        let order = web(&format!("{task}-{n}"));
        let redeem = RedeemCoupons { codes: vec![using(code)], order, cart: Some(cart) };
        match oltp.run(&fresh(), &Command::CouponRedeem(redeem)).await {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error.status(), 409, "{error}"),
        }
    }
    won
}

async fn of_sixteen_that_redeem_a_code_one_wins(version: Version) {
    let shop = Shop::open(version).await;
    shop.coupons(definition("d"), &["c1", "c2"]).await;
    assert_eq!(sixteen(&shop, |oltp, task| async move { redeem_many(oltp, "c1", task, 1, None).await }).await, 1);
    let orders = sixteen(&shop, |oltp, task| async move {
        let put = with_codes(&task.to_string(), vec![using("c2")]);
        usize::from(oltp.run(&fresh(), &Command::Order(put)).await.is_ok())
    });
    assert_eq!(orders.await, 1);
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_order").await, 1);
    shop.check_books().await;
}

async fn a_budget_is_spent_to_the_last_and_never_over(version: Version) {
    let shop = Shop::open(version).await;
    let budget = PutCouponDefinition { budget_minor: Some(20_300), global_limit: Some(1000), ..public("p") };
    shop.coupons(budget.clone(), &["FIVE"]).await;
    let won = sixteen(&shop, |oltp, task| async move { redeem_many(oltp, "FIVE", task, 4, None).await }).await;
    assert_eq!(won, 40);
    assert_eq!(shop.value::<i64>("select sum(money_left)::bigint from crm.coupon_allowance").await, 300);
    shop.check_books().await;
    // More budget while the codes are in use; less than what was spent takes no more.
    shop.done(Command::CouponDefinition(PutCouponDefinition { budget_minor: Some(20_700), ..budget.clone() })).await;
    assert_eq!(shop.redeem("FIVE", "more", Some(usual())).await.unwrap().result.unwrap()["discount_minor"], 500);
    assert_eq!(shop.redeem("FIVE", "none", Some(usual())).await.unwrap_err().code(), "oltp.coupon_budget_spent");
    shop.done(Command::CouponDefinition(PutCouponDefinition { budget_minor: Some(1000), ..budget })).await;
    shop.attempt(Command::CouponRollback(RollbackCoupons { order: Some(web("more")), redemption_id: None }))
        .await
        .unwrap();
    assert_eq!(shop.reason("FIVE", usual()).await, "coupon_budget_spent");
    shop.check_books().await;
}

async fn limits_hold_whoever_runs_against_them(version: Version) {
    let shop = Shop::open(version).await;
    shop.coupons(PutCouponDefinition { global_limit: Some(70), ..public("g") }, &["GLOBAL"]).await;
    shop.coupons(PutCouponDefinition { per_member_limit: Some(3), ..public("m") }, &["MEMBER"]).await;
    shop.coupons(PutCouponDefinition { uses_per_code: Some(5), ..public("u") }, &["USES"]).await;
    assert_eq!(sixteen(&shop, |oltp, task| async move { redeem_many(oltp, "GLOBAL", task, 5, None).await }).await, 70);
    assert_eq!(
        sixteen(&shop, |oltp, task| async move { redeem_many(oltp, "MEMBER", task, 1, Some("m1")).await }).await,
        3
    );
    assert_eq!(sixteen(&shop, |oltp, task| async move { redeem_many(oltp, "USES", task, 1, None).await }).await, 5);
    shop.coupons(PutCouponDefinition { first_order_only: true, ..public("f") }, &["FIRST"]).await;
    let orders = sixteen(&shop, |oltp, task| async move {
        let put = PutOrder { member_no: Some("m2".to_owned()), ..with_codes(&task.to_string(), vec![using("first")]) };
        usize::from(oltp.run(&fresh(), &Command::Order(put)).await.is_ok())
    });
    assert_eq!(orders.await, 1);
    shop.check_books().await;
}

async fn coupons_follow_a_merge_and_come_back(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(Command::CouponDefinition(definition("d"))).await;
    let members = codes(&["m1", "m1", "m2"]);
    let issue = IssueCoupons { definition_code: "d".to_owned(), members, ..IssueCoupons::default() };
    shop.attempt(Command::CouponIssue(issue)).await.unwrap();
    let code: String = shop.value("select s.code from crm.coupon_code s join crm.coupon using (coupon_id) join crm.member m using (member_id) where member_no = 'm1' limit 1").await;
    shop.redeem(&code, "1", Some(usual())).await.unwrap();
    let counts = "select string_agg(member_no || coupons || uses, ' ' order by member_no) from (select m.member_no,
        (select count(*) from crm.coupon k where k.member_id = m.member_id) coupons,
        (select count(*) from crm.coupon_redemption r where r.member_id = m.member_id) uses from crm.member m) x";
    assert_eq!(shop.value::<String>(counts).await, "m121 m210");
    let merge = "select crm.move_coupons((select member_id from crm.member where member_no = 'm1'),
        (select member_id from crm.member where member_no = 'm2'), '00000000-0000-7000-8000-000000000001')";
    let client = shop.client().await.unwrap();
    client.execute(merge, &[]).await.unwrap();
    assert_eq!(shop.value::<String>(counts).await, "m100 m231");
    client.execute("select crm.unmove_coupons('00000000-0000-7000-8000-000000000001')", &[]).await.unwrap();
    assert_eq!(shop.value::<String>(counts).await, "m121 m210");
    shop.check_books().await;
}

async fn a_sweep_changes_no_decision(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(Command::CouponDefinition(PutCouponDefinition { validity_days: Some(1), ..definition("d") })).await;
    let issue =
        IssueCoupons { definition_code: "d".to_owned(), codes: codes(&["c1", "c2", "c3"]), ..IssueCoupons::default() };
    shop.attempt(Command::CouponIssue(issue)).await.unwrap();
    let reserve = ReserveCoupons { codes: codes(&["c2"]), cart: usual(), ..ReserveCoupons::default() };
    shop.attempt(Command::CouponReserve(reserve)).await.unwrap();
    let client = shop.client().await.unwrap();
    client
        .execute(
            "update crm.coupon set issued_at = now() - interval '2 days', expires_at = now() - interval '1 hour'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(shop.reason("c1", usual()).await, "coupon_expired");
    let swept: i64 = client.query_one("select crm.sweep_coupons(now(), 100)", &[]).await.unwrap().get(0);
    assert_eq!(
        (swept, shop.status("C1").await, shop.status("C2").await),
        (2, "expired".to_owned(), "reserved".to_owned())
    );
    assert_eq!(shop.reason("c1", usual()).await, "coupon_expired");
    // A till that was cut off tells of an order from before.
    let early = PutOrder {
        placed_at: jiff::Timestamp::now() - jiff::SignedDuration::from_hours(3),
        ..with_codes("1", vec![using("c1")])
    };
    shop.put(early).await;
    assert_eq!(shop.status("C1").await, "redeemed");
    let late = PutOrder { placed_at: jiff::Timestamp::now(), ..with_codes("2", vec![using("c3")]) };
    assert_eq!(shop.refused(Command::Order(late)).await.code(), "oltp.coupon_expired");
    let swept: i64 =
        client.query_one("select crm.sweep_coupons(now() + interval '1 day', 100)", &[]).await.unwrap().get(0);
    assert_eq!((swept, shop.status("C2").await), (2, "expired".to_owned()));
    shop.check_books().await;
}
