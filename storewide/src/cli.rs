//! The command line.

mod store;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
pub use store::{Backup, Oltp, OltpAction, Restore};

/// Real-time retail data platform: every retail signal in, governed customer intelligence and guarded action out.
#[derive(Debug, Parser)]
#[command(name = "storewide", version, max_term_width = 100)]
pub struct Cli {
    /// Where everything is kept
    #[arg(long, global = true, env = "STOREWIDE_DATA_DIR", default_value = "storewide-data", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Configuration file
    #[arg(long, global = true, env = "STOREWIDE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything, load real baskets, and let shoppers shop
    #[command(after_help = "Examples:\n  storewide demo\n  storewide demo --for 30 --rate 1000 --json")]
    Demo(Demo),
    /// Start everything and serve
    #[command(
        after_help = "Examples:\n  storewide serve\n  storewide serve --pg-url postgres://storewide@db/storewide\n  STOREWIDE_LISTEN__GATEWAY=0.0.0.0:7071 storewide serve"
    )]
    Serve(Serve),
    /// Load data through the front door; go on where an earlier import stopped
    #[command(after_help = "Example:\n  storewide import completejourney examples/completejourney")]
    Import(Import),
    /// Ask the serving layer in SQL (read only)
    #[command(
        after_help = "Example:\n  storewide sql \"select store_code, count(*) from orders join stores using (store_id) group by 1\" --format csv"
    )]
    Sql(Sql),
    /// Show each layer's rate, lag, position and errors
    #[command(after_help = "Examples:\n  storewide status\n  storewide status --watch")]
    Status(Status),
    /// Compare the store with the serving layer, row by row
    #[command(after_help = "Example:\n  storewide audit --json")]
    Audit(Audit),
    /// Make, list and revoke keys
    #[command(
        after_help = "Examples:\n  storewide keys create till-7 --role writer\n  storewide keys create web --write-key\n  storewide keys list"
    )]
    Keys(Keys),
    /// Look at events that the gateway refused
    #[command(after_help = "Example:\n  storewide quarantine list --limit 20")]
    Quarantine(Quarantine),
    /// Look after the store: its state, its schema, vacuum, partitions
    #[command(after_help = "Examples:\n  storewide oltp status\n  storewide oltp migrate --dry-run")]
    Oltp(Oltp),
    /// Take a backup of the private store, or list the backups that are there
    #[command(
        after_help = "Examples:\n  storewide backup --to /backup/storewide\n  storewide backup --to /backup/storewide --list --json"
    )]
    Backup(Backup),
    /// Bring a backup back, to any moment since, in a new data directory
    #[command(
        after_help = "Examples:\n  storewide restore --from /backup/storewide --data-dir /var/lib/storewide-2\n  storewide restore --from /backup/storewide --data-dir /var/lib/storewide-2 --to-time 2026-03-02T09:30:00Z"
    )]
    Restore(Restore),
    /// Look at deliveries of sources, and have them run again
    #[command(
        after_help = "Examples:\n  storewide inbox list --status dead\n  storewide inbox show 019a2b1c-7d5e-7c3a-9f10-2b6f0c1d4e5f\n  storewide inbox replay --all --code oltp.unknown_sku"
    )]
    Inbox(Inbox),
    /// Check governed definitions, without a server
    #[command(after_help = "Example:\n  storewide contract check contracts")]
    Contract(Contract),
    /// Measure, beside a reference in the same run; prints one JSON object a figure
    #[command(after_help = "Example:\n  storewide bench gateway --for 10")]
    Bench(Bench),
}

/// Addresses and engines of a running house.
#[derive(Clone, Debug, Default, Args)]
pub struct Engines {
    /// Use this PostgreSQL server (15 or later, wal_level=logical) instead of a private one
    #[arg(long, env = "STOREWIDE_PG_URL", value_name = "URL", hide_env_values = true)]
    pub pg_url: Option<String>,
    /// Address of API and console [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDR")]
    pub api: Option<SocketAddr>,
    /// Address of the gateway [default: 127.0.0.1:7071]
    #[arg(long, value_name = "ADDR")]
    pub gateway: Option<SocketAddr>,
    /// Address of health and metrics [default: 127.0.0.1:7079]
    #[arg(long, value_name = "ADDR")]
    pub health: Option<SocketAddr>,
}

