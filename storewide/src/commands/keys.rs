//! `keys`: make, list and revoke keys.

use super::output::print;
use super::table::table;
use crate::cli::{Keys, KeysAction};
use crate::client::Client;
use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Runs `keys`.
///
/// # Errors
/// When no server is found or it refuses.
pub async fn keys(options: &Keys, data_dir: &Path) -> Result<ExitCode> {
    let client = Client::find(&options.server, data_dir)?;
    match &options.action {
        KeysAction::Create { name, role, write_key } => {
            let body = if *write_key {
                json!({ "name": name, "kind": "write" })
            } else {
                json!({ "name": name, "role": role })
            };
            let made = client.send(client.request(Method::POST, "/api/v1/keys").json(&body)).await?;
            print(made["secret"].as_str().context("the answer has no key")?)?;
            eprintln!("This key is shown once: keep it. Its id is {}.", made["id"].as_str().unwrap_or("unknown"));
        }
        KeysAction::List => {
            let answer = client.send(client.request(Method::GET, "/api/v1/keys")).await?;
            let columns = ["id", "name", "kind", "role", "created_at", "expires_at", "revoked_at"];
            let cells = |key: &serde_json::Value| {
                columns.map(|column| key[column].as_str().unwrap_or_default().to_owned()).to_vec()
            };
            let rows: Vec<_> =
                answer["items"].as_array().context("the answer has no keys")?.iter().map(cells).collect();
            print(&table(&columns, &rows))?;
        }
        KeysAction::Revoke { id } => {
            client.response(client.request(Method::DELETE, &format!("/api/v1/keys/{id}"))).await?;
            print(&format!("revoked {id}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
