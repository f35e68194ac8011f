//! Members found by their phone numbers, among a million.

use super::figure::{Figure, percentile};
use super::shop::{Shop, paced};
use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::SinkExt as _;
use model::IdentityKind;
use oltp::Client;
use oltp::command::LookupMember;
use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;
use uuid::Uuid;

const RATE: u64 = 1_000;
const CONNECTIONS: u64 = 16;
const MEMBERS: u64 = 1_000_000;
/// Members in one piece of a COPY.
const PIECE: u64 = 10_000;

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let shop = Shop::empty("lookup").await?;
    fill(&shop).await?;
    let oltp = shop.oltp.clone();
    let work = move |number: u64| {
        let oltp = oltp.clone();
        // A step that is prime to the number of members visits them all, far from each other.
        let ask = LookupMember {
            kind: Some(IdentityKind::Phone),
            value: Some(phone(number * 7_919 % MEMBERS)),
            candidates: Vec::new(),
        };
        async move {
            let found = oltp.lookup(&ask, false).await?;
            ensure!(!found["member"].is_null(), "a member was not found");
            Ok(())
        }
    };
    let mut times = paced(RATE, time, CONNECTIONS, work).await?;
    shop.close().await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    Ok(vec![Figure::new("member_lookup", p99, "ms p99 at 1,000/s on 1M members").spread(p50, p99)])
}

fn phone(number: u64) -> String {
    format!("+1555{number:07}")
}

/// A million members with a phone each, written past the commands: they are what is looked among, not what is measured.
async fn fill(shop: &Shop) -> Result<()> {
    let client = shop.oltp.client().await?;
    client.batch_execute("set statement_timeout = 0; set search_path = crm").await?;
    let ids: Vec<Uuid> = (0..MEMBERS).map(|_| Uuid::now_v7()).collect();
    copy(&client, "crm.member (member_id, member_no, enrolled_at)", |number, row| {
        writeln!(row, "{}\tbench-{number}\t2026-01-01", ids[number as usize])
    })
    .await?;
    copy(&client, "crm.points_account (account_id, kind, member_id, balance)", |number, row| {
        writeln!(row, "{}\tmember\t{}\t0", Uuid::now_v7(), ids[number as usize])
    })
    .await?;
    copy(&client, "crm.member_identity (identity_id, member_id, kind, token)", |number, row| {
        let token = shop.tokeniser.identify(IdentityKind::Phone, &phone(number)).map(|identity| identity.token);
        writeln!(row, "{}\t{}\tphone\t{}", Uuid::now_v7(), ids[number as usize], token.unwrap_or_default())
    })
    .await?;
    for table in ["member", "member_identity", "points_account"] {
        client.batch_execute(&format!("vacuum analyze crm.{table}")).await?;
    }
    Ok(())
}

async fn copy(client: &Client, table: &str, row: impl Fn(u64, &mut String) -> std::fmt::Result) -> Result<()> {
    let mut sink = pin!(client.copy_in::<str, Bytes>(&format!("copy {table} from stdin")).await?);
    for piece in (0..MEMBERS).step_by(PIECE as usize) {
        let mut rows = String::new();
        for number in piece..(piece + PIECE).min(MEMBERS) {
            row(number, &mut rows)?;
        }
        sink.send(Bytes::from(rows)).await?;
    }
    sink.close().await?;
    Ok(())
}
