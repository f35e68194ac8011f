//! `sql`: one question to the serving layer.

use super::output::print;
use super::table::table;
use crate::cli::{Format, Sql};
use crate::client::{Answer, Client};
use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Runs `sql`.
///
/// # Errors
/// When no server is found or it refuses the question.
pub async fn sql(options: &Sql, data_dir: &Path) -> Result<ExitCode> {
    let client = Client::find(&options.server, data_dir)?;
    if let Format::Csv = options.format {
        let body =
            json!({ "sql": options.query, "limit": options.limit, "at_least": options.at_least, "format": "csv" });
        let answer = client.response(client.request(Method::POST, "/api/v1/sql").json(&body)).await?;
        print(answer.text().await?.trim_end_matches('\n'))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Format::Json = options.format {
        let body = json!({ "sql": options.query, "limit": options.limit, "at_least": options.at_least });
        let answer = client.send(client.request(Method::POST, "/api/v1/sql").json(&body)).await?;
        print(&serde_json::to_string_pretty(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&client.sql(&options.query, options.at_least.as_deref(), options.limit).await?)?;
    Ok(ExitCode::SUCCESS)
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
