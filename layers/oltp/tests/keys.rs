use crate::shop::{Shop, context, time};
use engine_postgres::Version;
use oltp::{Context, NewKey};
use runtime::auth::{Rate, Role};

crate::on_both!(
    an_api_key_lives_and_ends,
    write_keys_show_only_their_hash,
    who_makes_and_revokes_keys_is_on_record,
    a_rotated_key_has_two_secrets_for_a_while,
    scopes_and_limits_come_with_the_key,
);

async fn an_api_key_lives_and_ends(version: Version) {
    let shop = Shop::empty(version).await;
    let (id, secret) = shop.create_api_key(&NewKey::new("importer", Role::Writer)).await.unwrap();
    let owner = shop.principal(&secret).await.unwrap().unwrap();
    assert_eq!((owner.name.as_str(), owner.role), ("importer", Role::Writer));
    assert!(shop.principal("swk_guess").await.unwrap().is_none());
    assert!(shop.revoke_api_key(&context(), id).await.unwrap());
    assert!(shop.principal(&secret).await.unwrap().is_none());
    assert!(!shop.revoke_api_key(&context(), uuid::Uuid::nil()).await.unwrap());
    let (_, expired) = shop
        .create_api_key(&NewKey { expires_at: Some(time("2020-01-01T00:00:00Z")), ..NewKey::new("old", Role::Admin) })
        .await
        .unwrap();
    assert!(shop.principal(&expired).await.unwrap().is_none());
    let keys = shop.list_api_keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["importer", "old"]);
    assert!(keys[0].revoked_at.is_some() && keys[1].expires_at.is_some());
    let kept: String = shop.value("select string_agg(k::text, ' ') from crm.api_key k").await;
    assert!(!kept.contains(&secret[4..]), "the secret is kept");
    assert!(shop.create_api_key(&NewKey::new(" ", Role::Reader)).await.is_err());
}

async fn write_keys_show_only_their_hash(version: Version) {
    let shop = Shop::empty(version).await;
    let (id, secret) = shop.create_write_key(&context(), "web").await.unwrap();
    assert!(secret.starts_with("sww_") && secret.len() == 68);
    let hash: String = shop.value("select key_hash from crm.write_key").await;
    assert_eq!(hash.len(), 64);
    assert!(shop.revoke_write_key(&context(), id).await.unwrap());
    assert!(shop.list_write_keys().await.unwrap()[0].revoked_at.is_some());
}

async fn who_makes_and_revokes_keys_is_on_record(version: Version) {
    let shop = Shop::empty(version).await;
    let boss = Context { actor: "boss".to_owned(), reason: Some("new till".to_owned()), ..context() };
    let (api, _) = shop.create_api_key_for(&boss, &NewKey::new("till", Role::Writer)).await.unwrap();
    let (write, _) = shop.create_write_key(&boss, "web").await.unwrap();
    assert!(shop.revoke_api_key(&boss, api).await.unwrap());
    assert!(shop.revoke_write_key(&boss, write).await.unwrap());
    let told: String = shop
        .value("select string_agg(concat_ws(' ', entity, action, actor, reason, request_id), ', ' order by audit_id) from crm.audit_log")
        .await;
    let expected = ["api_key created", "write_key created", "api_key revoked", "write_key revoked"];
    assert_eq!(told, expected.map(|what| format!("{what} boss new till r-1")).join(", "));
}

async fn a_rotated_key_has_two_secrets_for_a_while(version: Version) {
    let shop = Shop::empty(version).await;
    let (id, first) = shop.create_api_key(&NewKey::new("till", Role::Writer)).await.unwrap();
    let id_of = async |secret: &str| shop.principal(secret).await.unwrap().map(|owner| owner.id);
    assert_eq!(id_of(&first).await, Some(id));
    let (second, until) = shop.rotate_api_key(&context(), id, 3600).await.unwrap().unwrap();
    assert!(until.is_some());
    assert_eq!((id_of(&first).await, id_of(&second).await), (Some(id), Some(id)), "one key, one actor");
    let (third, until) = shop.rotate_api_key(&context(), id, 0).await.unwrap().unwrap();
    assert!(until.is_none());
    assert_eq!((id_of(&first).await, id_of(&second).await, id_of(&third).await), (None, None, Some(id)));
    let (_, _) = shop.rotate_api_key(&context(), id, 3600).await.unwrap().unwrap();
    shop.value::<i32>(
        "with gone as (update crm.api_key set previous_until = now() - interval '1 s' returning 1) select 1 from gone",
    )
    .await;
    // Nobody asked about this secret since the rotation, so that no answer is remembered.
    assert_eq!(id_of(&third).await, None, "its time is over");
    let told: String = shop.value("select string_agg(action, ' ' order by audit_id) from crm.audit_log").await;
    assert_eq!(told, "created rotated rotated rotated");
    let used: bool = shop.value("select last_used_at > now() - interval '1 hour' from crm.api_key").await;
    assert!(used);
    assert!(shop.rotate_api_key(&context(), id, u32::MAX).await.is_err());
    assert!(shop.revoke_api_key(&context(), id).await.unwrap());
    assert!(shop.rotate_api_key(&context(), id, 0).await.unwrap().is_none(), "a revoked key stays so");
}

async fn scopes_and_limits_come_with_the_key(version: Version) {
    let shop = Shop::empty(version).await;
    let scopes = Some(vec!["orders:write".to_owned()]);
    let rate = Some(Rate { per_s: 5, burst: 10 });
    let key = NewKey { scopes: scopes.clone(), rate, ..NewKey::new("till", Role::Writer) };
    let (_, secret) = shop.create_api_key(&key).await.unwrap();
    let owner = shop.principal(&secret).await.unwrap().unwrap();
    assert!(owner.scopes.allow("orders:write") && !owner.scopes.allow("orders:read"));
    assert_eq!(owner.rate, rate);
    assert_eq!(shop.list_api_keys().await.unwrap()[0].scopes, scopes);
    for bad in [
        NewKey { scopes: Some(Vec::new()), ..key.clone() },
        NewKey { scopes: Some(vec!["orders".to_owned()]), ..key.clone() },
        NewKey { scopes: Some(vec!["*".to_owned(); 65]), ..key.clone() },
        NewKey { role: Role::Reader, ..key.clone() },
        NewKey { rate: Some(Rate { per_s: 0, burst: 1 }), ..key.clone() },
        NewKey { rate: Some(Rate { per_s: 1, burst: u32::MAX }), ..key },
    ] {
        assert!(shop.create_api_key(&bad).await.is_err(), "{bad:?}");
    }
}
