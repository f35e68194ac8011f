use crate::shop::{Shop, context, time};
use engine_postgres::Version;
use oltp::Context;
use runtime::auth::Role;

crate::on_both!(an_api_key_lives_and_ends, write_keys_show_only_their_hash, who_makes_and_revokes_keys_is_on_record,);

async fn an_api_key_lives_and_ends(version: Version) {
    let shop = Shop::empty(version).await;
    let (id, secret) = shop.create_api_key("importer", Role::Writer, None).await.unwrap();
    let owner = shop.principal(&secret).await.unwrap().unwrap();
    assert_eq!((owner.name.as_str(), owner.role), ("importer", Role::Writer));
    assert!(shop.principal("swk_guess").await.unwrap().is_none());
    assert!(shop.revoke_api_key(&context(), id).await.unwrap());
    assert!(shop.principal(&secret).await.unwrap().is_none());
    assert!(!shop.revoke_api_key(&context(), uuid::Uuid::nil()).await.unwrap());
    let (_, expired) = shop.create_api_key("old", Role::Admin, Some(time("2020-01-01T00:00:00Z"))).await.unwrap();
    assert!(shop.principal(&expired).await.unwrap().is_none());
    let keys = shop.list_api_keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["importer", "old"]);
    assert!(keys[0].revoked_at.is_some() && keys[1].expires_at.is_some());
    let kept: String = shop.value("select string_agg(k::text, ' ') from crm.api_key k").await;
    assert!(!kept.contains(&secret[4..]), "the secret is kept");
    assert!(shop.create_api_key(" ", Role::Reader, None).await.is_err());
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
    let (api, _) = shop.create_api_key_for(&boss, "till", Role::Writer, None).await.unwrap();
    let (write, _) = shop.create_write_key(&boss, "web").await.unwrap();
    assert!(shop.revoke_api_key(&boss, api).await.unwrap());
    assert!(shop.revoke_write_key(&boss, write).await.unwrap());
    let told: String = shop
        .value("select string_agg(concat_ws(' ', entity, action, actor, reason, request_id), ', ' order by audit_id) from crm.audit_log")
        .await;
    let expected = ["api_key created", "write_key created", "api_key revoked", "write_key revoked"];
    assert_eq!(told, expected.map(|what| format!("{what} boss new till r-1")).join(", "));
}
