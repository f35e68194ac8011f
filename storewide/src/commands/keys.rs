//! `keys`: make, list, rotate and revoke keys.

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
        KeysAction::Create { json, .. } => {
            let request = client.request(Method::POST, "/api/v1/keys").json(&wanted(action));
            show_secret(&client.send(request).await?, *json)?;
        }
        KeysAction::Rotate { id, overlap, json } => {
            let request = client.request(Method::POST, &format!("/api/v1/keys/{id}/rotate"));
            let rotated = client.send(request.json(&json!({ "overlap_s": overlap }))).await?;
            show_secret(&rotated, *json)?;
            if let Some(until) = rotated["previous_until"].as_str() {
                eprintln!("The old secret works until {until}.");
            }
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

/// The body that asks for a key.
fn wanted(action: &KeysAction) -> Value {
    let KeysAction::Create { name, role, scopes, expires_at, requests_per_s, burst, write_key, .. } = action else {
        return Value::Null;
    };
    if *write_key {
        return json!({ "name": name, "kind": "write" });
    }
    let mut body = json!({ "name": name, "role": role, "expires_at": expires_at, "requests_per_s": requests_per_s, "burst": burst });
    if !scopes.is_empty() {
        body["scopes"] = json!(scopes);
    }
    body
}

fn show_secret(key: &Value, json: bool) -> Result<()> {
    if json {
        print(&key.to_string())?;
    } else {
        print(key["secret"].as_str().context("the answer has no key")?)?;
    }
    eprintln!("This key is shown once: keep it. Its id is {}.", key["id"].as_str().unwrap_or("unknown"));
    Ok(())
}

fn show(answer: &Value) -> Result<()> {
    let columns = ["id", "name", "kind", "role", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at"];
    let cell = |value: &Value| match value {
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    let cells = |key: &Value| columns.map(|column| cell(&key[column])).to_vec();
    let rows: Vec<_> = answer["items"].as_array().context("the answer has no keys")?.iter().map(cells).collect();
    Ok(print(&table(&columns, &rows))?)
}
