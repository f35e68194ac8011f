use crate::shop::{Shop, context, giving_back, identity, keyed, member, order, time};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use model::IdentityKind::{Card, Email};
use oltp::command::{
    AddressValue, ConsentValue, EraseMember, IdentityValue, MergeMembers, PutExternalMembership, PutMember, PutOrder,
    PutOrderAddresses, UnlinkIdentities, UnmergeMember,
};
use oltp::{Command, Effect, Entity};
use serde_json::{Map, json};
use uuid::Uuid;

crate::on_both!(what_is_personal_goes_and_the_books_stay, an_export_holds_all, an_erased_member_takes_nothing);

/// Stands in all that is personal.
const SEED: &str = "Zyxwv";

fn erase(number: &str) -> Command {
    Command::MemberErase(EraseMember { member_no: number.to_owned() })
}

fn address(label: &str) -> AddressValue {
    AddressValue { label: label.to_owned(), lines: vec![format!("{SEED} Lane")], ..AddressValue::default() }
}

fn sent_to(order: &str) -> Command {
    Command::OrderAddresses(PutOrderAddresses {
        source: "till".to_owned(),
        order_no: order.to_owned(),
        addresses: vec![address("shipping")],
        source_updated_at: None,
    })
}

fn personal(number: &str) -> PutMember {
    PutMember {
        first_name: Some(format!("{SEED} first")),
        last_name: Some(format!("{SEED} last")),
        identities: vec![
            identity(Email, &format!("{SEED}-{number}@example.com")).into(),
            identity(Card, &format!("{SEED}-{number}")).into(),
        ],
        addresses: vec![address("home")],
        attributes: Map::from_iter([("note".to_owned(), json!(format!("{SEED} likes tea")))]),
        locale: Some("en-GB".to_owned()),
        consents: vec![ConsentValue {
            purpose: "marketing".to_owned(),
            channel: "email".to_owned(),
            status: "granted".to_owned(),
            status_at: Some(time("2026-01-01T00:00:00Z")),
            evidence: Some(format!("{SEED} said so")),
            ..ConsentValue::default()
        }],
        ..member(number)
    }
}

impl Shop {
    /// Members `p1` and `p2` with all that is personal, the second merged into the first.
    async fn two_persons(&self) {
        for number in ["p1", "p2"] {
            self.done(Command::Member(personal(number))).await;
            let put = PutOrder {
                member_no: Some(number.to_owned()),
                anonymous_id: Some(format!("{SEED}-device")),
                ..order(&format!("of-{number}"))
            };
            self.put(put).await;
            self.done(sent_to(&format!("of-{number}"))).await;
            let mut back = giving_back(&format!("r-{number}"), &format!("of-{number}"), &[(1, "1")]);
            back.reason = Some(format!("{SEED} did not like it"));
            self.done(Command::Return(back)).await;
            let membership = PutExternalMembership {
                program: "air".to_owned(),
                external_no: format!("{SEED}-{number}"),
                member_no: number.to_owned(),
                ..PutExternalMembership::default()
            };
            self.done(Command::ExternalMembership(membership)).await;
        }
        let merge = MergeMembers { from_member_no: "p2".to_owned(), into_member_no: "p1".to_owned() };
        self.act(Command::MemberMerge(merge)).await;
    }

    /// Tables in which the seed stands.
    async fn seeded(&self) -> Vec<String> {
        let client = connect(&self.pg).await.unwrap();
        let sql = "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = 'crm' and c.relkind = 'r' order by 1";
        let mut found = Vec::new();
        for row in client.query(sql, &[]).await.unwrap() {
            let table: String = row.get(0);
            // Personal rows are there only for whoever says that they may see them.
            client.batch_execute("set storewide.pii = 'on'").await.unwrap();
            let count = format!("select count(*) from crm.{table} t where t::text ilike '%{SEED}%'");
            if client.query_one(&count, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                found.push(table);
            }
        }
        found
    }
}

