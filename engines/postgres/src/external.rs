//! A server that somebody else runs: nothing is started, but what the program needs is checked before it is relied on.

use crate::error::describe;
use crate::{OLDEST_MAJOR, PostgresError};
use std::net::IpAddr;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

/// Reads a connection URL and checks the server behind it: version, durability, `wal_level`, and the rights to capture changes. In
/// the sessions of the configuration that comes back, a commit is on disk when it is acknowledged.
///
/// # Errors
/// When the URL is malformed or would carry data over the network in plaintext, the server cannot be reached, or it lacks something:
/// the text says what, and how to mend it.
pub async fn external(url: &str) -> Result<Config, PostgresError> {
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        // The text of the parse error names the key, never its value.
        PostgresError::Unfit(format!("its URL cannot be read: {}", describe(&error)))
    })?;
    check_way(&config)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(std::time::Duration::from_secs(5));
    }
    let (client, connection) = config.connect(NoTls).await?;
    let driver = tokio::spawn(connection);
    let checked = check(&client).await;
    drop(client);
    let _ = driver.await;
    let commit = checked?;
    // Set by the session, so that nobody's later `alter system` or `alter role` takes it away from a running program.
    let options = format!("{} -c synchronous_commit={commit}", config.get_options().unwrap_or(""));
    config.options(options.trim());
    Ok(config)
}

/// We speak no TLS: what leaves the machine does so in plaintext, and only by the operator's word.
fn check_way(config: &Config) -> Result<(), PostgresError> {
    const WAYS: &str =
        "connect through a local socket, or through a tunnel that ends on this machine (`ssh -L`, stunnel)";
    let unfit = |text: String| Err(PostgresError::Unfit(text));
    if config.get_ssl_mode() == SslMode::Require {
        return unfit(format!("its URL asks for TLS, which this build does not speak; {WAYS}"));
    }
    if config.get_ssl_mode() == SslMode::Disable {
        return Ok(());
    }
    let named = config.get_hosts().iter().filter_map(remote);
    let mut remote = named.chain(config.get_hostaddrs().iter().filter(|ip| !is_loopback(**ip)).map(IpAddr::to_string));
    match remote.next() {
        None => Ok(()),
        Some(host) => unfit(format!(
            "its URL leads to {host}, and this build speaks no TLS, so personal data and its password would cross the network in \
             plaintext; {WAYS}; or, on a private network that you trust, add `sslmode=disable` to the URL"
        )),
    }
}

/// The name of a host that is not this machine.
fn remote(host: &Host) -> Option<String> {
    let Host::Tcp(name) = host else { return None };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let local = address.map_or_else(|_| name.eq_ignore_ascii_case("localhost"), is_loopback);
    (!local).then(|| name.clone())
}

const fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Checks the server, and says with which `synchronous_commit` to work on it: its own one, if that waits for the disk.
async fn check(client: &Client) -> Result<String, PostgresError> {
    let unfit = |text: String| Err(PostgresError::Unfit(text));
    let row = client
        .query_one(
            "select current_setting('server_version_num')::int / 10000, current_setting('wal_level'), pg_is_in_recovery(), \
             r.rolsuper or r.rolreplication, r.rolsuper or r.rolbypassrls, r.rolname::text, current_setting('fsync')::bool, \
             current_setting('synchronous_commit') from pg_roles r where r.rolname = current_user",
            &[],
        )
        .await?;
    let (major, wal_level, standby): (i32, String, bool) = (row.get(0), row.get(1), row.get(2));
    let (replication, bypass, role): (bool, bool, String) = (row.get(3), row.get(4), row.get(5));
    let (fsync, commit): (bool, String) = (row.get(6), row.get(7));
    if u32::try_from(major).unwrap_or(0) < OLDEST_MAJOR {
        return unfit(format!("it is version {major}; at least {OLDEST_MAJOR} is needed"));
    }
    if standby {
        return unfit("it is a read-only standby; name the primary".to_owned());
    }
    if !fsync {
        return unfit("fsync is off, so a crash may lose or break what was committed; `alter system set fsync = on`, then `select pg_reload_conf()`".to_owned());
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
    // `local`, `remote_write` and `remote_apply` wait for the primary's disk as `on` does; which standbys to wait for is the operator's choice.
    Ok(if commit == "off" { "on".to_owned() } else { commit })
}

#[cfg(test)]
mod tests {
    use super::check_way;

    #[test]
    fn nothing_leaves_the_machine_in_plaintext_unasked() {
        let refused = |url: &str| check_way(&url.parse().unwrap()).err().map(|error| error.to_string());
        for local in [
            "postgresql://u:p@/db?host=/var/run/postgresql",
            "postgresql://u:p@localhost/db",
            "postgresql://u:p@127.0.0.2:6432/db?sslmode=prefer",
            "postgresql://u:p@[::1]/db",
            "host=::1 user=u",
            "host=localhost hostaddr=::ffff:127.0.0.1 user=u",
            "postgresql://u:p@pg.example.com/db?sslmode=disable",
        ] {
            assert_eq!(refused(local), None, "{local}");
        }
        for remote in [
            "postgresql://u:p@pg.example.com/db",
            "postgresql://u:p@10.0.0.7/db?sslmode=prefer",
            "postgresql://u:p@localhost,10.0.0.7/db",
            "host=localhost hostaddr=10.0.0.7 user=u",
            "host=pg.example.com hostaddr=127.0.0.1 user=u",
        ] {
            let text = refused(remote).unwrap();
            assert!(
                text.contains("plaintext") && text.contains("sslmode=disable") && text.contains("tunnel"),
                "{text}"
            );
        }
        let text = refused("postgresql://u:p@localhost/db?sslmode=require").unwrap();
        assert!(text.contains("TLS") && !text.contains("sslmode=disable"), "{text}");
    }
}
