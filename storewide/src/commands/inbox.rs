//! `inbox`: deliveries of sources, and having them run again.

use super::output::print;
use super::session::Session;
use super::table::table;
use crate::cli::{Deliveries, Inbox, InboxAction};
use crate::client::Client;
use anyhow::{Context, Result};
use reqwest::Method;
use runtime::config::Config;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Runs `inbox`.
///
/// # Errors
/// When no server is found or it refuses.
pub async fn inbox(options: &Inbox, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let session = Session::open(&options.server, config, data_dir).await?;
    session.run(async |client| act(&options.action, &client).await).await?;
    Ok(ExitCode::SUCCESS)
}

/// The fields of a filter that are said.
fn fields(which: &Deliveries) -> Map<String, Value> {
    let Deliveries { status, source, account, kind, code, delivery_id, since, until } = which;
    let all = [
        ("status", status),
        ("source", source),
        ("account", account),
        ("kind", kind),
        ("code", code),
        ("delivery_id", delivery_id),
        ("since", since),
        ("until", until),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))).collect()
}

async fn act(action: &InboxAction, client: &Client) -> Result<()> {
    match action {
        InboxAction::List { which, limit, json } => {
            let mut query = fields(which);
            query.insert("limit".to_owned(), json!(limit));
            let answer = client.send(client.request(Method::GET, "/api/v1/inbox").query(&query)).await?;
            if *json { print(&answer.to_string())? } else { show(&answer)? }
        }
        InboxAction::Standing { json } => {
            let standing = client.send(client.request(Method::GET, "/api/v1/inbox/standing")).await?;
            if *json {
                print(&standing.to_string())?;
            } else {
                let columns = ["received", "retry", "dead", "oldest_s"];
                print(&table(&columns, &[columns.map(|column| standing[column].to_string()).to_vec()]))?;
            }
        }
        InboxAction::Show { id } => {
            let delivery = client.send(client.request(Method::GET, &format!("/api/v1/inbox/{id}"))).await?;
            print(&serde_json::to_string_pretty(&delivery)?)?;
        }
        InboxAction::Replay { id: Some(id), payload, anew, .. } => {
            let mut body = json!({ "anew": anew });
            if let Some(file) = payload {
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                body["payload"] =
                    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
            }
            let path = format!("/api/v1/inbox/{id}/replay");
            let answer = client.send(client.request(Method::POST, &path).json(&body)).await?;
            print(&format!("{id} was {} and is run again", answer["status_before"].as_str().unwrap_or("there")))?;
        }
        InboxAction::Replay { id: None, which, limit, anew, .. } => {
            let mut body = fields(which);
            body.insert("limit".to_owned(), json!(limit));
            body.insert("anew".to_owned(), json!(anew));
            let answer = client.send(client.request(Method::POST, "/api/v1/inbox/replay").json(&body)).await?;
            print(&format!("{} are run again", answer["replayed"]))?;
        }
    }
    Ok(())
}

fn show(answer: &Value) -> Result<()> {
    let columns = ["received_at", "id", "source", "account", "kind", "status", "attempts", "code", "reason"];
    let cell = |value: &Value| match value {
        Value::String(text) => text.chars().take(60).collect(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let items = answer["items"].as_array().context("the answer has no deliveries")?;
    let rows: Vec<Vec<String>> = items.iter().map(|item| columns.map(|column| cell(&item[column])).to_vec()).collect();
    Ok(print(&table(&columns, &rows))?)
}
