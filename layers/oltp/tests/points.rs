//! Points by command: lots that expire first in, first out, reservations, debts, transfers, and what time does to all of it.

use crate::shop::{MORNING, Shop, act, context, giving_back, keyed, line, member, order, paid, time};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use jiff::{SignedDuration, Timestamp};
use model::IdentityKind;
use oltp::command::*;
use oltp::{Command, Done, Effect, Entity};
use serde_json::{Value, json};
use uuid::Uuid;

crate::on_both!(
    what_expires_first_is_spent_first,
    what_comes_back_goes_where_it_came_from,
    a_reservation_is_captured_in_part_released_or_timed_out,
    what_goes_back_after_it_was_spent_is_owed,
    points_wait_and_then_count,
    points_of_orders_expire,
    a_transfer_keeps_dates_and_limits,
    commands_that_cannot_be_are_refused,
    points_are_spent_once,
    orders_go_by_the_rule_of_their_time,
    the_report_says_what_is_owed,
    balances_move_by_the_ledger_only,
    a_merge_is_undone,
);

/// What a member has: spendable, pending, reserved, owed.
fn has(done: &Done) -> (i64, i64, i64, i64) {
    four(done.result.as_ref().unwrap())
}

fn four(balances: &Value) -> (i64, i64, i64, i64) {
    let of = |name: &str| balances[name].as_i64().unwrap();
    (of("spendable"), of("pending"), of("reserved"), of("owed"))
}

async fn now_has(shop: &Shop, member: &str) -> (i64, i64, i64, i64) {
    let member = shop.get(Entity::MEMBER, member, false).await.unwrap().unwrap();
    assert_eq!(member["points"], member["points_balances"]["spendable"]);
    four(&member["points_balances"])
}

fn days(days: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(24 * days)
}

pub fn earn(member: &str, points: i64, expires_at: Option<Timestamp>) -> Command {
    Command::PointsEarn(EarnPoints { member: MemberName::number(member), points, expires_at, ..EarnPoints::default() })
}

pub fn burn(member: &str, points: i64) -> Command {
    Command::PointsBurn(BurnPoints { member: MemberName::number(member), points, ..BurnPoints::default() })
}

pub fn reserve(member: &str, points: i64) -> Command {
    Command::PointsReserve(ReservePoints {
        member: MemberName::number(member),
        points,
        hold_s: Some(3600),
        ..ReservePoints::default()
    })
}

pub fn capture(reservation_id: Uuid, points: Option<i64>) -> Command {
    Command::PointsCapture(CapturePoints { reservation_id, points, reference: None })
}

pub fn release(reservation_id: Uuid) -> Command {
    Command::PointsRelease(ReleasePoints { reservation_id })
}

pub fn refund(entry_id: Uuid, points: Option<i64>) -> Command {
    Command::PointsRefund(RefundPoints { entry_id, points, ..RefundPoints::default() })
}

pub fn transfer(from: &str, to: &str, points: i64) -> Command {
    Command::PointsTransfer(TransferPoints {
        member: MemberName::number(from),
        to: MemberName::number(to),
        points,
        ..TransferPoints::default()
    })
}

pub fn adjust(member: &str, points: i64) -> Command {
    Command::PointsAdjust(AdjustPoints {
        member: MemberName::number(member),
        points,
        reason: "by hand".to_owned(),
        ..AdjustPoints::default()
    })
}

impl Shop {
    /// Runs statements from outside.
    pub async fn execute(&self, sql: &str) {
        connect(&self.pg).await.unwrap().batch_execute(sql).await.unwrap();
    }

    /// Lets time pass for all points, under the locks that commands take.
    pub async fn pass(&self, days: i64) {
        let back = format!("- interval '{days} days'");
        self.execute(&format!(
            "begin; select crm.lock_points(array(select member_id from crm.member));
            update crm.points_lot set available_at = available_at {back}, expires_at = expires_at {back},
                created_at = created_at {back};
            update crm.points_reservation set expires_at = expires_at {back}; commit"
        ))
        .await;
    }

