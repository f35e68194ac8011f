use crate::shop::{Shop, context, identity, member, time};
use engine_postgres::Version;
use model::IdentityKind;
use model::IdentityKind::{Card, Device, Email, External, Phone, RelayEmail};
use oltp::command::{
    AddressValue, ConsentValue, IdentityValue, LookupMember, MemberIdentityValue, PutExternalMembership, PutMember,
    Strength, UnlinkIdentities,
};
use oltp::{Command, Done, Effect, Entity};
use serde_json::{Value, json};

crate::on_both!(
    weak_identities_are_shared_and_never_decide,
    what_is_seen_of_an_identity_is_kept,
    identities_can_be_taken_away,
    a_till_finds_a_member_in_one_question,
    all_that_was_said_about_consent_stays,
    addresses_are_put_by_their_labels,
    memberships_elsewhere_are_copies,
    every_table_of_members_says_what_becomes_of_it,
);

fn address(label: &str, lines: &[&str]) -> AddressValue {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    AddressValue { label: label.to_owned(), lines, ..AddressValue::default() }
}

async fn addresses_are_put_by_their_labels(version: Version) {
    let shop = Shop::open(version).await;
    let put = |addresses: Vec<AddressValue>| Command::Member(PutMember { addresses, ..member("m2") });
    let kept = async || shop.get(Entity::MEMBER, "m2", true).await.unwrap().unwrap()["addresses"].clone();
    let home = AddressValue {
        postal_code: Some("45202".to_owned()),
        country_code: Some("US".to_owned()),
        ..address("home", &["1 Main Street", "2nd floor"])
    };
    let both = vec![home.clone(), address("shipping", &["Dock 4"])];
    assert_eq!(shop.done(put(both.clone())).await.effect, Effect::Updated);
    assert_eq!(kept().await, json!(both));
    // What does not come stays; the same again is no news; another one of a label takes its place; one without lines takes it away.
    assert_eq!(shop.done(put(Vec::new())).await.effect, Effect::Unchanged);
    assert_eq!(shop.done(put(vec![home.clone()])).await.effect, Effect::Unchanged);
    assert_eq!(shop.done(put(vec![address("shipping", &["Dock 5"])])).await.effect, Effect::Updated);
    assert_eq!(kept().await, json!([home, address("shipping", &["Dock 5"])]));
    assert_eq!(shop.done(put(vec![address("home", &[])])).await.effect, Effect::Updated);
    assert_eq!(kept().await, json!([address("shipping", &["Dock 5"])]));
    // An older update is none.
    let dated = |at: &str, line: &str| {
        let at = Some(time(at));
        let addresses = vec![address("shipping", &[line])];
        Command::Member(PutMember { source_updated_at: at, addresses, ..member("m2") })
    };
    shop.done(dated("2026-01-02T00:00:00Z", "Dock 6")).await;
    shop.done(dated("2026-01-01T00:00:00Z", "Dock 7")).await;
    assert_eq!(kept().await, json!([address("shipping", &["Dock 6"])]));
    // Nobody without the right to personal data sees them.
    assert!(shop.get(Entity::MEMBER, "m2", false).await.unwrap().unwrap().get("addresses").is_none());

    for (code, pointer, addresses) in [
        ("oltp.missing", "/addresses/0/label", vec![address("", &["x"])]),
        ("oltp.duplicate_label", "/addresses/1/label", vec![address("a", &["x"]), address("a", &["y"])]),
        ("oltp.invalid_count", "/addresses/0/lines", vec![address("a", &["x"; 6])]),
        ("oltp.missing", "/addresses/0/lines/1", vec![address("a", &["x", " "])]),
        ("oltp.invalid_count", "/addresses", (0..21).map(|n| address(&n.to_string(), &["x"])).collect()),
        (
            "oltp.invalid_value",
            "/addresses/0/country_code",
            vec![AddressValue { country_code: Some("usa".to_owned()), ..address("a", &["x"]) }],
        ),
    ] {
        let error = shop.refused(put(addresses)).await;
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)), "{error}");
    }
    // More than a member may have, a few at a time.
    shop.done(put((0..19).map(|n| address(&n.to_string(), &["x"])).collect())).await;
    assert_eq!(shop.refused(put(vec![address("one more", &["x"])])).await.code(), "oltp.out_of_range");
}

