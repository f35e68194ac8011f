//! The two shapes of serving against each other: features and tags of every person, as documents and as tables.

use super::digest::{ROWS_MAX, sorted};
use super::{OfTable, PAUSE, ROUNDS, Sides};
use anyhow::{Context, Result};
use serde_json::Value;
use serving::Limits;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// People read at once.
const PAGE: usize = 1_000;

/// What one shape says of each person: features and tags of every row or document that it has.
type Said = BTreeMap<String, Vec<(String, String)>>;
/// What both shapes say of a person of whom they do not say the same: tables, then documents.
type Differ = BTreeMap<String, [Vec<(String, String)>; 2]>;

/// Compares until what differs is settled.
pub async fn compare(sides: &Sides) -> Result<OfTable> {
    let mut of = OfTable { table: "profiles".to_owned(), ..OfTable::default() };
    let mut standing: Option<Differ> = None;
    for round in 0..ROUNDS {
        if round > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let (tables, documents) = (by_tables(sides).await?, by_documents(sides)?);
        of.rows = tables.values().map(|rows| rows.len() as u64).sum();
        let mut differ = differ(tables, documents);
        if let Some(before) = standing {
            differ.retain(|person, said| before.get(person) == Some(said));
        }
        let settled = differ.is_empty();
        standing = Some(differ);
        if settled {
            break;
        }
    }
    for [tables, documents] in standing.unwrap_or_default().values() {
        let (tables, documents) = (tables.len() as u64, documents.len() as u64);
        of.missing += tables.saturating_sub(documents);
        of.extra += documents.saturating_sub(tables);
        of.different += u64::from(tables == documents);
    }
    Ok(of)
}

fn differ(mut tables: Said, mut documents: Said) -> Differ {
    let people: BTreeSet<String> = tables.keys().chain(documents.keys()).cloned().collect();
    let said = |person: String| {
        let said = [&mut tables, &mut documents].map(|shape| shape.remove(&person).unwrap_or_default());
        (person, said)
    };
    people.into_iter().map(said).filter(|(_, [tables, documents])| tables != documents).collect()
}

async fn by_tables(sides: &Sides) -> Result<Said> {
    let limits = Limits { rows: ROWS_MAX, bytes: usize::MAX, sql_bytes: 1 << 20, time: Duration::from_secs(600) };
    let sql = "select f.person, cast(f.features as varchar), coalesce(t.tags, '')
        from member_features f
        left join (select person, string_agg(tag || '@' || cast(epoch_us(since) as varchar), ',' order by tag) as tags
            from member_tags group by person) t on t.person = f.person";
    let answer = sides.serving.analytics.query(sql, Vec::new(), limits).await?;
    let mut said = Said::new();
    for row in &answer.rows {
        let text = |column: usize| row[column].as_str().context("a person's features are text");
        let row = (sorted(&serde_json::from_str(text(1)?)?).to_string(), text(2)?.to_owned());
        said.entry(text(0)?.to_owned()).or_default().push(row);
    }
    Ok(said)
}

fn by_documents(sides: &Sides) -> Result<Said> {
    let mut said = Said::new();
    let mut after: Option<String> = None;
    loop {
        let page = sides.serving.profiles.scan(after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(said) };
        after = Some(last.clone());
        for (person, profile) in &page {
            // A person of whom only facts are known has no features yet, in either shape.
            if profile["features_as_of"].is_string() {
                let document = (sorted(&profile["features"]).to_string(), tags(&profile["tags"]));
                said.entry(person.clone()).or_default().push(document);
            }
        }
    }
}

fn tags(tags: &Value) -> String {
    let mut tags: Vec<String> = tags
        .as_array()
        .into_iter()
        .flatten()
        .map(|tag| {
            let since = tag["since"].as_str().and_then(|since| since.parse::<jiff::Timestamp>().ok());
            format!("{}@{}", tag["tag"].as_str().unwrap_or_default(), since.map_or(0, jiff::Timestamp::as_microsecond))
        })
        .collect();
    tags.sort();
    tags.join(",")
}
