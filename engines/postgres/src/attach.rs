//! A cluster that another process of ours runs: reaching it without taking it.

use crate::account::Account;
use crate::cluster::settings_of;
use crate::layout::Layout;
use crate::{Installation, PostgresError};
use std::path::Path;
use tokio_postgres::Config;

/// Connection settings of the cluster that runs on a directory, for the database `postgres`, and its binaries.
///
/// # Errors
/// When there is no cluster, or its binaries are gone. Whether it answers shows when it is asked.
pub fn attach(data_dir: &Path, bin_dir: Option<&Path>) -> Result<(Config, Installation), PostgresError> {
    let layout = Layout::prepare(data_dir, Account::current())?;
    let major =
        layout.major().ok_or_else(|| PostgresError::Start(format!("there is no cluster in {}", data_dir.display())))?;
    let installation = Installation::find(bin_dir, Some(major))?;
    let password = layout.read_or_make_password()?;
    Ok((settings_of(&layout, &password), installation))
}