    /// What remains of the lots, the one that expires first first.
    async fn lots(&self) -> Vec<i64> {
        self.value::<Vec<i64>>(
            "select coalesce(array_agg(remaining order by expires_at, created_at), '{}') from crm.points_lot",
        )
        .await
    }
}

/// By hand: lots of 50 (in 10 days), 100 (in 30 days) and 20 for ever. 60 spent: 50 + 10. Ten days later nothing of the first is
/// left to expire; thirty days later 90 expire, and 20 stay.
async fn what_expires_first_is_spent_first(version: Version) {
    let shop = Shop::open(version).await;
    act(&shop, earn("m1", 100, Some(days(30)))).await.unwrap();
    act(&shop, earn("m1", 50, Some(days(10)))).await.unwrap();
    let done = act(&shop, earn("m1", 20, None)).await.unwrap();
    assert_eq!((done.effect, has(&done)), (Effect::Created, (170, 0, 0, 0)));
    assert_eq!(done.result.unwrap()["expiring_next"]["points"], json!(50));
    let done = act(&shop, burn("m1", 60)).await.unwrap();
    assert_eq!((has(&done), shop.lots().await), ((110, 0, 0, 0), vec![0, 90]));
    shop.pass(11).await;
    assert_eq!(now_has(&shop, "m1").await.0, 110);
    shop.pass(20).await;
    assert_eq!(now_has(&shop, "m1").await.0, 20, "a read counts what nobody has booked yet");
    let booked = "select coalesce(sum(points), 0)::bigint from crm.points_ledger where type = 'expire' and member_id is not null";
    assert_eq!(shop.value::<i64>(booked).await, 0);
    assert_eq!(act(&shop, burn("m1", 21)).await.unwrap_err().code(), "oltp.insufficient_points");
    assert_eq!(shop.value::<i64>(booked).await, -90);
    assert_eq!(has(&act(&shop, burn("m1", 20)).await.unwrap()).0, 0);
    let due: bool = shop
        .value("select bool_and(l.occurred_at = x.expires_at) from crm.points_ledger l join crm.points_lot_use u using (entry_id) join crm.points_lot x using (lot_id) where l.type = 'expire'")
        .await;
    assert!(due, "it happened when it fell due");
    shop.check_books().await;
}

async fn what_comes_back_goes_where_it_came_from(version: Version) {
    let shop = Shop::open(version).await;
    act(&shop, earn("m1", 50, Some(days(10)))).await.unwrap();
    act(&shop, earn("m1", 100, Some(days(30)))).await.unwrap();
    act(&shop, earn("m1", 20, None)).await.unwrap();
    let spent = act(&shop, burn("m1", 160)).await.unwrap().id;
    assert_eq!(shop.lots().await, [0, 0]);
    // First what does not expire, then what expires last.
    act(&shop, refund(spent, Some(15))).await.unwrap();
    assert_eq!(shop.lots().await, [0, 5]);
    act(&shop, refund(spent, Some(100))).await.unwrap();
    assert_eq!(shop.lots().await, [5, 100]);
    let error = act(&shop, refund(spent, Some(46))).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("oltp.over_refund", 422));
    shop.pass(11).await;
    let done = act(&shop, refund(spent, None)).await.unwrap();
    assert_eq!((has(&done).0, shop.lots().await), (120, vec![0, 100]), "what expired meanwhile expires at once");
    assert_eq!(act(&shop, refund(spent, None)).await.unwrap_err().code(), "oltp.over_refund");
    shop.check_books().await;
}

