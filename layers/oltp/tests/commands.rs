use crate::shop::{Shop, identity, member, product, sku, store, time};
use engine_postgres::Version;
use model::IdentityKind;
use oltp::command::{ConsentValue, PutMember};
use oltp::{Command, Effect, Entity};
use serde_json::json;

crate::on_both!(
    reference_records_are_put_whole,
    a_member_is_put_together_from_many_channels,
    an_identity_has_one_owner,
    consent_goes_with_its_time,
    the_same_new_member_from_many_doors_is_one,
    an_older_command_still_brings_consents_and_identities,
);

async fn reference_records_are_put_whole(version: Version) {
    let shop = Shop::empty(version).await;
    let mut put = product("p");
    put.brand = Some("Acme".to_owned());
    put.source_updated_at = Some(time("2026-01-02T00:00:00Z"));
    for (effect, version) in [(Effect::Created, 1), (Effect::Unchanged, 1)] {
        let done = shop.done(Command::Product(put.clone())).await;
        assert_eq!((done.effect, done.row_version), (effect, version));
    }
    put.source_updated_at = Some(time("2026-01-01T00:00:00Z"));
    put.brand = None;
    assert_eq!(shop.done(Command::Product(put.clone())).await.effect, Effect::Unchanged);
    put.source_updated_at = None;
    let done = shop.done(Command::Product(put)).await;
    assert_eq!((done.effect, done.row_version), (Effect::Updated, 2));
    assert_eq!(shop.get(Entity::PRODUCT, "p", false).await.unwrap().unwrap()["brand"], json!(null));

    let error = shop.refused(Command::Sku(sku("q"))).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.unknown_product", Some("/product_code")));
    let mut variant = sku("p");
    variant.gtin = Some("96385074".to_owned());
    shop.done(Command::Sku(variant)).await;
    let kept = shop.get(Entity::SKU, "p", false).await.unwrap().unwrap();
    assert_eq!(
        (&kept["gtin14"], &kept["uom"], &kept["product_code"]),
        (&json!("00000096385074"), &json!("each"), &json!("p"))
    );

    assert_eq!(shop.done(Command::Store(store("s"))).await.effect, Effect::Created);
    assert_eq!(shop.done(Command::Store(store("s"))).await.effect, Effect::Unchanged);
}

async fn a_member_is_put_together_from_many_channels(version: Version) {
    let shop = Shop::open(version).await;
    let mut till = member("m9");
    (till.first_name, till.tier_code) = (Some("Ann".to_owned()), Some("gold".to_owned()));
    till.identities = vec![identity(IdentityKind::Phone, "+1 555 010 9999").into()];
    let id = shop.done(Command::Member(till.clone())).await.id;
    assert_eq!(shop.done(Command::Member(till)).await.effect, Effect::Unchanged);
    let web = PutMember {
        enrolled_at: None,
        home_store_code: Some("s1".to_owned()),
        identities: vec![
            identity(IdentityKind::Phone, "+15550109999").into(),
            identity(IdentityKind::Card, "4711").into(),
        ],
        last_name: Some("Lee".to_owned()),
        ..member("m9")
    };
    let done = shop.done(Command::Member(web)).await;
    assert_eq!((done.id, done.effect, done.row_version), (id, Effect::Updated, 2));
    let seen = shop.get(Entity::MEMBER, "m9", true).await.unwrap().unwrap();
    assert_eq!(
        (&seen["first_name"], &seen["last_name"], &seen["tier_code"]),
        (&json!("Ann"), &json!("Lee"), &json!("gold"))
    );
    assert_eq!((&seen["home_store_code"], seen["identities"].as_array().unwrap().len()), (&json!("s1"), 2));
    assert_eq!(seen["identities"][0]["value"], "+15550109999");
    let masked = shop.get(Entity::MEMBER, &id.to_string(), false).await.unwrap().unwrap();
    assert_eq!(masked["identities"][0]["value"], "+***99");
    assert!(masked.get("first_name").is_none());
    // What travels holds no name and no number.
    let travels: String = shop
        .value(
            "select string_agg(m::text || i::text, ' ') from crm.member m join crm.member_identity i using (member_id)",
        )
        .await;
    assert!(!travels.contains("5550109999") && !travels.contains("Ann") && !travels.contains("4711"), "{travels}");
}

