//! `sql`: one question to the serving layer.

use super::output::print;
use super::session::Session;
use super::table::table;
use crate::cli::{Format, Sql};
use crate::client::{Answer, Client};
use anyhow::Result;
use runtime::config::Config;
use serde_json::Value;
use serving::http::TRUNCATED;
use std::path::Path;
use std::process::ExitCode;

/// Runs `sql`.
///
/// # Errors
/// When no server is found or it refuses the question.
pub async fn sql(options: &Sql, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let session = Session::open(&options.server, config, data_dir).await?;
    session.run(async |client| answer(options, &client).await).await?;
    Ok(ExitCode::SUCCESS)
}

async fn answer(options: &Sql, client: &Client) -> Result<()> {
    let Sql { query, format, limit, at_least, .. } = options;
    match format {
        Format::Csv => {
            let answer = client.sql_as("csv", query, at_least.as_deref(), *limit).await?;
            let truncated = answer.headers().get(TRUNCATED).is_some_and(|truncated| truncated == "true");
            print(answer.text().await?.trim_end_matches("\r\n"))?;
            if truncated {
                eprintln!("only the first {limit} rows: more were left out (--limit)");
            }
        }
        Format::Json => {
            let answer: Value = client.sql_as("json", query, at_least.as_deref(), *limit).await?.json().await?;
            print(&serde_json::to_string_pretty(&answer)?)?;
        }
        Format::Table => show(&client.sql(query, at_least.as_deref(), *limit).await?)?,
    }
    Ok(())
}

fn show(answer: &Answer) -> std::io::Result<()> {
    let names: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    let rows: Vec<Vec<String>> = answer.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    print(&table(&names, &rows))?;
    let more = if answer.truncated { ", more rows were left out (--limit)" } else { "" };
    let complete_to = answer.as_of.complete_to.map_or("an unknown time".to_owned(), |time| time.to_string());
    eprintln!("{} rows{more}; complete to {complete_to}", rows.len());
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
