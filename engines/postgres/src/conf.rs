//! The configuration files of the cluster, written anew at every start. An operator's own settings go through `ALTER SYSTEM`,
//! which PostgreSQL keeps in a file of its own and reads last.

use crate::archive::{Target, archive_command, restore_command};
use crate::layout::Layout;
use crate::{PostgresError, Settings};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A slot may hold back at most this much WAL, in MiB.
const SLOT_WAL_MAX_MB: u64 = 10 * 1024;

/// Only our socket, only with the password.
const HBA: &str = "local all all scram-sha-256\nlocal replication all scram-sha-256\n";

/// Writes `postgresql.conf` and `pg_hba.conf`.
pub(crate) fn write(layout: &Layout, settings: &Settings, major: u32) -> Result<(), PostgresError> {
    for (name, text) in [("postgresql.conf", postgresql(layout, settings, major)), ("pg_hba.conf", HBA.to_owned())] {
        let path = layout.data.join(name);
        fs::write(&path, text).map_err(PostgresError::io("cannot write", &path))?;
    }
    Ok(())
}

fn postgresql(layout: &Layout, settings: &Settings, major: u32) -> String {
    let keep = settings.max_slot_wal_keep_mb.unwrap_or_else(|| slot_wal_keep_mb(&layout.root));
    let mut text = String::from("# Written at every start; put your own settings in place with ALTER SYSTEM.\n");
    let mut set = |key: &str, value: &str| {
        // In quotes a backslash escapes, too. Writing to a string does not fail.
        let _ = writeln!(text, "{key} = '{}'", value.replace('\\', r"\\").replace('\'', "''"));
    };
    set("listen_addresses", "");
    set("unix_socket_directories", &layout.socket_dir.to_string_lossy());
    set("unix_socket_permissions", "0700");
    set("password_encryption", "scram-sha-256");
    set("max_connections", &settings.max_connections.to_string());
    set("shared_buffers", &format!("{}MB", settings.shared_buffers_mb));
    // Durability.
    set("fsync", "on");
    set("synchronous_commit", "on");
    set("full_page_writes", "on");
    // Change capture.
    set("wal_level", "logical");
    set("max_replication_slots", "8");
    set("max_wal_senders", "8");
    set("max_slot_wal_keep_size", &format!("{keep}MB"));
    set("wal_compression", "off");
    set("max_wal_size", "1GB");
    set("checkpoint_timeout", "15min");
    // Rest: no process that has nothing to do.
    set("max_logical_replication_workers", "0");
    set("jit", "off");
    set("huge_pages", "off");
    if major >= 18 {
        set("io_method", "sync");
    }
    set("autovacuum", "on");
    set("timezone", "UTC");
    set("datestyle", "ISO, YMD");
    // The log goes through our pipe; it must hold no values of rows.
    set("log_timezone", "UTC");
    set("log_destination", "stderr");
    set("logging_collector", "off");
    set("log_error_verbosity", "terse");
    set("log_min_error_statement", "panic");
    set("log_checkpoints", "off");
    if let Some(archive) = &settings.archive {
        set("archive_mode", "on");
        set("archive_timeout", &format!("{}s", archive.timeout_s));
        set("archive_command", &archive_command(&archive.wal()));
    }
    if let Some(recovery) = &settings.recovery {
        set("restore_command", &restore_command(recovery));
        // Nobody is let in before it has come to its moment.
        set("hot_standby", "off");
        set("recovery_target_action", "promote");
        match &recovery.target {
            Target::Latest => {}
            Target::Time(time) => set("recovery_target_time", time),
            Target::Position(lsn) => {
                set("recovery_target_lsn", &format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF));
                // A position lies behind a commit: what begins there is not wanted any more.
                set("recovery_target_inclusive", "off");
            }
        }
    }
    text
}

/// Ten gigabytes or a fifth of the disk, whichever is less.
fn slot_wal_keep_mb(root: &Path) -> u64 {
    rustix::fs::statvfs(root).map_or(SLOT_WAL_MAX_MB, |disk| {
        let total_mb = disk.f_blocks.saturating_mul(disk.f_frsize) / (1024 * 1024);
        (total_mb / 5).clamp(64, SLOT_WAL_MAX_MB)
    })
}
