//! A server that somebody else runs: nothing is started, but what the program needs is checked before it is relied on.

use crate::error::describe;
use crate::{OLDEST_MAJOR, PostgresError};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

/// Reads a connection URL and checks the server behind it: version, `wal_level`, and the rights to capture changes.
///
/// # Errors
/// When the URL is malformed, the server cannot be reached, or it lacks something: the text says what, and how to mend it.
pub async fn external(url: &str) -> Result<Config, PostgresError> {
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        // The text of the parse error names the key, never its value.
        PostgresError::Unfit(format!("its URL cannot be read: {}", describe(&error)))
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        let advice =
            "its URL asks for TLS, which this build does not speak; connect through a local socket or a TLS proxy";
        return Err(PostgresError::Unfit(advice.to_owned()));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(std::time::Duration::from_secs(5));
    }
    let (client, connection) = config.connect(NoTls).await?;
    let driver = tokio::spawn(connection);
    let checked = check(&client).await;
    drop(client);
    let _ = driver.await;
    checked.map(|()| config)
}

async fn check(client: &Client) -> Result<(), PostgresError> {
    let unfit = |text: String| Err(PostgresError::Unfit(text));
    let row = client
        .query_one(
            "select current_setting('server_version_num')::int / 10000, current_setting('wal_level'), pg_is_in_recovery(), \
             r.rolsuper or r.rolreplication, r.rolsuper or r.rolbypassrls, r.rolname::text from pg_roles r where r.rolname = current_user",
            &[],
        )
        .await?;
    let (major, wal_level, standby): (i32, String, bool) = (row.get(0), row.get(1), row.get(2));
    let (replication, bypass, role): (bool, bool, String) = (row.get(3), row.get(4), row.get(5));
    if u32::try_from(major).unwrap_or(0) < OLDEST_MAJOR {
        return unfit(format!("it is version {major}; at least {OLDEST_MAJOR} is needed"));
    }
    if standby {
        return unfit("it is a read-only standby; name the primary".to_owned());
    }
    if wal_level != "logical" {
        return unfit(format!("wal_level is {wal_level}; `alter system set wal_level = logical`, then restart it"));
    }
    if !replication {
        return unfit(format!("role {role} may not replicate; `alter role {role} replication`"));
    }
    if !bypass {
        return unfit(format!("row policies would hide rows from role {role}; `alter role {role} bypassrls`"));
    }
    Ok(())
}
