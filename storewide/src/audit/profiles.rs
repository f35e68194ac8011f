//! The two shapes of serving against each other: features and tags of every person, as documents and as tables.

use super::digest::{ROWS_MAX, sorted};
use super::{OfTable, PAUSE, ROUNDS, Sides};
use anyhow::{Context, Result};
use serde_json::Value;
use serving::Limits;
use std::collections::BTreeMap;
use std::time::Duration;

/// People read at once.
const PAGE: usize = 1_000;

/// What one shape says of one person; nothing where it says nothing.
type Said = BTreeMap<String, (String, String)>;

/// Compares until what differs is settled.
pub async fn compare(sides: &Sides) -> Result<OfTable> {
    let mut of = OfTable { table: "profiles".to_owned(), ..OfTable::default() };
    let mut standing: Option<BTreeMap<String, (bool, bool)>> = None;
    for round in 0..ROUNDS {
        if round > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let (tables, documents) = (by_tables(sides).await?, by_documents(sides)?);
        of.rows = tables.len() as u64;
        let people = tables.keys().chain(documents.keys());
        let differ = people.filter(|person| tables.get(*person) != documents.get(*person));
        let differ =
            differ.map(|person| (person.clone(), (tables.contains_key(person), documents.contains_key(person))));
        let differ: BTreeMap<_, _> = match standing {
            None => differ.collect(),
            Some(before) => differ.filter(|(person, _)| before.contains_key(person)).collect(),
        };
        let settled = differ.is_empty();
        standing = Some(differ);
        if settled {
            break;
        }
    }
    for shapes in standing.unwrap_or_default().values() {
        match shapes {
            (true, false) => of.missing += 1,
            (false, true) => of.extra += 1,
            _ => of.different += 1,
        }
    }
    Ok(of)
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
        said.insert(text(0)?.to_owned(), (sorted(&serde_json::from_str(text(1)?)?).to_string(), text(2)?.to_owned()));
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
                said.insert(person.clone(), (sorted(&profile["features"]).to_string(), tags(&profile["tags"])));
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
