//! Imports: whole or not there, run once, cancelled exactly.

use crate::shop::{Shop, context, keyed};
use engine_postgres::Version;
use oltp::imports::{ImportFailure, NewChunk};
use std::time::Duration;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

crate::on_both!(an_import_is_run_when_it_is_whole, a_chunk_counts_once, an_import_is_cancelled_exactly, old_imports_go,);

async fn filled(shop: &Shop, chunks: i32) -> Uuid {
    let id = shop.open_import(&context()).await.unwrap().id;
    for chunk_no in 0..chunks {
        let first_line = 1 + 2 * u64::from(chunk_no.unsigned_abs());
        shop.add_import_chunk(id, NewChunk { chunk_no, first_line, lines: 2, body: b"x\ny\n" }).await.unwrap();
    }
    id
}

async fn whole(shop: &Shop, chunks: i32) -> Uuid {
    let id = filled(shop, chunks).await;
    assert!(shop.close_import(id, 2 * u64::from(chunks.unsigned_abs()), 9, "00").await.unwrap());
    id
}

fn failing(line: u64) -> ImportFailure {
    ImportFailure { line, status: 422, code: "x.y".to_owned(), pointer: None, detail: "d".to_owned() }
}

async fn an_import_is_run_when_it_is_whole(version: Version) {
    let shop = Shop::empty(version).await;
    let opened = shop.open_import(&keyed("k")).await.unwrap();
    let again = shop.open_import(&keyed("k")).await.unwrap();
    assert_eq!((again.id, again.opened, again.status.as_str()), (opened.id, false, "receiving"));
    let chunk = NewChunk { chunk_no: 0, first_line: 1, lines: 1, body: b"x\n" };
    shop.add_import_chunk(opened.id, chunk).await.unwrap();
    shop.add_import_chunk(opened.id, chunk).await.unwrap();
    assert!(shop.lease_import(LEASE).await.unwrap().is_none(), "it is not whole");
    assert!(shop.close_import(opened.id, 1, 2, "0a").await.unwrap());
    assert_eq!(shop.open_import(&keyed("k")).await.unwrap().body_hash.as_deref(), Some("0a"));
    shop.drop_import(opened.id).await.unwrap();
    let leased = shop.lease_import(LEASE).await.unwrap().unwrap();
    assert_eq!(
        (leased.import, leased.body.as_slice(), leased.context.actor.as_str()),
        (opened.id, &b"x\n"[..], "test")
    );
    assert!(shop.lease_import(LEASE).await.unwrap().is_none(), "one worker an import");
    assert!(shop.settle_chunk(&leased, &[], None).await.unwrap());
    let import = shop.import(opened.id, Some("test")).await.unwrap().unwrap();
    assert_eq!((import["status"].as_str(), import["done"].as_i64()), (Some("done"), Some(1)));
    assert!(shop.import(opened.id, Some("other")).await.unwrap().is_none());
    let broken = filled(&shop, 2).await;
    shop.drop_import(broken).await.unwrap();
    assert!(!shop.close_import(broken, 4, 9, "00").await.unwrap());
    assert_eq!(shop.list_imports(None, None, 10).await.unwrap().items.len(), 1);
    let empty = shop.open_import(&context()).await.unwrap().id;
    assert!(shop.close_import(empty, 0, 0, "00").await.unwrap());
    assert_eq!(shop.import(empty, None).await.unwrap().unwrap()["status"], "done");
    shop.check_books().await;
}

async fn a_chunk_counts_once(version: Version) {
    let shop = Shop::empty(version).await;
    let id = whole(&shop, 2).await;
    let first = shop.lease_import(Duration::ZERO).await.unwrap().unwrap();
    // The worker died, another one runs the same chunk; both say so.
    let again = shop.lease_import(LEASE).await.unwrap().unwrap();
    assert_eq!((first.chunk_no, again.chunk_no), (0, 0));
    assert!(shop.settle_chunk(&again, &[failing(2)], None).await.unwrap());
    assert!(!shop.settle_chunk(&first, &[failing(1), failing(2)], None).await.unwrap());
    let next = shop.lease_import(LEASE).await.unwrap().unwrap();
    assert_eq!((next.chunk_no, next.first_line), (1, 3));
    shop.release_import(&next).await.unwrap();
    let next = shop.lease_import(LEASE).await.unwrap().unwrap();
    shop.settle_chunk(&next, &[failing(3), failing(4)], None).await.unwrap();
    let import = shop.import(id, None).await.unwrap().unwrap();
    assert_eq!((&import["status"], &import["done"], &import["failed"]), (&"done".into(), &1.into(), &3.into()));
    let told = |after| shop.import_failures(id, after, 2);
    assert_eq!(told(0).await.unwrap().iter().map(|one| one.line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(told(3).await.unwrap(), [failing(4)]);
    shop.check_books().await;
}

async fn an_import_is_cancelled_exactly(version: Version) {
    let shop = Shop::empty(version).await;
    let id = whole(&shop, 3).await;
    let begun = shop.lease_import(LEASE).await.unwrap().unwrap();
    assert_eq!(shop.cancel_import(&context(), id, Some("other")).await.unwrap(), None);
    assert_eq!(shop.cancel_import(&context(), id, Some("test")).await.unwrap().as_deref(), Some("running"));
    // The worker dies: some of its chunk may be committed, so it is run to its end.
    shop.release_import(&begun).await.unwrap();
    let begun = shop.lease_import(LEASE).await.unwrap().unwrap();
    assert_eq!(begun.chunk_no, 0);
    shop.settle_chunk(&begun, &[], None).await.unwrap();
    assert!(shop.lease_import(LEASE).await.unwrap().is_none());
    let import = shop.import(id, None).await.unwrap().unwrap();
    assert_eq!((&import["status"], &import["done"], &import["lines"]), (&"cancelled".into(), &2.into(), &6.into()));
    assert_eq!(shop.cancel_import(&context(), id, None).await.unwrap().as_deref(), Some("cancelled"));
    let unbegun = whole(&shop, 1).await;
    shop.cancel_import(&context(), unbegun, None).await.unwrap();
    assert!(shop.lease_import(LEASE).await.unwrap().is_none());
    assert_eq!(shop.import(unbegun, None).await.unwrap().unwrap()["status"], "cancelled");
    shop.check_books().await;
}

async fn old_imports_go(version: Version) {
    let shop = Shop::empty(version).await;
    let id = whole(&shop, 1).await;
    let chunk = shop.lease_import(LEASE).await.unwrap().unwrap();
    shop.settle_chunk(&chunk, &[failing(1)], None).await.unwrap();
    let broken = filled(&shop, 1).await;
    shop.forget_imports(30, 1).await.unwrap();
    assert!(shop.import(id, None).await.unwrap().is_some());
    let client = shop.client().await.unwrap();
    let age = "update crm.import_job set finished_at = finished_at - interval '31 days', worked_at = now() - interval '2 hours'";
    client.execute(age, &[]).await.unwrap();
    shop.forget_imports(30, 1).await.unwrap();
    assert!(shop.import(id, None).await.unwrap().is_none() && shop.import(broken, None).await.unwrap().is_none());
    assert_eq!(shop.value::<i64>("select count(*) from crm.import_chunk").await, 0);
}