async fn an_identity_has_one_owner(version: Version) {
    let shop = Shop::open(version).await;
    let mut thief = member("m2");
    thief.identities =
        vec![identity(IdentityKind::Card, "1").into(), identity(IdentityKind::Email, "ANN@example.com").into()];
    let error = shop.refused(Command::Member(thief.clone())).await;
    assert_eq!((error.code(), error.pointer(), error.status()), ("oltp.identity_taken", Some("/identities/1"), 409));
    assert_eq!(shop.value::<i64>("select count(*) from crm.member_identity").await, 1);
    // At the same moment: one of them gets it, all others hear so.
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let shop = shop.oltp.clone();
            let mut put = member(&format!("n{n}"));
            put.identities = vec![identity(IdentityKind::Card, "42").into()];
            tokio::spawn(async move { shop.run(&crate::shop::context(), &Command::Member(put)).await })
        })
        .collect();
    let mut owners = 0;
    for attempt in tries {
        match attempt.await.unwrap() {
            Ok(_) => owners += 1,
            Err(error) => assert_eq!(error.code(), "oltp.identity_taken"),
        }
    }
    assert_eq!(owners, 1);
}

fn consent(status: &str, at: Option<&str>) -> ConsentValue {
    ConsentValue {
        purpose: "marketing".to_owned(),
        channel: "email".to_owned(),
        status: status.to_owned(),
        status_at: at.map(time),
        expires_at: None,
        source: None,
        ..ConsentValue::default()
    }
}

async fn consent_goes_with_its_time(version: Version) {
    let shop = Shop::open(version).await;
    let say = |status: &str, at: Option<&str>| PutMember { consents: vec![consent(status, at)], ..member("m1") };
    for (put, effect, stands) in [
        (say("granted", Some("2026-01-02T00:00:00Z")), Effect::Updated, "granted"),
        (say("granted", Some("2026-01-02T00:00:00Z")), Effect::Unchanged, "granted"),
        (say("granted", None), Effect::Unchanged, "granted"),
        (say("revoked", Some("2026-01-01T00:00:00Z")), Effect::Unchanged, "granted"),
        (say("denied", Some("2026-01-02T00:00:00Z")), Effect::Updated, "denied"),
        (say("granted", Some("2026-01-02T00:00:00Z")), Effect::Unchanged, "denied"),
        (say("revoked", None), Effect::Updated, "revoked"),
    ] {
        let done = shop.done(Command::Member(put)).await;
        assert_eq!(
            (done.effect, shop.value::<String>("select status from crm.consent").await.as_str()),
            (effect, stands)
        );
    }
}

async fn an_older_command_still_brings_consents_and_identities(version: Version) {
    let shop = Shop::open(version).await;
    let mut newer = member("m1");
    newer.tier_code = Some("gold".to_owned());
    newer.source_updated_at = Some(time("2026-03-01T12:00:00Z"));
    newer.consents = vec![consent("granted", Some("2026-01-02T00:00:00Z"))];
    shop.done(Command::Member(newer)).await;
    let older = PutMember {
        tier_code: Some("none".to_owned()),
        first_name: Some("Old".to_owned()),
        source_updated_at: Some(time("2026-03-01T11:59:00Z")),
        consents: vec![consent("revoked", Some("2026-03-01T11:59:00Z"))],
        identities: vec![identity(IdentityKind::Card, "4711").into()],
        ..member("m1")
    };
    let done = shop.done(Command::Member(older.clone())).await;
    assert_eq!((done.effect, done.row_version), (Effect::Updated, 2));
    let seen = shop.get(Entity::MEMBER, "m1", true).await.unwrap().unwrap();
    assert_eq!((&seen["tier_code"], &seen["first_name"]), (&json!("gold"), &json!(null)));
    assert_eq!(seen["identities"].as_array().unwrap().len(), 2);
    assert_eq!(seen["consents"][0]["status"], "revoked");
    assert_eq!(shop.done(Command::Member(older)).await.effect, Effect::Unchanged);
}

async fn the_same_new_member_from_many_doors_is_one(version: Version) {
    let shop = Shop::open(version).await;
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let shop = shop.oltp.clone();
            let put = PutMember { locale: Some(format!("l{n}")), ..member("new") };
            tokio::spawn(async move { shop.run(&crate::shop::context(), &Command::Member(put)).await.unwrap().0 })
        })
        .collect();
    let mut versions = Vec::new();
    for attempt in tries {
        versions.push(attempt.await.unwrap().row_version);
    }
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(shop.value::<i64>("select count(*) from crm.points_account where kind = 'member'").await, 3);
}
