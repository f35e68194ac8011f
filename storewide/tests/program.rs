//! The real program, started, killed and asked as a user would.

use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use storewide::client::{Client, OWNER_KEY};
use storewide::demo::catalogue::{Catalogue, Item};
use storewide::demo::driver::Doors;

/// How long a start may take before the test gives up; a busy machine is slow.
const START_MAX: Duration = Duration::from_secs(120);

/// A server of our own.
pub struct Program {
    child: Option<Child>,
    data: tempfile::TempDir,
    api: SocketAddr,
    gateway: SocketAddr,
    health: SocketAddr,
    environment: Vec<(String, String)>,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Program {
    /// Starts a server on an empty directory.
    pub async fn start(environment: &[(&str, &str)]) -> Self {
        let mut program = Self::empty(environment);
        program.restart().await;
        program
    }

    /// A server that is not started yet, on an empty directory.
    pub fn empty(environment: &[(&str, &str)]) -> Self {
        let data = tempfile::Builder::new().prefix("storewide-test").tempdir().unwrap();
        // Tokens of the same address are the same in every run of a test.
        std::fs::create_dir_all(data.path().join("secrets")).unwrap();
        std::fs::write(data.path().join("secrets/token.key"), "test").unwrap();
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { child: None, data, api: free(), gateway: free(), health: free(), environment }
    }

    /// Sets a variable of its environment, for its next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.environment.retain(|(known, _)| known != key);
        self.environment.push((key.to_owned(), value.to_owned()));
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Where the API, the gateway and the health door listen.
    pub const fn addresses(&self) -> [SocketAddr; 3] {
        [self.api, self.gateway, self.health]
    }

    /// Starts the server again, and waits until all its layers are at work.
    pub async fn restart(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// Starts the server, and waits for nothing.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.data().join("server.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_storewide"));
        command.arg("serve").arg("--data-dir").arg(self.data());
        for (option, address) in [("--api", self.api), ("--gateway", self.gateway), ("--health", self.health)] {
            command.arg(option).arg(address.to_string());
        }
        command
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until all layers are at work.
    pub async fn ready(&mut self) {
        let start = Instant::now();
        let url = format!("http://{}/readyz", self.health);
        loop {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("the server ended with {status}:\n{}", self.log_tail());
            }
            assert!(start.elapsed() < START_MAX, "the server does not get ready:\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.data().join("server.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Process id of PostgreSQL.
    pub fn postgres(&self) -> Option<rustix::process::Pid> {
        let mut folders: Vec<PathBuf> = vec![self.data().join("postgres")];
        while let Some(folder) = folders.pop() {
            let note = folder.join("postmaster.pid");
            if let Ok(text) = std::fs::read_to_string(&note) {
                // A cluster that is being made notes a negative number: no server yet.
                let pid = text.lines().next()?.parse().ok().filter(|pid| *pid > 0)?;
                return rustix::process::Pid::from_raw(pid);
            }
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        None
    }

    /// Kills PostgreSQL with all its processes, and nothing else.
    pub fn kill_postgres(&self) {
        if let Some(pid) = self.postgres() {
            let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }

    /// Kills the program, leaving PostgreSQL to notice by itself.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            child.wait().unwrap();
        }
    }

    /// Asks the program to stop, as a service manager would.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
                .unwrap();
            assert!(child.wait().unwrap().success(), "an ordered stop ends with success:\n{}", self.log_tail());
        }
    }

    pub fn client(&self) -> Client {
        let key = std::fs::read_to_string(self.data().join("secrets").join(OWNER_KEY)).unwrap();
        Client::new(format!("http://{}", self.api), key.trim()).unwrap()
    }

    /// The public doors, with a write key made for the test.
    pub async fn doors(&self) -> Doors {
        Doors::open(self.client(), format!("http://{}", self.gateway), None).await.unwrap()
    }

    /// Runs a command of the program on this server's directory.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_storewide"));
        command.args(arguments).arg("--data-dir").arg(self.data()).envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command and reads its JSON.
    pub fn command(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(text.trim())
            .unwrap_or_else(|_| panic!("{arguments:?} answered {text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Values of one column, over as many pages as it takes; `key` is the column's name and orders the pages.
    pub async fn column(&self, table: &str, key: &str, condition: &str, at_least: Option<&str>) -> Vec<String> {
        let client = self.client();
        let (mut values, mut after): (Vec<String>, _) = (Vec::new(), String::new());
        loop {
            // Counting within a page would hide a repeat at its edge, so the page is grouped by the engine.
            let sql = format!(
                "select {key}, count(*) as n from {table} where {key} > '{after}' and {condition} group by 1 order by 1 limit 50000"
            );
            let begin = Instant::now();
            let answer = loop {
                match client.sql(&sql, at_least, 50_000).await {
                    Ok(answer) => break answer,
                    Err(error) => assert!(begin.elapsed() < START_MAX, "{sql}: {error:#}"),
                }
            };
            let Some(last) = answer.rows.last() else { return values };
            for row in &answer.rows {
                let value = row[0].as_str().unwrap().to_owned();
                for _ in 0..row[1].as_i64().unwrap() {
                    values.push(value.clone());
                }
            }
            after = last[0].as_str().unwrap().to_owned();
        }
    }

    /// Puts a small catalogue and some members through the API.
    pub async fn stock(&self) -> Catalogue {
        let mut lines = Vec::new();
        lines.push(
            json!({ "type": "store", "body": { "store_code": "1", "name": "One", "timezone": "Europe/Berlin" } }),
        );
        for item in 1..=40 {
            let code = item.to_string();
            let product = json!({ "product_code": code, "title": format!("Product {item}"), "category": "TEST" });
            lines.push(json!({ "type": "product", "body": product }));
            lines.push(json!({ "type": "sku", "body": { "sku_code": code, "product_code": code } }));
        }
        for household in 1..=10 {
            let email = json!({ "kind": "email", "value": storewide::import::email(household) });
            let consent = json!({ "purpose": "marketing", "channel": "email", "status": "granted" });
            let number = storewide::import::member_no(household);
            let member =
                json!({ "member_no": number, "identities": [email], "consents": [consent], "timezone": "UTC" });
            lines.push(json!({ "type": "member", "body": member }));
        }
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let client = self.client();
        let request =
            client.request(reqwest::Method::POST, "/api/v1/batch").header("content-type", "application/x-ndjson");
        let answer = client.response(request.body(body)).await.unwrap().text().await.unwrap();
        assert!(answer.lines().last().unwrap().contains("\"failed\":0"), "{answer}");
        let items = (1..=40).map(|item| Item { code: item.to_string(), price_minor: 100 + item }).collect();
        Catalogue { items, stores: vec!["1".to_owned()], households: (1..=10).collect() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        self.kill_postgres();
    }
}