async fn a_reservation_is_captured_in_part_released_or_timed_out(version: Version) {
    let shop = Shop::open(version).await;
    act(&shop, earn("m1", 30, Some(days(10)))).await.unwrap();
    act(&shop, earn("m1", 70, None)).await.unwrap();
    let held = act(&shop, reserve("m1", 40)).await.unwrap();
    assert_eq!(has(&held), (60, 0, 40, 0));
    assert_eq!(act(&shop, burn("m1", 61)).await.unwrap_err().code(), "oltp.insufficient_points");
    assert_eq!(act(&shop, capture(held.id, Some(41))).await.unwrap_err().code(), "oltp.insufficient_points");
    let done = act(&shop, capture(held.id, Some(25))).await.unwrap();
    assert_eq!((has(&done), shop.lots().await), ((75, 0, 0, 0), vec![5]));
    let result = done.result.as_ref().unwrap();
    assert_eq!((&result["captured"], &result["released"]), (&json!(25), &json!(15)));
    for again in [capture(held.id, None), release(held.id)] {
        let error = act(&shop, again).await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("oltp.reservation_over", 409));
    }
    assert_eq!(has(&act(&shop, refund(done.id, None)).await.unwrap()).0, 100);
    assert_eq!(shop.lots().await, [30]);
    let held = act(&shop, reserve("m1", 100)).await.unwrap();
    assert_eq!(has(&act(&shop, release(held.id)).await.unwrap()), (100, 0, 0, 0));
    let held = act(&shop, reserve("m1", 100)).await.unwrap();
    shop.pass(1).await;
    assert_eq!(now_has(&shop, "m1").await, (100, 0, 0, 0), "time is up");
    assert_eq!(act(&shop, capture(held.id, None)).await.unwrap_err().code(), "oltp.reservation_over");
    let kept = shop.get(Entity::POINTS_RESERVATION, &held.id.to_string(), false).await.unwrap().unwrap();
    assert_eq!(kept["status"], json!("expired"));
    shop.check_books().await;
}

async fn what_goes_back_after_it_was_spent_is_owed(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    act(&shop, burn("m1", 20)).await.unwrap();
    shop.done(Command::Return(giving_back("r1", "1", &[(1, "2")]))).await;
    // 25 earned, 20 spent, 20 taken back.
    assert_eq!(now_has(&shop, "m1").await, (0, 0, 0, -15));
    assert_eq!(act(&shop, burn("m1", 1)).await.unwrap_err().code(), "oltp.insufficient_points");
    let mut second = order("2");
    second.lines = vec![line(1, "a", "1", 1000)];
    second.payments = vec![paid(1, 1000)];
    shop.put(second.clone()).await;
    assert_eq!(now_has(&shop, "m1").await, (0, 0, 0, -5), "what comes pays what is owed");
    act(&shop, earn("m1", 12, Some(days(3)))).await.unwrap();
    assert_eq!((now_has(&shop, "m1").await, shop.lots().await), ((7, 0, 0, 0), vec![7]));
    second.status = Some("cancelled".to_owned());
    shop.put(second).await;
    assert_eq!((now_has(&shop, "m1").await, shop.lots().await), ((0, 0, 0, -3), vec![0]));
    shop.done(Command::Return(PutReturn {
        status: Some("rejected".to_owned()),
        ..giving_back("r1", "1", &[(1, "2")])
    }))
    .await;
    assert_eq!(now_has(&shop, "m1").await, (17, 0, 0, 0));
    shop.check_books().await;
}

async fn points_wait_and_then_count(version: Version) {
    let shop = Shop::open(version).await;
    shop.execute("update crm.points_program set pending_days = 14, expiry_days = 30").await;
    let mut sold = order("1");
    sold.placed_at = Timestamp::now();
    shop.put(sold.clone()).await;
    assert_eq!(now_has(&shop, "m1").await, (0, 25, 0, 0));
    assert_eq!(act(&shop, burn("m1", 1)).await.unwrap_err().code(), "oltp.insufficient_points");
    shop.done(Command::Return(giving_back_now("r1", "1", &[(2, "1")]))).await;
    assert_eq!(now_has(&shop, "m1").await, (0, 20, 0, 0), "what waits is taken back first");
    shop.pass(15).await;
    assert_eq!(now_has(&shop, "m1").await, (20, 0, 0, 0));
    let swept: i32 = shop.value("select crm.sweep_points(now(), 10)").await;
    assert_eq!((swept, now_has(&shop, "m1").await), (1, (20, 0, 0, 0)));
    assert_eq!(shop.value::<i32>("select crm.sweep_points(now(), 10)").await, 0);
    shop.check_books().await;
    shop.pass(31).await;
    assert_eq!(now_has(&shop, "m1").await, (0, 0, 0, 0));
    // An order made known after its points have expired earns what expires at once.
    sold.order_no = "2".to_owned();
    sold.placed_at = time(MORNING);
    shop.put(sold).await;
    assert_eq!(now_has(&shop, "m1").await, (0, 0, 0, 0));
    shop.check_books().await;
}