/// `demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Stop after so many seconds of shopping; without it, shop until interrupted
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// Signals a second, on average
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Seed of the shoppers: what they do by themselves; how they react to reminders also depends on the time
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub seed: u64,
    /// Print one JSON object at the end instead of text
    #[arg(long)]
    pub json: bool,
    /// Addresses and engines
    #[command(flatten)]
    pub engines: Engines,
}

/// `serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Log in JSON
    #[arg(long)]
    pub log_json: bool,
    /// Addresses and engines
    #[command(flatten)]
    pub engines: Engines,
}

/// Which server a command talks to.
#[derive(Clone, Debug, Default, Args)]
pub struct Server {
    /// API address of a running server; by default the one that runs on the data directory, or one started for this command
    #[arg(long, global = true, env = "STOREWIDE_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// PostgreSQL server that the data directory belongs to, if it was served with one and no server runs
    #[arg(long, global = true, env = "STOREWIDE_PG_URL", value_name = "URL", hide_env_values = true)]
    pub pg_url: Option<String>,
    /// API key; by default the one that the data directory keeps for its owner
    #[arg(long, global = true, env = "STOREWIDE_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<String>,
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// What the files hold
    pub format: ImportFormat,
    /// Folder of the files
    pub path: PathBuf,
    /// Move all dates by so many weeks
    #[arg(long, default_value_t = 0, value_name = "N", allow_hyphen_values = true)]
    pub shift_weeks: i64,
    /// Print one JSON object at the end
    #[arg(long)]
    pub json: bool,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// Formats of `import`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ImportFormat {
    /// "The Complete Journey" by 84.51° / dunnhumby, as parquet files
    #[value(name = "completejourney")]
    CompleteJourney,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One object
    Json,
    /// Comma separated values
    Csv,
}

/// `sql`
#[derive(Debug, Args)]
pub struct Sql {
    /// The question
    pub query: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Most rows to return
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub limit: u32,
    /// Wait until the answer holds at least this write
    #[arg(long, value_name = "POSITION")]
    pub at_least: Option<String>,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// Go on, once a second
    #[arg(long)]
    pub watch: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// `audit`
#[derive(Debug, Args)]
pub struct Audit {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// `keys`
#[derive(Debug, Args)]
pub struct Keys {
    /// What to do
    #[command(subcommand)]
    pub action: KeysAction,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Make a key; it is shown once
    #[command(
        after_help = "Examples:\n  storewide keys create till-7 --role writer --scope orders:write --scope members:read --expires 2027-01-01T00:00:00Z\n  storewide keys create clerk --scope members:read --scope pii:read\n  storewide keys create web --write-key"
    )]
    Create {
        /// Name of its owner
        name: String,
        /// reader, writer or admin
        #[arg(long, default_value = "reader")]
        role: String,
        /// What of its role the key may do, such as orders:write; all but personal data when absent, `*` for all
        #[arg(long = "scope", value_name = "SCOPE", conflicts_with = "write_key")]
        scopes: Vec<String>,
        /// Until when it is valid, RFC 3339; for ever when absent
        #[arg(long = "expires", value_name = "TIME", conflicts_with = "write_key")]
        expires_at: Option<String>,
        /// Requests that it may make in a second, in the long run; the server's limit when absent
        #[arg(long, value_name = "N", conflicts_with = "write_key")]
        requests_per_s: Option<u32>,
        /// Requests that it may make at once after a rest; those of a second when absent
        #[arg(long, value_name = "N", requires = "requests_per_s")]
        burst: Option<u32>,
        /// Make a write key for the gateway instead of an API key
        #[arg(long, conflicts_with = "role")]
        write_key: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List keys, without their secrets
    #[command(after_help = "Example:\n  storewide keys list --json")]
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Give an API key a new secret; it is shown once
    #[command(after_help = "Example:\n  storewide keys rotate 019a2b1c-7d5e-7c3a-9f10-2b6f0c1d4e5f --overlap 86400")]
    Rotate {
        /// Its id
        id: String,
        /// Seconds for which the old secret works on
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(0..=2_592_000))]
        overlap: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key for good
    #[command(after_help = "Example:\n  storewide keys revoke 019a2b1c-7d5e-7c3a-9f10-2b6f0c1d4e5f")]
    Revoke {
        /// Its id
        id: String,
    },
}

