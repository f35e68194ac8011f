//! What benches load with: houses on temporary directories, behaviour events, memory.

use crate::client::{Client, OWNER_KEY};
use crate::datadir::DataDir;
use crate::demo::driver::Doors;
use crate::house::House;
use crate::settings::Settings;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A folder of this run, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("storewide-bench-{name}-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub const fn path(&self) -> &PathBuf {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "a folder of the bench stays behind");
        }
    }
}

/// A house of its own, on free ports.
pub async fn house(scratch: &Scratch) -> Result<(House, Client, DataDir)> {
    let data = DataDir::open(scratch.path())?;
    let house = House::start(Settings::fresh(data.clone())?).await?;
    let key = data.stored_secret(OWNER_KEY)?.context("the house has no owner's key")?;
    let client = Client::new(format!("http://{}", house.running().api), key)?;
    Ok((house, client, data))
}

/// The public doors of a house, with a new write key.
pub async fn doors(house: &House, client: &Client) -> Result<Doors> {
    Doors::open(client.clone(), format!("http://{}", house.running().gateway), None).await
}

/// A product view as a shop's page sends it.
#[must_use]
pub fn product_viewed(number: u64) -> Value {
    json!({
        "type": "track",
        "event": "Product Viewed",
        "messageId": format!("bench-{number:012}"),
        "anonymousId": format!("visitor-{}", number % 5_000),
        "timestamp": jiff::Timestamp::now().to_string(),
        "context": {
            "page": { "url": "https://shop.example/p/1039126", "path": "/p/1039126", "title": "Bread" },
            "locale": "en-US",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        },
        "properties": { "product_id": "1039126", "sku": "1039126", "category": "BREAD", "price": 2.49, "currency": "USD" },
    })
}

/// Memory of this process and of all it started, MiB: the proportional set size, which shares shared pages out.
#[must_use]
pub fn resident_mib() -> f64 {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok())
        };
        let proportional = std::fs::read_to_string(entry.path().join("smaps_rollup")).unwrap_or_default();
        let pss = proportional
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok());
        parents.push((pid, field("PPid:").unwrap_or(0) as u32, pss.or(field("VmRSS:")).unwrap_or(0)));
    }
    let (mut family, mut before) = (vec![std::process::id()], 0);
    while family.len() > before {
        before = family.len();
        let children: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent, _)| family.contains(parent) && !family.contains(pid))
            .map(|(pid, ..)| *pid)
            .collect();
        family.extend(children);
    }
    let kib: u64 = parents.iter().filter(|(pid, ..)| family.contains(pid)).map(|(.., kib)| kib).sum();
    kib as f64 / 1024.0
}