fn giving_back_now(number: &str, order_no: &str, lines: &[(i32, &str)]) -> PutReturn {
    PutReturn { returned_at: Timestamp::now(), ..giving_back(number, order_no, lines) }
}

async fn points_of_orders_expire(version: Version) {
    let shop = Shop::open(version).await;
    shop.execute("update crm.points_program set expiry_days = 100").await;
    act(&shop, earn("m1", 10, Some(days(5)))).await.unwrap();
    let mut sold = order("1");
    sold.placed_at = Timestamp::now();
    shop.put(sold.clone()).await;
    assert_eq!(shop.lots().await, [10, 25]);
    // What goes back comes from the order's own lot, though the other expires first.
    shop.done(Command::Return(giving_back_now("r1", "1", &[(1, "1")]))).await;
    assert_eq!((shop.lots().await, now_has(&shop, "m1").await.0), (vec![10, 15], 25));
    // An owner who comes later gets the points, the first one keeps nothing of them.
    sold.member_no = Some("m2".to_owned());
    shop.put(sold).await;
    assert_eq!((now_has(&shop, "m1").await.0, now_has(&shop, "m2").await.0), (10, 15));
    shop.pass(101).await;
    assert_eq!((now_has(&shop, "m1").await.0, now_has(&shop, "m2").await.0), (0, 0));
    shop.check_books().await;
}

async fn a_transfer_keeps_dates_and_limits(version: Version) {
    let shop = Shop::open(version).await;
    shop.execute("update crm.points_program set transfer_points_max = 60, transfer_day_points_max = 100").await;
    act(&shop, earn("m1", 40, Some(days(10)))).await.unwrap();
    act(&shop, earn("m1", 100, None)).await.unwrap();
    assert_eq!(act(&shop, transfer("m1", "m2", 61)).await.unwrap_err().code(), "oltp.transfer_limit");
    let done = act(&shop, transfer("m1", "m2", 60)).await.unwrap();
    assert_eq!(has(&done).0, 80);
    assert_eq!(done.result.as_ref().unwrap()["to"]["spendable"], json!(60));
    assert_eq!(act(&shop, transfer("m1", "m2", 41)).await.unwrap_err().code(), "oltp.transfer_limit");
    act(&shop, transfer("m1", "m2", 40)).await.unwrap();
    let error = act(&shop, transfer("m1", "m1", 1)).await.unwrap_err();
    assert_eq!((error.code(), error.pointer()), ("oltp.same_member", Some("/to")));
    shop.pass(11).await;
    assert_eq!((now_has(&shop, "m1").await.0, now_has(&shop, "m2").await.0), (40, 60), "40 of those expired");
    shop.check_books().await;
}