async fn what_is_personal_goes_and_the_books_stay(version: Version) {
    let shop = Shop::open(version).await;
    shop.two_persons().await;
    assert_eq!(
        shop.seeded().await,
        [
            "consent_evidence",
            "external_membership",
            "member",
            "member_identity_value",
            "member_pii",
            "order_pii",
            "sales_order",
            "sales_return"
        ]
    );
    let points = shop.points("p1").await;
    let merged = shop.run(&keyed("e0"), &erase("p2")).await.unwrap_err();
    assert_eq!(merged.code(), "oltp.member_closed");
    let mut asking = keyed("e1");
    asking.reason = Some("the member asked for it".to_owned());
    let done = shop.run(&asking, &erase("p1")).await.unwrap().0;
    assert_eq!(done.effect, Effect::Updated);
    assert_eq!(shop.seeded().await, [""; 0]);
    assert_eq!(shop.value::<i64>("select count(*) from crm.member_identity").await, 1, "but that of m1");

    // The books are as they were.
    assert_eq!(shop.points("p1").await, points);
    assert_eq!(shop.order("of-p2").await["member_no"], "p1");
    shop.check_books().await;
    let told = shop.get(Entity::MEMBER, "p1", true).await.unwrap().unwrap();
    assert_eq!((&told["status"], &told["attributes"], &told["identities"]), (&json!("erased"), &json!({}), &json!([])));
    assert!(told["erased_at"].is_string());
    assert_eq!(told["consents"][0]["status"], "revoked");
    assert_eq!(shop.get(Entity::MEMBER, "p2", true).await.unwrap().unwrap()["status"], "erased");
    let who: String = shop
        .value(
            "select string_agg(actor || ' ' || action || ' ' || reason, ', ') from crm.audit_log
            where entity = 'member' and action = 'erased'",
        )
        .await;
    assert_eq!(who, "test erased the member asked for it, test erased the member asked for it");

    assert_eq!(shop.act(erase("p1")).await.effect, Effect::Unchanged);
    // The address is free for somebody new.
    let again = PutMember { member_no: "p3".to_owned(), ..personal("p1") };
    assert_eq!(shop.done(Command::Member(again)).await.effect, Effect::Created);
}

async fn an_erased_member_takes_nothing(version: Version) {
    let shop = Shop::open(version).await;
    shop.two_persons().await;
    shop.act(erase("p1")).await;
    assert_eq!(shop.refused(Command::Member(personal("p1"))).await.code(), "oltp.member_closed");
    assert_eq!(shop.refused(Command::Member(personal("p2"))).await.code(), "oltp.member_closed");
    let merge = |from: &str, into: &str| {
        Command::MemberMerge(MergeMembers { from_member_no: from.to_owned(), into_member_no: into.to_owned() })
    };
    assert_eq!(shop.cannot(merge("p1", "m1")).await, "oltp.member_closed");
    assert_eq!(shop.cannot(merge("m1", "p1")).await, "oltp.member_closed");
    assert_eq!(
        shop.cannot(Command::MemberUnmerge(UnmergeMember { member_no: "p2".to_owned() })).await,
        "oltp.member_closed"
    );
    let membership = PutExternalMembership {
        program: "air".to_owned(),
        external_no: SEED.to_owned(),
        member_no: "p2".to_owned(),
        ..PutExternalMembership::default()
    };
    assert_eq!(shop.refused(Command::ExternalMembership(membership)).await.code(), "oltp.member_closed");
    let unlink = UnlinkIdentities {
        member_no: "p1".to_owned(),
        identities: vec![IdentityValue { kind: Card, value: format!("{SEED}-p1") }],
    };
    assert_eq!(shop.act(Command::MemberUnlink(unlink)).await.effect, Effect::Unchanged);
    assert_eq!(shop.cannot(erase("nobody")).await, "oltp.unknown_member");

    assert_eq!(shop.refused(sent_to("of-p1")).await.code(), "oltp.member_closed");
    assert_eq!(shop.refused(sent_to("of-p2")).await.code(), "oltp.member_closed");

    // An order of before that is sent again is taken, and brings nothing personal back.
    let put = PutOrder {
        member_no: Some("p1".to_owned()),
        anonymous_id: Some(format!("{SEED}-device")),
        status: Some("fulfilled".to_owned()),
        ..order("of-p1")
    };
    shop.put(put).await;
    assert_eq!(shop.order("of-p1").await["status"], "fulfilled");
    // Nor does one that names the buyer by an address that leads to nobody now take the order from its books.
    let put =
        PutOrder { buyer: Some(identity(Email, &format!("{SEED}-p2@example.com"))), member_no: None, ..order("of-p2") };
    shop.put(put).await;
    let stays = shop.order("of-p2").await;
    assert_eq!((&stays["member_no"], &stays["contact"]), (&json!("p1"), &json!(null)));
    assert_eq!(shop.seeded().await, [""; 0]);
    shop.check_books().await;
}

