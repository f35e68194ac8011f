//! `keys`: make, list and revoke keys.

use super::output::print;
use super::session::Session;
use super::table::table;
use crate::cli::{Keys, KeysAction};
use crate::client::Client;
use anyhow::{Context, Result};
use reqwest::Method;
use runtime::config::Config;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Runs `keys`.
///
/// # Errors
/// When no server is found or it refuses.
pub async fn keys(options: &Keys, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let session = Session::open(&options.server, config, data_dir).await?;
    session.run(async |client| act(&options.action, &client).await).await?;
    Ok(ExitCode::SUCCESS)
}

async fn act(action: &KeysAction, client: &Client) -> Result<()> {
    match action {
        KeysAction::Create { name, role, write_key, json } => {
            let body = if *write_key {
                json!({ "name": name, "kind": "write" })
            } else {
                json!({ "name": name, "role": role })
            };
            let made = client.send(client.request(Method::POST, "/api/v1/keys").json(&body)).await?;
            if *json {
                print(&made.to_string())?;
            } else {
                print(made["secret"].as_str().context("the answer has no key")?)?;
            }
            eprintln!("This key is shown once: keep it. Its id is {}.", made["id"].as_str().unwrap_or("unknown"));
        }
        KeysAction::List { json } => {
            let answer = client.send(client.request(Method::GET, "/api/v1/keys")).await?;
            if *json { print(&answer.to_string())? } else { show(&answer)? }
        }
        KeysAction::Revoke { id } => {
            client.response(client.request(Method::DELETE, &format!("/api/v1/keys/{id}"))).await?;
            print(&format!("revoked {id}"))?;
        }
    }
    Ok(())
}

fn show(answer: &Value) -> Result<()> {
    let columns = ["id", "name", "kind", "role", "created_at", "expires_at", "revoked_at"];
    let cells = |key: &Value| columns.map(|column| key[column].as_str().unwrap_or_default().to_owned()).to_vec();
    let rows: Vec<_> = answer["items"].as_array().context("the answer has no keys")?.iter().map(cells).collect();
    Ok(print(&table(&columns, &rows))?)
}