async fn commands_that_cannot_be_are_refused(version: Version) {
    let shop = Shop::open(version).await;
    let error = shop.run(&context(), &earn("m1", 5, None)).await.unwrap_err();
    assert_eq!(error.code(), "oltp.idempotency_key_required");
    let neither = EarnPoints { points: 1, ..EarnPoints::default() };
    let long = ReservePoints {
        hold_s: Some(604_801),
        points: 1,
        member: MemberName::number("m1"),
        ..ReservePoints::default()
    };
    let unknown = EarnPoints {
        program_code: Some("x".to_owned()),
        points: 1,
        member: MemberName::number("m1"),
        ..EarnPoints::default()
    };
    let wrong = [
        (earn("none", 5, None), "oltp.unknown_member", "/member"),
        (earn("m1", 0, None), "oltp.out_of_range", "/points"),
        (earn("m1", 5, Some(time(MORNING))), "oltp.out_of_range", "/expires_at"),
        (adjust("m1", i64::MIN), "oltp.out_of_range", "/points"),
        (adjust("m1", -1), "oltp.insufficient_points", "/points"),
        (transfer("m1", "none", 1), "oltp.unknown_member", "/to"),
        (release(Uuid::nil()), "oltp.unknown_reservation", "/reservation_id"),
        (refund(Uuid::nil(), None), "oltp.unknown_entry", "/entry_id"),
        (Command::PointsEarn(neither), "oltp.missing", "/member"),
        (Command::PointsReserve(long), "oltp.out_of_range", "/hold_s"),
        (Command::PointsEarn(unknown), "oltp.unknown_program", "/program_code"),
    ];
    for (command, code, pointer) in wrong {
        let error = act(&shop, command).await.unwrap_err();
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)));
    }
    let mut closed = member("m2");
    closed.status = Some("suspended".to_owned());
    shop.done(Command::Member(closed)).await;
    for command in [earn("m2", 5, None), burn("m2", 5), transfer("m1", "m2", 1)] {
        assert_eq!(act(&shop, command).await.unwrap_err().code(), "oltp.member_closed");
    }
    let by_mail = MemberName {
        member_no: None,
        identity: Some(IdentityValue { kind: IdentityKind::Email, value: "Ann@Example.com".to_owned() }),
    };
    let done =
        act(&shop, Command::PointsEarn(EarnPoints { member: by_mail, points: 3, ..EarnPoints::default() })).await;
    assert_eq!(has(&done.unwrap()).0, 3);
    let (first, _) = shop.run(&keyed("once"), &earn("m1", 4, None)).await.unwrap();
    let (again, _) = shop.run(&keyed("once"), &earn("m1", 4, None)).await.unwrap();
    assert!(again.repeated && again.id == first.id && again.result == first.result);
    assert_eq!(now_has(&shop, "m1").await.0, 7);
}

async fn points_are_spent_once(version: Version) {
    let shop = Shop::open(version).await;
    act(&shop, earn("m1", 100, Some(days(9)))).await.unwrap();
    let tries = (0..16).map(|n| {
        let shop = shop.oltp.clone();
        let command = if n % 2 == 0 { burn("m1", 30) } else { reserve("m1", 30) };
        tokio::spawn(async move { act(&shop, command).await })
    });
    let mut passed = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) => passed += 1,
            Err(error) => assert_eq!(error.code(), "oltp.insufficient_points"),
        }
    }
    assert_eq!(passed, 3);
    shop.check_books().await;
}

async fn orders_go_by_the_rule_of_their_time(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let put = PutPointsProgram {
        program_code: "default".to_owned(),
        earn_points: 3,
        earn_units: 2,
        ..PutPointsProgram::default()
    };
    let early = PutPointsProgram { valid_from: Some(Timestamp::now()), ..put.clone() };
    assert_eq!(shop.refused(Command::PointsProgram(early)).await.code(), "oltp.too_early");
    assert_eq!(shop.done(Command::PointsProgram(put.clone())).await.effect, Effect::Created);
    assert_eq!(shop.done(Command::PointsProgram(put)).await.effect, Effect::Unchanged);
    shop.put(order("2")).await;
    assert_eq!(now_has(&shop, "m1").await.0, 50, "it is not in force yet");
    shop.execute("update crm.points_program set valid_from = '2026-03-03' where earn_points = 3").await;
    let mut late = order("3");
    late.placed_at = time("2026-03-04T10:00:00Z");
    shop.put(late).await;
    // 25.50 earn 38 by the new rule.
    assert_eq!(now_has(&shop, "m1").await.0, 88);
    shop.done(Command::Return(giving_back("r1", "1", &[(1, "1")]))).await;
    assert_eq!(now_has(&shop, "m1").await.0, 78, "an old order goes by its own rule");
    shop.check_books().await;
}