async fn an_export_holds_all(version: Version) {
    let shop = Shop::open(version).await;
    shop.two_persons().await;
    let told = shop.export(&context(), "p1").await.unwrap().unwrap();
    // The merged member's number asks for the same person.
    assert_eq!(shop.export(&context(), "p2").await.unwrap().unwrap()["member"]["member_no"], "p1");
    assert_eq!(told["merged"][0]["member_no"], "p2");
    assert_eq!(told["personal"].as_array().unwrap().len(), 2);
    assert_eq!(told["personal"][0]["addresses"][0]["lines"], json!([format!("{SEED} Lane")]));
    assert_eq!(told["identities"].as_array().unwrap().len(), 4);
    assert_eq!(told["evidence"].as_array().unwrap().len(), 2);
    assert!(told["audit"].as_array().unwrap().iter().any(|line| line["action"] == "merged_into"));
    let sections = &told["sections"];
    let rows = |section: &str| sections[section]["rows"].as_array().unwrap().len();
    assert_eq!(
        ["sales_order", "sales_return", "external_membership", "consent_event", "recommendation"].map(rows),
        [2, 2, 2, 2, 0]
    );
    let first = &sections["sales_order"]["rows"][0];
    assert_eq!((first["order_line"].as_array().unwrap().len(), first["payment"].as_array().unwrap().len()), (2, 1));
    assert_eq!(first["order_pii"][0]["addresses"][0]["label"], "shipping");
    assert!(sections["points_ledger"]["rows"].as_array().unwrap().len() >= 2);

    // A section that is longer than a page goes on where it says.
    let items = (0..150).map(|n| {
        (context(), Command::Order(PutOrder { member_no: Some("p1".to_owned()), ..order(&format!("many-{n}")) }))
    });
    shop.run_batch(items.collect()).await.unwrap();
    let mut after: Option<Uuid> = None;
    let mut seen = Vec::new();
    loop {
        let page = shop.export_section(&context(), "p1", "sales_order", after).await.unwrap().unwrap();
        seen.extend(page["rows"].as_array().unwrap().iter().map(|row| row["order_no"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = Some(next.parse().unwrap()),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 152);
    assert!(shop.export(&context(), "nobody").await.unwrap().is_none());
    for section in ["api_key", "member_pii", "", "nothing"] {
        assert!(shop.export_section(&context(), "p1", section, None).await.unwrap().is_none(), "{section}");
    }
    // Each that was given stands in the audit log once, whatever the number of its pages.
    let noted = "select count(*) from crm.audit_log where action = 'exported' and entity = 'member' and actor = 'test' and request_id = 'r-1'";
    let before: i64 = shop.value(noted).await;
    shop.export(&context(), "p1").await.unwrap().unwrap();
    shop.export_section(&context(), "p1", "sales_order", None).await.unwrap().unwrap();
    shop.export_section(&context(), "p1", "sales_order", after).await.unwrap().unwrap();
    assert_eq!(shop.value::<i64>(noted).await, before + 2);
    // Nobody's but the member's.
    assert!(!told.to_string().contains("ann@example.com"));
}