/// `quarantine`
#[derive(Debug, Args)]
pub struct Quarantine {
    /// What to do
    #[command(subcommand)]
    pub action: QuarantineAction,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// What to do with the quarantine.
#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// List refused events with the reason, newest first
    #[command(after_help = "Example:\n  storewide quarantine list --limit 20 --json")]
    List {
        /// Most events to list
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `inbox`
#[derive(Debug, Args)]
pub struct Inbox {
    /// What to do
    #[command(subcommand)]
    pub action: InboxAction,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// Which deliveries.
#[derive(Clone, Debug, Default, Args)]
pub struct Deliveries {
    /// received, retry, done or dead
    #[arg(long)]
    pub status: Option<String>,
    /// Name of the source
    #[arg(long)]
    pub source: Option<String>,
    /// Its account
    #[arg(long)]
    pub account: Option<String>,
    /// What the deliveries say they are
    #[arg(long)]
    pub kind: Option<String>,
    /// Code of the last fault, such as oltp.unknown_order
    #[arg(long)]
    pub code: Option<String>,
    /// The source's own id
    #[arg(long, value_name = "ID")]
    pub delivery_id: Option<String>,
    /// Received at or after
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Received before
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// What to do with the inbox.
#[derive(Debug, Subcommand)]
pub enum InboxAction {
    /// List deliveries, newest first
    #[command(after_help = "Example:\n  storewide inbox list --status dead --source acme_shop --json")]
    List {
        /// Which ones
        #[command(flatten)]
        which: Deliveries,
        /// Most deliveries to list
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show how many wait, how many were given up, and how old the oldest is
    #[command(after_help = "Example:\n  storewide inbox standing --json")]
    Standing {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one delivery with its body and its last fault
    #[command(after_help = "Example:\n  storewide inbox show 019a2b1c-7d5e-7c3a-9f10-2b6f0c1d4e5f")]
    Show {
        /// Its id, as the list shows it
        id: String,
    },
    /// Have one delivery run again, or many; what was done is not done twice
    #[command(
        after_help = "Examples:\n  storewide inbox replay 019a2b1c-7d5e-7c3a-9f10-2b6f0c1d4e5f --payload mended.json\n  storewide inbox replay --all --source acme_shop --since 2026-03-01T00:00:00Z"
    )]
    Replay {
        /// Its id, as the list shows it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// A file with a body in place of the one that came
        #[arg(long, value_name = "FILE", conflicts_with = "all")]
        payload: Option<PathBuf>,
        /// Those that are dead, or of another --status, as the other options narrow them
        #[arg(long)]
        all: bool,
        /// Which ones
        #[command(flatten)]
        which: Deliveries,
        /// Most deliveries to run again
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
        /// Run all commands as new ones, also those that were done
        #[arg(long)]
        anew: bool,
    },
}

/// `contract`
#[derive(Debug, Args)]
pub struct Contract {
    /// What to do
    #[command(subcommand)]
    pub action: ContractAction,
}

/// What to do with definitions.
#[derive(Debug, Subcommand)]
pub enum ContractAction {
    /// Read and compile all definitions of a folder; names the first fault and its place
    #[command(after_help = "Example:\n  storewide contract check contracts --json")]
    Check {
        /// Folder with the layout of contracts/; the built-in definitions when absent
        dir: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[arg(value_enum)]
    pub name: BenchName,
    /// Seconds of load
    #[arg(long = "for", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Folder of completeJourney, for `import`, `query` and `freshness`
    #[arg(long, default_value = "examples/completejourney", value_name = "DIR")]
    pub data: PathBuf,
}

/// Benches.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BenchName {
    /// Durable accepts of behaviour events over HTTP
    Gateway,
    /// PostgreSQL commit to record durable on the bus
    Capture,
    /// Signals through both stages of processing, on one core
    Processing,
    /// Signal to SQL and to profile, and memory at rest
    Freshness,
    /// Orders a second
    Orders,
    /// Codes tried and redeemed, 500 a second; a hundred thousand issued
    Coupons,
    /// Points earned and burned, 500 a second
    Points,
    /// Members found by phone, 1,000 a second among a million
    Lookup,
    /// Order lines a second through /api/v1/batch
    Batch,
    /// Questions to the serving layer
    Query,
    /// Empty directory to all layers ready, and restart
    Start,
    /// completeJourney from files to served
    Import,
}