async fn the_report_says_what_is_owed(version: Version) {
    let shop = Shop::open(version).await;
    act(&shop, earn("m1", 100, Some(time("2050-03-10T00:00:00Z")))).await.unwrap();
    act(&shop, earn("m1", 30, None)).await.unwrap();
    let spent = act(&shop, burn("m1", 40)).await.unwrap().id;
    act(&shop, refund(spent, Some(5))).await.unwrap();
    act(&shop, reserve("m1", 10)).await.unwrap();
    act(&shop, adjust("m2", 7)).await.unwrap();
    let report = shop.points_liability(None).await.unwrap();
    assert_eq!((report.spendable, report.pending, report.reserved, report.owed, report.undated), (92, 0, 10, 0, 37));
    let expiring: Vec<_> = report.by_expiry.iter().map(|month| (month.month.as_str(), month.spendable)).collect();
    assert_eq!((expiring, report.by_age[0].points), (vec![("2050-03", 55)], 55));
    let month = &report.months[0];
    assert_eq!((month.issued, month.burned, month.refunded, month.expired, month.adjusted), (130, 40, 5, 0, 7));
    let before = shop.points_liability(Some(time(MORNING))).await.unwrap();
    assert_eq!((before.spendable, before.months.len(), before.as_of), (0, 0, time(MORNING)));
}

async fn balances_move_by_the_ledger_only(version: Version) {
    let shop = Shop::open(version).await;
    act(&shop, earn("m1", 5, None)).await.unwrap();
    let outside = connect(&shop.pg).await.unwrap();
    for (wrong, why) in [
        ("update crm.points_account set balance = balance + 1 where kind = 'member'", "by the ledger only"),
        (
            "insert into crm.points_account (account_id, kind, balance) values (gen_random_uuid(), 'expiry', 1)",
            "by the ledger only",
        ),
        (
            "select crm.points_entry(gen_random_uuid(), 'burn', now(), array[row ('member', member_id, -6), row ('redemption', null, 6)]::crm.points_side[], null) from crm.member where member_no = 'm1'",
            "points_account_balance",
        ),
        (
            "select crm.points_entry(gen_random_uuid(), 'burn', now(), array[row ('member', member_id, -2), row ('redemption', null, 1)]::crm.points_side[], null) from crm.member where member_no = 'm1'",
            "sum to zero",
        ),
        ("update crm.points_lot_use set points = 1", "only grows"),
    ] {
        let error = outside.batch_execute(wrong).await.unwrap_err();
        let message = error.as_db_error().unwrap().message().to_owned();
        assert!(message.contains(why), "{wrong}: {message}");
    }
    assert_eq!(now_has(&shop, "m1").await.0, 5);
}

async fn a_merge_is_undone(version: Version) {
    let shop = Shop::open(version).await;
    act(&shop, earn("m1", 50, Some(days(10)))).await.unwrap();
    act(&shop, earn("m1", 30, None)).await.unwrap();
    act(&shop, earn("m2", 20, Some(days(5)))).await.unwrap();
    let held = act(&shop, reserve("m1", 5)).await.unwrap().id;
    let merge = Uuid::now_v7();
    let both = "(select member_id from crm.member where member_no = 'm1'), (select member_id from crm.member where member_no = 'm2')";
    shop.execute(&format!("select crm.move_points({both}, '{merge}')")).await;
    assert_eq!((now_has(&shop, "m1").await, now_has(&shop, "m2").await), ((0, 0, 0, 0), (95, 0, 5, 0)));
    shop.check_books().await;
    // Of the 80 spent, 20 come from the survivor's own lot, 45 from the lot that came, 15 from what does not expire.
    let spent = act(&shop, burn("m2", 80)).await.unwrap().id;
    assert_eq!(has(&act(&shop, release(held)).await.unwrap()), (20, 0, 0, 0));
    shop.execute(&format!("select crm.unmove_points('{merge}')")).await;
    assert_eq!((now_has(&shop, "m1").await, now_has(&shop, "m2").await), ((80, 0, 0, 0), (0, 0, 0, -60)));
    assert_eq!(shop.value::<i64>("select sum(remaining)::bigint from crm.points_lot l join crm.member using (member_id) where member_no = 'm1'").await, 50);
    shop.check_books().await;
    assert_eq!(has(&act(&shop, refund(spent, None)).await.unwrap()), (20, 0, 0, 0));
    assert_eq!(now_has(&shop, "m1").await, (80, 0, 0, 0));
    shop.check_books().await;
}
