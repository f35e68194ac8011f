//! The commands that look after the store: `oltp`, `backup`, `restore`.

use super::Server;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `oltp`
#[derive(Debug, Args)]
pub struct Oltp {
    /// What to do
    #[command(subcommand)]
    pub action: OltpAction,
    /// Server
    #[command(flatten)]
    pub server: Server,
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub enum OltpAction {
    /// Show schema, connections, locks, log, archive, sizes and what was slow
    #[command(after_help = "Example:\n  storewide oltp status --json")]
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Bring the schema up to date, beside traffic
    #[command(
        after_help = "Examples:\n  storewide oltp migrate --dry-run\n  storewide oltp migrate --pg-url postgres://storewide@localhost/storewide"
    )]
    Migrate {
        /// Only list what is pending
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show dead rows, bloat and the age of transaction ids, with what to do
    #[command(after_help = "Example:\n  storewide oltp vacuum-report")]
    VacuumReport {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List, make and drop the partitions of the ledgers
    #[command(
        after_help = "Examples:\n  storewide oltp partitions\n  storewide oltp partitions --make 3\n  storewide oltp partitions --table order_event --drop-older-than 36"
    )]
    Partitions {
        /// Make what is missing for so many months ahead
        #[arg(long, value_name = "MONTHS", conflicts_with = "drop_older_than", value_parser = clap::value_parser!(u32).range(1..=240))]
        make: Option<u32>,
        /// Drop those of a table that hold nothing of the last so many months; what is dropped is gone
        #[arg(long, value_name = "MONTHS", requires = "table", value_parser = clap::value_parser!(u32).range(1..=240))]
        drop_older_than: Option<u32>,
        /// The table to drop partitions of
        #[arg(long, value_name = "TABLE", requires = "drop_older_than")]
        table: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// Folder of backups; by default the one of the setting `oltp.archive_dir`
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Only list the backups that are there, and how far each can be brought forward
    #[arg(long)]
    pub list: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// Folder of backups
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Name of the backup to begin with; by default the last one before the moment
    #[arg(long, value_name = "NAME")]
    pub backup: Option<String>,
    /// Bring back all that was committed up to this time; by default all there is
    #[arg(long, value_name = "TIME", conflicts_with = "to_position")]
    pub to_time: Option<jiff::Timestamp>,
    /// Bring back all that was committed up to this write's position, such as w-0000000003000148
    #[arg(long, value_name = "POSITION")]
    pub to_position: Option<String>,
    /// Data directory that was lost, if its disk can still be read: it has the newest writes, which are not archived yet
    #[arg(long, value_name = "DIR")]
    pub old_data_dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
