use crate::shop::{Shop, time};
use engine_postgres::Version;
use runtime::auth::Role;

#[tokio::test]
async fn an_api_key_lives_and_ends() {
    let shop = Shop::empty(Version::System).await;
    let (id, secret) = shop.create_api_key("importer", Role::Writer, None).await.unwrap();
    let owner = shop.principal(&secret).await.unwrap().unwrap();
    assert_eq!((owner.name.as_str(), owner.role), ("importer", Role::Writer));
    assert!(shop.principal("swk_guess").await.unwrap().is_none());
    assert!(shop.revoke_api_key(id).await.unwrap());
    assert!(shop.principal(&secret).await.unwrap().is_none());
    assert!(!shop.revoke_api_key(uuid::Uuid::nil()).await.unwrap());
    let (_, expired) = shop.create_api_key("old", Role::Admin, Some(time("2020-01-01T00:00:00Z"))).await.unwrap();
    assert!(shop.principal(&expired).await.unwrap().is_none());
    let keys = shop.list_api_keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["importer", "old"]);
    assert!(keys[0].revoked_at.is_some() && keys[1].expires_at.is_some());
    let kept: String = shop.value("select string_agg(k::text, ' ') from crm.api_key k").await;
    assert!(!kept.contains(&secret[4..]), "the secret is kept");
    assert!(shop.create_api_key(" ", Role::Reader, None).await.is_err());
}

#[tokio::test]
async fn write_keys_show_only_their_hash() {
    let shop = Shop::empty(Version::System).await;
    let (id, secret) = shop.create_write_key("web").await.unwrap();
    assert!(secret.starts_with("sww_") && secret.len() == 68);
    let hash: String = shop.value("select key_hash from crm.write_key").await;
    assert_eq!(hash.len(), 64);
    assert!(shop.revoke_write_key(id).await.unwrap());
    assert!(shop.list_write_keys().await.unwrap()[0].revoked_at.is_some());
}