fn known(number: &str, identities: &[(IdentityKind, &str)]) -> PutMember {
    let identities = identities.iter().map(|(kind, value)| identity(*kind, value).into()).collect();
    PutMember { identities, ..member(number) }
}

impl Shop {
    pub async fn put_member(&self, put: PutMember) -> Done {
        self.done(Command::Member(put)).await
    }

    pub async fn find(&self, identities: &[(IdentityKind, &str)]) -> Value {
        let candidates = identities.iter().map(|(kind, value)| identity(*kind, value)).collect();
        self.lookup(&LookupMember { candidates, ..LookupMember::default() }, false).await.unwrap()
    }
}

async fn weak_identities_are_shared_and_never_decide(version: Version) {
    let shop = Shop::open(version).await;
    let both = [(Device, "tablet-1"), (RelayEmail, "x1@relay.example")];
    shop.put_member(known("w1", &both)).await;
    shop.put_member(known("w2", &both)).await;
    let found = shop.find(&both).await;
    assert_eq!(found["member"], Value::Null);
    assert_eq!(found["candidates"].as_array().unwrap().len(), 2);
    assert!(found["candidates"].as_array().unwrap().iter().all(|found| found["strength"] == "weak"));
    let strong = MemberIdentityValue { strength: Some(Strength::Strong), ..identity(Device, "tablet-1").into() };
    let put = PutMember { identities: vec![strong], ..member("w1") };
    let refused = shop.refused(Command::Member(put)).await;
    assert_eq!((refused.code(), refused.pointer()), ("oltp.invalid_value", Some("/identities/0/strength")));

    // A phone that is not proven yet may be anybody's; once it is strong, it is one member's.
    let weak = |number: &str| PutMember {
        identities: vec![MemberIdentityValue {
            strength: Some(Strength::Weak),
            ..identity(Phone, "+15550100001").into()
        }],
        ..member(number)
    };
    shop.put_member(weak("w1")).await;
    shop.put_member(weak("w2")).await;
    assert_eq!(shop.find(&[(Phone, "+15550100001")]).await["member"], Value::Null);
    assert_eq!(shop.put_member(known("w1", &[(Phone, "+15550100001")])).await.effect, Effect::Updated);
    assert_eq!(shop.find(&[(Phone, "+15550100001")]).await["member"]["member_no"], "w1");
    assert_eq!(shop.put_member(weak("w1")).await.effect, Effect::Unchanged);
    assert_eq!(shop.find(&[(Phone, "+15550100001")]).await["member"]["member_no"], "w1");
    let taken = shop.refused(Command::Member(known("w2", &[(Phone, "+15550100001")]))).await;
    assert_eq!(taken.code(), "oltp.identity_taken");
    shop.check_books().await;
}

async fn what_is_seen_of_an_identity_is_kept(version: Version) {
    let shop = Shop::open(version).await;
    let seen = |at: &str, verified: Option<&str>, confidence: &str| PutMember {
        identities: vec![MemberIdentityValue {
            seen_at: Some(time(at)),
            verified_at: verified.map(time),
            confidence: Some(confidence.parse().unwrap()),
            ..identity(External, "shopify:123").into()
        }],
        ..member("m1")
    };
    shop.put_member(seen("2026-02-01T00:00:00Z", None, "0.5")).await;
    shop.put_member(seen("2026-01-01T00:00:00Z", Some("2026-01-02T00:00:00Z"), "0.9")).await;
    assert_eq!(shop.put_member(seen("2026-01-15T00:00:00Z", None, "0.9")).await.effect, Effect::Unchanged);
    let told = shop.get(Entity::MEMBER, "m1", true).await.unwrap().unwrap();
    let told = told["identities"].as_array().unwrap().iter().find(|told| told["kind"] == "external").unwrap();
    assert_eq!(told["value"], "shopify:123");
    let times = ["first_seen_at", "last_seen_at", "verified_at"].map(|field| time(told[field].as_str().unwrap()));
    assert_eq!(times, [time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"), time("2026-01-02T00:00:00Z")]);
    assert_eq!(told["confidence"], json!(0.9));
    let mut wrong = seen("2026-01-01T00:00:00Z", None, "1.1");
    wrong.identities[0].seen_at = None;
    assert_eq!(shop.refused(Command::Member(wrong)).await.pointer(), Some("/identities/0/confidence"));
}

async fn identities_can_be_taken_away(version: Version) {
    let shop = Shop::open(version).await;
    shop.put_member(known("m1", &[(Card, "4711")])).await;
    let unlink = |number: &str, identities: &[IdentityValue]| {
        Command::MemberUnlink(UnlinkIdentities { member_no: number.to_owned(), identities: identities.to_vec() })
    };
    let card = [identity(Card, "4711")];
    assert_eq!(shop.act(unlink("m2", &card)).await.effect, Effect::Unchanged);
    assert_eq!(shop.act(unlink("m1", &card)).await.effect, Effect::Updated);
    assert_eq!(shop.act(unlink("m1", &card)).await.effect, Effect::Unchanged);
    assert_eq!(shop.find(&[(Card, "4711")]).await, json!({"member": null, "candidates": []}));
    let values: i64 = shop.value("select count(*) from crm.member_identity_value where value = '4711'").await;
    assert_eq!(values, 0);
    shop.put_member(known("m2", &[(Card, "4711")])).await;
    assert_eq!(shop.find(&[(Card, "4711")]).await["member"]["member_no"], "m2");
    assert_eq!(shop.cannot(unlink("nobody", &card)).await, "oltp.unknown_member");
}

async fn a_till_finds_a_member_in_one_question(version: Version) {
    let shop = Shop::open(version).await;
    let put =
        PutMember { first_name: Some("Grace".to_owned()), ..known("t1", &[(Phone, "+15550100002"), (Device, "d")]) };
    shop.put_member(put).await;
    shop.put_member(known("t2", &[(Card, "4712"), (Device, "d")])).await;
    let card = shop.find(&[(Card, "none"), (Phone, "+1 555 010 0002"), (Device, "d")]).await;
    assert_eq!(card["candidates"], json!([]));
    let member = &card["member"];
    assert_eq!((&member["member_no"], &member["points"], &member["coupons"]), (&json!("t1"), &json!(0), &json!(0)));
    assert!(!card.to_string().contains("Grace"), "{card}");
    let ask = LookupMember { kind: Some(Phone), value: Some("+15550100002".to_owned()), candidates: vec![] };
    assert_eq!(shop.lookup(&ask, true).await.unwrap()["member"]["first_name"], "Grace");
    // Two strong ones that lead to two members decide nothing.
    let two = shop.find(&[(Card, "4712"), (Phone, "+15550100002")]).await;
    assert_eq!((&two["member"], two["candidates"].as_array().unwrap().len()), (&Value::Null, 2));
    assert!(two["candidates"].as_array().unwrap().iter().all(|found| found["strength"] == "strong"));
    assert_eq!(shop.find(&[(Email, "nobody@example.com")]).await, json!({"member": null, "candidates": []}));
    for (ask, code) in [
        (LookupMember::default(), "oltp.missing"),
        (LookupMember { candidates: vec![identity(Card, "1")], ..ask.clone() }, "oltp.missing"),
        (LookupMember { value: Some("12".to_owned()), ..ask.clone() }, "oltp.invalid_identity"),
        (LookupMember { candidates: vec![identity(Card, "1"); 33], ..LookupMember::default() }, "oltp.invalid_count"),
    ] {
        assert_eq!(shop.lookup(&ask, true).await.unwrap_err().code(), code);
    }
}

fn said(status: &str, at: Option<&str>) -> PutMember {
    let consent = ConsentValue {
        purpose: "marketing".to_owned(),
        channel: "email".to_owned(),
        status: status.to_owned(),
        status_at: at.map(time),
        legal_basis: Some("consent".to_owned()),
        evidence: Some("form 7, shown to 203.0.113.7".to_owned()),
        ..ConsentValue::default()
    };
    PutMember { consents: vec![consent], ..member("m1") }
}

async fn all_that_was_said_about_consent_stays(version: Version) {
    let shop = Shop::open(version).await;
    let now = "select status from crm.consent where purpose = 'marketing'";
    shop.put_member(said("granted", Some("2026-01-02T00:00:00Z"))).await;
    shop.put_member(said("revoked", Some("2026-01-03T00:00:00Z"))).await;
    // It came late: it is kept, and changes nothing.
    shop.put_member(said("granted", Some("2026-01-01T00:00:00Z"))).await;
    assert_eq!(shop.value::<String>(now).await, "revoked");
    // Of one moment, what allows less holds.
    shop.put_member(said("granted", Some("2026-01-03T00:00:00Z"))).await;
    assert_eq!(shop.value::<String>(now).await, "revoked");
    // No news, twice.
    assert_eq!(shop.put_member(said("granted", Some("2026-01-02T00:00:00Z"))).await.effect, Effect::Unchanged);
    assert_eq!(shop.put_member(said("revoked", None)).await.effect, Effect::Unchanged);
    let told: String = shop
        .value(
            "select string_agg(status || ' ' || status_at::date || ' ' || legal_basis, ', ' order by status_at, status)
            from crm.consent_event",
        )
        .await;
    assert_eq!(
        told,
        "granted 2026-01-01 consent, granted 2026-01-02 consent, granted 2026-01-03 consent, revoked 2026-01-03 consent"
    );
    assert_eq!(shop.value::<i64>("select count(*) from crm.consent_evidence").await, 4);
    let mut wrong = said("granted", None);
    wrong.consents[0].legal_basis = Some("because".to_owned());
    assert_eq!(shop.refused(Command::Member(wrong)).await.pointer(), Some("/consents/0/legal_basis"));
    shop.check_books().await;
}

async fn memberships_elsewhere_are_copies(version: Version) {
    let shop = Shop::open(version).await;
    let put = |number: &str, level: &str, at: &str| {
        Command::ExternalMembership(PutExternalMembership {
            program: "air".to_owned(),
            external_no: "992001".to_owned(),
            member_no: number.to_owned(),
            level: Some(level.to_owned()),
            points: Some(1200),
            source_updated_at: Some(time(at)),
            ..PutExternalMembership::default()
        })
    };
    assert_eq!(shop.done(put("m1", "blue", "2026-01-02T00:00:00Z")).await.effect, Effect::Created);
    assert_eq!(shop.done(put("m1", "blue", "2026-01-02T00:00:00Z")).await.effect, Effect::Unchanged);
    assert_eq!(shop.done(put("m1", "gold", "2026-01-03T00:00:00Z")).await.effect, Effect::Updated);
    assert_eq!(shop.done(put("m1", "blue", "2026-01-01T00:00:00Z")).await.effect, Effect::Unchanged);
    assert_eq!(shop.refused(put("m2", "blue", "2026-01-04T00:00:00Z")).await.code(), "oltp.membership_taken");
    assert_eq!(shop.refused(put("nobody", "blue", "2026-01-04T00:00:00Z")).await.code(), "oltp.unknown_member");
    let told = shop.get(Entity::MEMBER, "m1", false).await.unwrap().unwrap();
    assert_eq!((&told["memberships"][0]["level"], told["memberships"].as_array().unwrap().len()), (&json!("gold"), 1));
    // Many at once: a batch is one statement, too.
    let items = (0..3).map(|_| (context(), put("m2", "blue", "2026-01-04T00:00:00Z"))).collect();
    assert!(shop.run_batch(items).await.unwrap().0.iter().all(Result::is_err));
}

/// A merge, an erasure and an export go by one list; what it leaves out would stay behind.
async fn every_table_of_members_says_what_becomes_of_it(version: Version) {
    let shop = Shop::empty(version).await;
    let missing: Option<String> = shop
        .value(
            "select string_agg(c.relname, ', ') from pg_class c join pg_namespace n on n.oid = c.relnamespace
            join pg_attribute a on a.attrelid = c.oid
            where n.nspname = 'crm' and c.relkind in ('r', 'p') and not c.relispartition and a.attname = 'member_id'
                and not a.attisdropped and c.relname <> 'member'
                and c.relname not in (select relation from crm.owned_relation)",
        )
        .await;
    assert_eq!(missing, None);
    let unknown: Option<String> = shop
        .value(
            "select string_agg(o.relation, ', ') from crm.owned_relation o
            where not exists (select from pg_attribute a where a.attrelid = to_regclass('crm.' || o.relation) and a.attname = o.key_column)
                or exists (select from unnest(o.erases) e (col) where not exists (
                    select from pg_attribute a where a.attrelid = to_regclass('crm.' || o.relation) and a.attname = e.col))
                or not exists (select from pg_attribute a where a.attrelid = to_regclass('crm.' || coalesce(o.parent, o.relation))
                    and a.attname = coalesce(o.parent_column, o.key_column))
                or (o.moves and not exists (
                    select from pg_index i join pg_attribute a on (a.attrelid, a.attnum) = (i.indrelid, i.indkey[0])
                    where i.indrelid = to_regclass('crm.' || o.relation) and a.attname = 'member_id'))",
        )
        .await;
    assert_eq!(unknown, None);
}
